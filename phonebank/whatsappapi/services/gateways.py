"""Accounts at the gateway, and whether the gateway can reach us."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways import sync
from phonebank.gateways.base import SessionInfo
from phonebank.gateways.errors import GatewayError, NotFound, Unauthorized
from phonebank.gateways.wasender import WaSender
from phonebank.language import grouped
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession, WebhookEvent
from phonebank.whatsappapi.models.gateways import GatewayAccountQuerySet
from phonebank.whatsappapi.services.errors import ServiceError

T = TypeVar("T")

_PRIVATE_ENDINGS = (".local", ".localhost", ".internal", ".lan", ".home", ".test", ".invalid", ".home.arpa")


def accounts_for(user: User) -> GatewayAccountQuerySet:
    """The accounts that `user` may create sessions on."""
    return GatewayAccount.objects.usable_by(user).order_by("created_at", "pk")


def client_call(account: GatewayAccount | str, work: Callable[[WaSender], Awaitable[T]]) -> T:
    """The result of `work` with a client for the account's (or the given) base URL. Raises GatewayError."""
    return sync.run(account if isinstance(account, str) else account.base_url, work)


def explain(error: GatewayError, kept: str) -> ServiceError:
    """The gateway's refusal as a sentence, followed by what was kept. The code is the gateway error's."""
    return ServiceError(f"{_(error.user_message)} {kept}", code=error.code)


def add_account(*, actor: User, token: str, name: str = "", for_others: bool = False) -> GatewayAccount:
    """Stores a personal access token that the gateway has just accepted. Its address is the installation's.

    `for_others`: an administrator's account for the whole installation; nobody can use it before `grant`.
    """
    if for_others and not actor.is_superuser:
        raise ServiceError(_("Only an administrator adds an account for others."), code="forbidden")
    token = _checked(token, settings.WASENDER_URL)
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        mine = list(GatewayAccount.objects.alive().filter(user=None if for_others else owner))
        if any(account.token == token for account in mine):
            raise ServiceError(_("You have already added this access token. Nothing was changed."), code="duplicate")
        account = GatewayAccount.objects.create(
            user=None if for_others else owner,
            name=name.strip()[:60] or f"WaSender {len(mine) + 1}",
            base_url=settings.WASENDER_URL,
            token=token,
        )
        record(actor=actor, verb="account.added", target=account)
    return account


def manageable_by(user: User) -> GatewayAccountQuerySet:
    """The accounts whose token `user` may replace or remove: their own, and an administrator the operator's."""
    mine = Q(user=user) | Q(user=None) if user.is_superuser else Q(user=user)
    return GatewayAccount.objects.alive().filter(mine).order_by("created_at", "pk")


def replace_token(*, actor: User, account: GatewayAccount, token: str) -> GatewayAccount:
    """Puts a new token in the place of an old one of the same gateway account."""
    found = managed(actor, account)
    token = _checked(token, found.base_url)
    ours = set(found.wa_sessions.alive().exclude(wasender_id=None).values_list("wasender_id", flat=True))
    if ours:
        _check_same_account(found, token, ours)
    with transaction.atomic():
        found.token = token
        found.save(update_fields=["token"])
        record(actor=actor, verb="account.token_replaced", target=found, owner=found.user)
    return found


def grant(*, actor: User, account: GatewayAccount, users: Iterable[User]) -> GatewayAccount:
    """Lets exactly these people create sessions on an operator's account. Sessions that others have there stay."""
    found = managed(actor, account)
    if found.user_id is not None:
        raise ServiceError(_("Only an account for the whole installation is granted to people."), code="not_found")
    with transaction.atomic():
        before = set(found.granted_to.values_list("public_id", flat=True))
        found.granted_to.set(users)
        after = set(found.granted_to.values_list("public_id", flat=True))
        if before != after:
            lists = sorted(map(str, before)), sorted(map(str, after))
            record(actor=actor, verb="account.granted", target=found, changes={"granted_to": lists})
    return found


def managed(actor: User, account: GatewayAccount) -> GatewayAccount:
    """The account, when `actor` may change it; else it does not exist."""
    found = manageable_by(actor).filter(pk=account.pk).first()
    if found is None:
        raise ServiceError(_("This gateway account does not exist."), code="not_found")
    return found


def ensure_sandbox_account(*, owner: User, url: str, token: str) -> GatewayAccount:
    """The owner's account at the sandbox of this machine, made or brought up to date. `url` with or without /api."""
    base = url.rstrip("/").removesuffix("/api") + "/api"
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=owner.pk)
        account = GatewayAccount.objects.filter(user=owner, is_sandbox=True).order_by("pk").first()
        if account is None:
            account = GatewayAccount(user=owner, name="Sandbox", is_sandbox=True)
        if account.base_url != base or account.token != token or account.pk is None:
            account.base_url, account.token = base, token
            account.save()
    return account


def can_receive_webhooks(account: GatewayAccount) -> bool:
    """Whether the gateway of `account` can reach us: from the internet only over public https (contract 2.1)."""
    if account.is_sandbox:
        return bool(settings.LOCAL_URL)
    url = urlsplit(settings.PUBLIC_URL)
    return url.scheme == "https" and _is_public(url.hostname or "")


def webhook_url(wa_session: WaSenderSession) -> str:
    """The address to register for a session; empty where webhooks cannot arrive and stay off."""
    account = wa_session.account
    if not can_receive_webhooks(account):
        return ""
    base = settings.LOCAL_URL if account.is_sandbox else settings.PUBLIC_URL
    return f"{base.rstrip('/')}/whatsappapi/webhook/{wa_session.user.public_id}/{wa_session.webhook_token}/"


