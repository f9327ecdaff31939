"""Where sign-up and login differ from allauth's own."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from phonebank.accounts.services import signup_is_open


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """SIGNUP=open only; an invited person comes by their link, the first administrator by the setup link."""
        return signup_is_open()
