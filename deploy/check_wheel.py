"""`make wheel`: builds the wheel, looks into it, installs it into an empty environment and serves from there.

Needs nothing but Python: no Node, no compiler. What is left is dist/*.whl.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from phonebank.embedded import Cluster  # noqa: E402

PATIENCE = 60.0  # seconds from the end of the install until it is ready
PORT = 8321  # and the next for the sandbox
ALL_OF = ["templates", "static", "migrations", "management"]  # folders of which nothing may be missing


def main() -> None:
    wheel, files = build()
    look_into(wheel, files)
    with tempfile.TemporaryDirectory(prefix="phonebank-wheel-") as folder:
        program = install(wheel, Path(folder))
        serve(program, Path(folder))


def build() -> tuple[Path, set[str]]:
    """The wheel, and the files that must be in it."""
    dist = ROOT / "dist"
    for old in dist.glob("phonebank-*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory() as clean:  # an old build/ folder would end up in the wheel
        source = Path(clean) / "source"
        skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.po")  # of languages what is compiled is enough
        shutil.copytree(ROOT / "phonebank", source / "phonebank", ignore=skip)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        files = {str(path.relative_to(source)) for path in (source / "phonebank").rglob("*") if path.is_file()}
        run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(dist), str(source)])
    [wheel] = dist.glob("phonebank-*.whl")
    print(f"{wheel.relative_to(ROOT)}: {wheel.stat().st_size / 1e6:.1f} MB")
    return wheel, files


def look_into(wheel: Path, files: set[str]) -> None:
    """Nothing of what the product needs is missing."""
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("phonebank/")}
    missing = sorted(files - inside)
    assert not missing, f"{len(missing)} files are not in the wheel: {missing[:10]}"
    assert all(any(f"/{part}/" in name for name in inside) for part in ALL_OF)
    print(f"{len(inside)} files in it, none is missing")


def install(wheel: Path, folder: Path) -> Path:
    """The program `phonebank` of an empty environment with the pins of the lock."""
    begun = time.monotonic()
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    run([*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")])
    run([*pip, "--no-deps", str(wheel)])
    run([str(python), "-m", "pip", "check", "--disable-pip-version-check"])
    print(f"installed in {time.monotonic() - begun:.0f} s")
    return folder / "venv/bin/phonebank"


def serve(program: Path, folder: Path) -> None:
    """`phonebank serve` until it is ready and has sent the demonstration; then Ctrl-C ends it cleanly."""
    home = tempfile.mkdtemp(prefix="wheel-", dir="/var/lib/phonebank") if os.geteuid() == 0 else str(folder / "home")
    if os.geteuid() == 0:
        os.chmod(home, 0o711)  # noqa: S103 - PostgreSQL's user passes through
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PHONEBANK_DATA": home, "PYTHONUNBUFFERED": "1"}
    begun, log = time.monotonic(), folder / "serve.log"
    with log.open("w") as out:
        command = [str(program), "serve", "--port", str(PORT), "--sandbox-port", str(PORT + 1)]
        running = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        until("is ready after", log, running, PATIENCE)
        print(f"ready {time.monotonic() - begun:.1f} s after the install")
        until("Ctrl-C stops everything", log, running, 180.0)
        for path in ("/healthz", "/readyz", "/accounts/login/"):
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=20) as answer:
                assert answer.status == 200, path
        print(f"the demonstration was sent {time.monotonic() - begun:.0f} s after the install; pages answer")
    except BaseException:
        print(f"--- {log}:\n{log.read_text()[-4000:]}", file=sys.stderr)
        raise
    finally:
        running.send_signal(signal.SIGINT)
        try:
            code = running.wait(90)
        except subprocess.TimeoutExpired:
            running.kill()
            code = running.wait()
        Cluster(Path(home)).destroy()  # where it did not end its server itself
    assert code == 0, f"it ended with {code}"


def until(words: str, log: Path, running: subprocess.Popen[bytes], patience: float) -> None:
    end = time.monotonic() + patience
    while words not in log.read_text():
        assert running.poll() is None, f"it ended with {running.returncode}"
        assert time.monotonic() < end, f"not within {patience:.0f} s: {words}"
        time.sleep(0.1)


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": ""})  # noqa: S603


if __name__ == "__main__":
    main()