def hook_settings(info: SessionInfo) -> dict[str, object]:
    """A session's webhook settings at the gateway, as they can be put there again."""
    return {
        "webhook_url": info.webhook_url or None,
        "webhook_enabled": info.webhook_enabled,
        "webhook_events": list(info.webhook_events),
    }


def give_back_webhook(row: WaSenderSession) -> str:
    """Ends our webhook at a session that leaves us but stays at the gateway: what stood there before comes back.

    Returns a sentence for a person when the gateway could not be told, else nothing.
    """
    settings_ = json.loads(row.adopted_webhook) if row.adopted_webhook else {}
    if not settings_ and not webhook_url(row):
        return ""  # none of ours was ever registered
    token, number = row.account.token, row.wasender_id
    try:
        client_call(
            row.account,
            lambda gateway: gateway.update_session(token, number, **(settings_ or {"webhook_enabled": False})),
        )
    except NotFound:
        return ""
    except GatewayError as error:
        old = (
            _(" Before, it was %(settings)s.") % {"settings": settings_["webhook_url"]}
            if settings_.get("webhook_url")
            else ""
        )
        return _("%(user_message)s So its webhook at WaSender still points here: change it there.%(old)s") % {
            "user_message": _(error.user_message),
            "old": old,
        }
    return ""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a gateway account's events arrive. `remedy` is what a person has to do; empty when all is well."""

    account: str
    owner: str
    url: str
    sessions: int
    proven: int
    last_event: datetime | None
    remedy: str


def reach() -> list[Reach]:
    """All accounts of the installation, for its administrator."""
    last = WebhookEvent.objects.filter(session=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    rows = WaSenderSession.objects.alive().exclude(wasender_id=None).annotate(last_event=Subquery(last))
    facts: dict[int, list[tuple[datetime | None, datetime | None]]] = {}
    for account, proven_at, event in rows.values_list("account", "webhook_proven_at", "last_event"):
        facts.setdefault(account, []).append((proven_at, event))
    accounts = GatewayAccount.objects.alive().select_related("user").order_by("created_at", "pk")
    return [_reach(one, facts.get(one.pk, [])) for one in accounts]


def _reach(account: GatewayAccount, facts: list[tuple[datetime | None, datetime | None]]) -> Reach:
    base = settings.LOCAL_URL if account.is_sandbox else settings.PUBLIC_URL
    proven = sum(proven_at is not None for proven_at, __ in facts)
    if not can_receive_webhooks(account):
        what = (
            _("PUBLIC_URL is %(base)s, which cannot be reached from the internet.") % {"base": base}
            if base
            else _("PUBLIC_URL is not set.")
        )
        remedy = _(
            "%(what)s Set PUBLIC_URL to an https address that WaSender can reach, and restart; until then STOP is lost."
        ) % {"what": what}
    elif proven < len(facts) and not account.is_sandbox:
        remedy = ngettext(
            "%(proven)s session is not proven: link it anew, or restart it.",
            "%(proven)s sessions are not proven: link them anew, or restart them.",
            len(facts) - proven,
        ) % {"proven": grouped(len(facts) - proven)}
    else:
        remedy = ""
    return Reach(
        account=account.name,
        owner=account.user.email if account.user else _("the whole installation"),
        url=base,
        sessions=len(facts),
        proven=proven,
        last_event=max((event for __, event in facts if event), default=None),
        remedy=remedy,
    )


def update_webhooks(owner: User) -> int:
    """Tells the sandbox where we are now, for each of the owner's sessions whose address changed. Returns how many."""
    accounts = GatewayAccount.objects.filter(user=owner, is_sandbox=True)
    return sum(client_call(account, partial(_update_webhooks, account, _addresses(account))) for account in accounts)


def _addresses(account: GatewayAccount) -> dict[int, str]:
    rows = account.wa_sessions.alive().exclude(wasender_id=None).select_related("account", "user")
    return {row.wasender_id: webhook_url(row) for row in rows}


async def _update_webhooks(account: GatewayAccount, addresses: dict[int, str], gateway: WaSender) -> int:
    changed = 0
    for info in await gateway.list_sessions(account.token):
        url = addresses.get(info.id)
        if url and info.webhook_url != url:
            await gateway.update_session(account.token, info.id, webhook_url=url, webhook_enabled=True)
            changed += 1
    return changed


def _checked(token: str, base_url: str) -> str:
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ServiceError(_("This is not an access token. Copy it whole from the WaSender dashboard."), code="invalid")
    try:
        client_call(base_url, lambda gateway: gateway.auth_check(token))
    except Unauthorized:
        raise ServiceError(
            _(
                "The gateway does not accept this access token. Nothing was saved. "
                "Copy it again from the WaSender dashboard."
            ),
            code="unauthorized",
        ) from None
    except GatewayError as error:
        raise explain(error, _("The token could not be checked, so nothing was saved.")) from error
    return token


def _check_same_account(account: GatewayAccount, token: str, ours: set[int]) -> None:
    try:
        theirs = {one.id for one in client_call(account, lambda gateway: gateway.list_sessions(token))}
    except GatewayError as error:
        raise explain(error, _("The old token was kept.")) from error
    if not ours & theirs:
        raise ServiceError(
            _("This token belongs to another WaSender account: it knows none of your sessions. The old one was kept."),
            code="other_account",
        )


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(_PRIVATE_ENDINGS)
