"""One message by the book: pick the session, post, save both rows."""

from __future__ import annotations

import requests
from django.conf import settings
from django.utils import timezone

from blueprint.models import Message, WaSenderSession


def send(message: Message) -> None:
    session = WaSenderSession.objects.get_next_available_session()
    answer = requests.post(
        settings.WORK["url"],
        json={"to": message.phone, "text": message.body},
        headers={"Authorization": f"Bearer {session.api_key}"},
        timeout=20,
    )
    answer.raise_for_status()
    message.status, message.session, message.sent_at = "sent", session, timezone.now()
    message.msg_id = answer.json()["data"]["msgId"]
    message.save()
    session.messages_sent_today += 1
    session.last_used_at = timezone.now()
    session.save(update_fields=["messages_sent_today", "last_used_at"])
