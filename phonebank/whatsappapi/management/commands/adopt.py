"""`phonebank adopt --user EMAIL`: sessions that a WaSender account already has, the operator's included."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import GatewayAccount
from phonebank.whatsappapi.services import adopt as service
from phonebank.whatsappapi.services.errors import ServiceError


class Command(BaseCommand):
    help = "Lists the sessions that a gateway account has and Phonebank does not; takes those named over for a user."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, metavar="EMAIL", help="whose sessions they become")
        parser.add_argument("--account", metavar="NAME", default="", help="needed where the user has several")
        parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="the gateway's numbers; none: list only")

    def handle(self, *args: Any, user: str, account: str, ids: list[int], **options: Any) -> None:
        owner = User.objects.filter(email__iexact=user, is_active=True).first()
        if owner is None:
            raise CommandError(f"There is no active user with the address {user}.")
        try:
            found = self._account(owner, account)
            if ids:
                self._adopt(owner, found, ids)
            else:
                self._list(owner, found)
        except ServiceError as error:
            raise CommandError(error.message) from None

    def _account(self, owner: User, name: str) -> GatewayAccount:
        usable = list(GatewayAccount.objects.usable_by(owner).order_by("created_at"))
        named = [one for one in usable if not name or one.name.casefold() == name.casefold()]
        if len(named) == 1:
            return named[0]
        known = ", ".join(one.name for one in usable) or "none"
        raise CommandError(f"Name one gateway account with --account. This user may use: {known}.")

    def _list(self, owner: User, account: GatewayAccount) -> None:
        listed = service.adoptable(actor=None, account=account)
        for one in listed:
            hook = f"  events go to {one.webhook}" if one.webhook else ""
            self.stdout.write(f"{one.wasender_id:>8}  {one.phone or '?':16} {one.status:13} {one.name}{hook}")
        if not listed:
            self.stdout.write(f"{account.name} has no session that is not here already.")
            return
        self.stdout.write(
            f"\nFree in the plan: {service.room(owner)}. To take over: phonebank adopt --user {owner.email} ID ...\n"
            "Their webhook is pointed here; the old settings come back when they are removed here."
        )

    def _adopt(self, owner: User, account: GatewayAccount, ids: list[int]) -> None:
        done = service.adopt(actor=None, owner=owner, account=account, wasender_ids=ids)
        for row in done.sessions:
            self.stdout.write(f"Taken over: {row.session_name} ({row.phone_number}), {row.get_status_display()}.")
        for sentence in done.refused:
            self.stderr.write(sentence)
        if done.refused:
            raise CommandError(f"{len(done.refused)} of {len(ids)} were not taken over.")
