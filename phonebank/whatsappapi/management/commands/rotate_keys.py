"""`phonebank rotate-keys`: what older keys of FIELD_ENCRYPTION_KEYS wrote is written anew with the first."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand, CommandError, CommandParser

from phonebank.whatsappapi.services.key_rotation import Rotation, rotate_keys

LEFT = "{} stored secrets fit no key of FIELD_ENCRYPTION_KEYS. They were left as they are; keep looking for their key."

AGAIN = "Before you take an old key out, run this again: it must have nothing left to write."


class Command(BaseCommand):
    help = "Encrypts all stored secrets anew with the first of FIELD_ENCRYPTION_KEYS. Everything may go on running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--new-key", action="store_true", help="only print a fresh key for FIELD_ENCRYPTION_KEYS")

    def handle(self, *args: Any, new_key: bool, **options: Any) -> None:
        if new_key:
            self.stdout.write(Fernet.generate_key().decode())
            return
        done = rotate_keys(told=self._tell)
        unreadable = sum(one.unreadable for one in done)
        if unreadable:
            raise CommandError(LEFT.format(unreadable))
        self.stdout.write("Every stored secret is under the first key.")
        if any(one.rewritten for one in done):
            self.stdout.write(AGAIN)

    def _tell(self, one: Rotation) -> None:
        self.stdout.write(f"{one.table}: {one.rewritten} written anew, {one.kept} had the first key already")
