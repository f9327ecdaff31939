"""The form for a code at login."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm

from phonebank.accounts.adapter import may_guess


class CodeForm(AuthenticateForm):
    """Not too often from one address, whosever codes they are; for one person allauth counts."""

    def clean_code(self) -> str:
        if not may_guess(context.request):
            raise get_adapter().validation_error("too_many_login_attempts")
        return super().clean_code()
