"""Failures that a webhook reported, believed only when the gateway says so itself (a forged event fails nobody)."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from phonebank.gateways.base import MessageInfo
from phonebank.gateways.errors import GatewayError, NotFound
from phonebank.whatsappapi.dispatch.statuses import Status, fail, merge
from phonebank.whatsappapi.models import WebhookEvent
from phonebank.whatsappapi.services.gateways import client_call
from phonebank.whatsappapi.services.webhooks import TO_CONFIRM

log = logging.getLogger(__name__)

TRIES = 20
REASON = "WhatsApp could not deliver it"


def confirm_failures(limit: int = 20) -> int:
    """Asks the gateway about reported failures, least often asked first. Returns how many are settled."""
    waiting = WebhookEvent.objects.filter(state=WebhookEvent.State.UNMATCHED, note=TO_CONFIRM, msg_id__isnull=False)
    settled = 0
    for event in waiting.select_related("session__account").order_by("tries", "pk")[:limit]:
        info = _ask(event)
        if info is not None:
            _apply(event, info)
            settled += 1
    return settled


def _ask(event: WebhookEvent) -> MessageInfo | None:
    wa_session, number = event.session, event.msg_id or 0
    try:
        return client_call(wa_session.account, lambda gateway: gateway.message_info(wa_session.api_key, number))
    except GatewayError as error:
        over = isinstance(error, NotFound) or event.tries >= TRIES
        note = f"{TO_CONFIRM}: given up ({error.code})" if over else TO_CONFIRM
        state = WebhookEvent.State.DONE if over else WebhookEvent.State.UNMATCHED
        WebhookEvent.objects.filter(pk=event.pk).update(tries=event.tries + 1, note=note, state=state)
        log.info("A failure reported for session %s could not be confirmed (%s)", wa_session.pk, error.code)
        return None


def _apply(event: WebhookEvent, info: MessageInfo) -> None:
    now: datetime = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        if info.status == 0:
            fail(cursor, event.session_id, info.msg_id, REASON)
        elif info.status is not None:
            merge(cursor, [Status(event.session_id, info.status, info.msg_id, info.key_id[:80], now)])
        WebhookEvent.objects.filter(pk=event.pk).update(state=WebhookEvent.State.DONE, note="confirmed by the gateway")
