"""The keys that stored secrets are encrypted with."""

from __future__ import annotations

from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


class SecretUnreadable(Exception):
    """A stored secret fits none of FIELD_ENCRYPTION_KEYS. Nothing is ever sent with the ciphertext instead."""


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def ring() -> MultiFernet:
    """The key ring: the first of FIELD_ENCRYPTION_KEYS encrypts, all of them decrypt."""
    return _ring(tuple(settings.FIELD_ENCRYPTION_KEYS))
