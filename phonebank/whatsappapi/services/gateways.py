"""Accounts at the gateway, and whether the gateway can reach us."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways import sync
from phonebank.gateways.errors import GatewayError, Unauthorized
from phonebank.gateways.wasender import WaSender
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
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
    return ServiceError(f"{error.user_message} {kept}", code=error.code)


def add_account(*, actor: User, token: str, name: str = "") -> GatewayAccount:
    """Stores a personal access token that the gateway has just accepted. Its address is the installation's."""
    token = _checked(token, settings.WASENDER_URL)
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        mine = list(GatewayAccount.objects.filter(user=owner))
        if any(account.token == token for account in mine):
            raise ServiceError("You have already added this access token. Nothing was changed.", code="duplicate")
        account = GatewayAccount.objects.create(
            user=owner,
            name=name.strip()[:60] or f"WaSender {len(mine) + 1}",
            base_url=settings.WASENDER_URL,
            token=token,
        )
        record(actor=actor, verb="account.added", target=account)
    return account


def replace_token(*, actor: User, account: GatewayAccount, token: str) -> GatewayAccount:
    """Puts a new token in the place of an old one of the same gateway account."""
    found = GatewayAccount.objects.filter(pk=account.pk).first()
    if found is None or not (found.user_id == actor.pk or (found.user_id is None and actor.is_superuser)):
        raise ServiceError("This gateway account does not exist.", code="not_found")
    token = _checked(token, found.base_url)
    ours = set(found.wa_sessions.alive().exclude(wasender_id=None).values_list("wasender_id", flat=True))
    if ours:
        _check_same_account(found, token, ours)
    with transaction.atomic():
        found.token = token
        found.save(update_fields=["token"])
        record(actor=actor, verb="account.token_replaced", target=found, owner=found.user)
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
        raise ServiceError("This is not an access token. Copy it whole from the WaSender dashboard.", code="invalid")
    try:
        client_call(base_url, lambda gateway: gateway.auth_check(token))
    except Unauthorized:
        raise ServiceError(
            "The gateway does not accept this access token. Nothing was saved. "
            "Copy it again from the WaSender dashboard.",
            code="unauthorized",
        ) from None
    except GatewayError as error:
        raise explain(error, "The token could not be checked, so nothing was saved.") from error
    return token


def _check_same_account(account: GatewayAccount, token: str, ours: set[int]) -> None:
    try:
        theirs = {one.id for one in client_call(account, lambda gateway: gateway.list_sessions(token))}
    except GatewayError as error:
        raise explain(error, "The old token was kept.") from error
    if not ours & theirs:
        raise ServiceError(
            "This token belongs to another WaSender account: it knows none of your sessions. The old one was kept.",
            code="other_account",
        )


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(_PRIVATE_ENDINGS)
