"""Keys that nobody set are made once and kept in the data folder, readable by their owner only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet


def secret_key(home: Path) -> str:
    """Django's SECRET_KEY for this installation."""
    return _keep(home / "secret-key", lambda: secrets.token_urlsafe(50))


def field_keys(home: Path) -> list[str]:
    """Key ring for encrypted fields, first one encrypts."""
    return _keep(home / "field-keys", lambda: Fernet.generate_key().decode()).split()


def audit_key(home: Path) -> str:
    """What the audit log's chain is sealed with."""
    return _keep(home / "audit-key", lambda: secrets.token_urlsafe(50))


def _keep(path: Path, make: Callable[[], str]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Written aside and linked into place: two first starts agree on one key, a crash leaves no half of one.
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return path.read_text().strip()
