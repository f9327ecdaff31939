"""Secrets at rest, and the digests they are looked up by."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.fernet import InvalidToken
from django.db import models

from phonebank.accounts.ring import SecretUnreadable, ring


def digest(secret: str) -> str:
    """SHA-256 of a machine-made secret, to find its row by. Not for passwords: these secrets have 128 bits or more."""
    return hashlib.sha256(secret.encode()).hexdigest() if secret else ""


class EncryptedTextField(models.TextField):
    """Text that the database only ever sees encrypted. Cannot be filtered by: keep a digest beside it."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return ring().encrypt(value.encode()).decode() if value else value

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        if not value:
            return value
        try:
            return ring().decrypt(value.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable(
                "A stored secret cannot be decrypted: FIELD_ENCRYPTION_KEYS lacks the key it was written with."
            ) from None

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise TypeError("Encrypted fields cannot be filtered by; use the digest column.")
        return super().get_lookup(lookup_name)
