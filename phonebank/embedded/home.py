"""Where Phonebank keeps its data, and which user the server may run as (PostgreSQL refuses to run as root)."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .check import DatabaseUnavailable

SYSTEM_ROOT = Path("/var/lib/phonebank")
SYSTEM_USER = "phonebank"

Owner = tuple[int, int]  # user id, group id


def is_root() -> bool:
    return os.geteuid() == 0


def digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def data_home() -> Path:
    """The folder of this installation's data; nothing is created. Two checkouts never get the same one."""
    if chosen := os.environ.get("PHONEBANK_DATA"):
        return Path(chosen).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[2]
    if is_root():
        return SYSTEM_ROOT / digest(checkout)
    if (checkout / "pyproject.toml").is_file() and (checkout / "manage.py").is_file():
        return checkout / "var"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/phonebank"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share").resolve() / "phonebank"


def make_folder(path: Path) -> None:
    """Create `path` and its missing parents: private, but for root's, which the server's user must pass through.

    Folders that exist keep their mode.
    """
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711 if is_root() else 0o700)  # explicit, whatever the umask


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file; the system frees it when the process dies."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def run(
    command: list[str | Path], owner: Owner | None, cwd: Path = Path("/"), **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a program as `owner` (None: as we are), free of our PG* settings; `extra` joins its environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    env |= {"LC_ALL": "C"} | extra
    drop = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
    return subprocess.run(  # noqa: S603 - fixed programs, no shell
        command,
        cwd=cwd,
        env=env,
        umask=0o077,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        **drop,
    )


def claim(folder: Path) -> Owner | None:
    """Make `folder` the private folder of the server's user and return that user; None means ourselves.

    As root that is whoever owns the folder already, else the system user. Raises DatabaseUnavailable.
    """
    make_folder(folder.parent)
    if not is_root():
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid != os.geteuid():
            raise DatabaseUnavailable(f"{folder} belongs to another user. Set PHONEBANK_DATA to a folder of your own.")
        return None
    found = folder.lstat() if os.path.lexists(folder) else None
    owner = (found.st_uid, found.st_gid) if found and found.st_uid else system_user()
    _make_reachable(folder.parent, owner)
    if not found or not found.st_uid:
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(folder, *owner, follow_symlinks=False)
    return owner


def _make_reachable(folder: Path, owner: Owner) -> None:
    """Let the server's user pass; only a folder below our own root may be opened for that."""
    test = shutil.which("test") or "/bin/test"
    if folder.is_relative_to(SYSTEM_ROOT):
        folder.chmod(folder.stat().st_mode | 0o011)
    if run([test, "-x", folder], owner).returncode:
        raise DatabaseUnavailable(
            f"The user {SYSTEM_USER} cannot enter {folder}, and PostgreSQL refuses to run as root. "
            f"Set PHONEBANK_DATA to a folder that every user may enter, such as {SYSTEM_ROOT}/main."
        )


def system_user() -> Owner:
    """The locked system user that runs the server for root; made when missing. Raises DatabaseUnavailable."""
    make_folder(SYSTEM_ROOT)
    with locked(SYSTEM_ROOT / "user.lock"):
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            entry = _make_user()
    return entry.pw_uid, entry.pw_gid


def _make_user() -> pwd.struct_passwd:
    reason = "there is no useradd here"
    if useradd := shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        done = run([useradd, *options, "--shell", "/usr/sbin/nologin", SYSTEM_USER], None)
        reason = done.stderr.strip() or "useradd failed"
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise DatabaseUnavailable(
            f"PostgreSQL refuses to run as root, and the system user {SYSTEM_USER} cannot be made ({reason}). "
            "Make it, start Phonebank as an ordinary user, or set DATABASE_URL."
        ) from None
