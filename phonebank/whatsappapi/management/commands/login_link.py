"""`phonebank login-link EMAIL`: a one-time link for somebody who cannot get mail."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from phonebank.accounts.models import OneTimeLink, User
from phonebank.accounts.services import make_link


class Command(BaseCommand):
    help = "Prints a link that logs a person in once, within 24 hours."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        user = User.objects.filter(email__iexact=email, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user with the address {email}.")
        token = make_link(purpose=OneTimeLink.Purpose.LOGIN, user=user)
        self.stdout.write((settings.PUBLIC_URL or settings.LOCAL_URL) + reverse("accounts:link", args=[token]))
