"""The second factor: a code of an app on one's phone besides the password. What allauth.mfa leaves to us."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import segno
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from cryptography.fernet import InvalidToken
from django.db import transaction
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.accounts.ring import SecretUnreadable, ring
from phonebank.audit.models import record

# What of an Authenticator's `data` is encrypted.
SECRETS = ("secret", "seed")


class MfaAdapter(DefaultMFAAdapter):
    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": gettext_lazy(
            "This code is not right, too old or used already. Wait until the app shows the next one."
        )
    }

    def encrypt(self, text: str) -> str:
        return ring().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return ring().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable(
                "A second factor cannot be decrypted: FIELD_ENCRYPTION_KEYS lacks the key it was written with."
            ) from None

    def build_totp_svg(self, url: str) -> str:
        """White below the squares, in the dark too: a camera needs it."""
        picture = BytesIO()
        segno.make(url, error="m").save(picture, kind="svg", border=4, scale=5, light="#fff", xmldecl=False)
        return picture.getvalue().decode()


def has_factor(user: Any) -> bool:
    """Whether this person's login asks for a code."""
    return is_mfa_enabled(user, [Authenticator.Type.TOTP])


def remove_factor(*, actor: User | None, user: User) -> bool:
    """Takes away somebody's second factor with its recovery codes; False where there was none. None is the terminal.

    Their own way is the page, which asks for a code.
    """
    with transaction.atomic():
        had_one = has_factor(user)
        Authenticator.objects.filter(user=user).delete()
        if had_one:
            record(actor=actor, verb="user.factor_removed", target=user, owner=user)
    return had_one
