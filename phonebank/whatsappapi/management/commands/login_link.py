"""`phonebank login-link EMAIL`: a one-time link for somebody who cannot get mail, or whose phone is lost."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from phonebank.accounts.mfa import has_factor
from phonebank.accounts.models import OneTimeLink, User
from phonebank.accounts.services import make_link
from phonebank.whatsappapi.services.administration import remove_factor

REMOVED = "The second factor of {} is removed, its recovery codes too. They are told, and it is in the audit log."
ASKS = "The link will ask for a code of their second factor. Is the phone lost? --without-second-factor removes it."


class Command(BaseCommand):
    help = "Prints a link that logs a person in once, within 24 hours."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument(
            "--without-second-factor",
            action="store_true",
            help="first remove the person's second factor and recovery codes, for good; for a lost phone",
        )

    def handle(self, *args: Any, email: str, without_second_factor: bool, **options: Any) -> None:
        user = User.objects.filter(email__iexact=email, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user with the address {email}.")
        if without_second_factor:
            removed = remove_factor(actor=None, user=user)
            self.stderr.write(REMOVED.format(user.email) if removed else f"{user.email} has no second factor.")
        elif has_factor(user):
            self.stderr.write(ASKS)
        token = make_link(purpose=OneTimeLink.Purpose.LOGIN, user=user)
        self.stdout.write((settings.PUBLIC_URL or settings.LOCAL_URL) + reverse("accounts:link", args=[token]))
