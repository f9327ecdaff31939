"""Something a person is told in words, as an alert: on their alerts page, and on the channels of their rules."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Alert

_TELL = """
INSERT INTO whatsappapi_alert (user_id, key, text, times, created_at)
SELECT u, %(key)s, %(text)s, 1, now() FROM unnest(%(users)s::bigint[]) AS u
ON CONFLICT (user_id, key) WHERE closed_at IS NULL
DO UPDATE SET times = whatsappapi_alert.times + 1, text = excluded.text
"""


def tell(users: Iterable[User | int], key: str, text: str) -> None:
    """Tells each of them, in the caller's transaction. While one alert of this `key` is open, it is brought up to date.

    Without a name, an address or a number of somebody else: alerts outlive the accounts that they are about.
    """
    ids = sorted({one if isinstance(one, int) else one.pk for one in users})
    with connection.cursor() as cursor:
        cursor.execute(_TELL, {"users": ids, "key": key[:100], "text": text[:300]})


def tell_administrators(key: str, text: str) -> None:
    tell(User.objects.filter(is_superuser=True, is_active=True).values_list("pk", flat=True), key, text)


def take_back(key: str) -> None:
    """What is settled needs nobody's look any more, whoever it was told."""
    Alert.objects.filter(key=key, closed_at=None).update(closed_at=timezone.now())
