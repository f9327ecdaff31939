"""What is kept for a time only: webhooks as they came (what they told stands in the rows they changed), old logins.

The other classes are pruned where they are made; docs/operations.md lists all with their ages.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from phonebank.accounts.models import OneTimeLink

CHUNK = 2000
LINKS_KEPT = timedelta(days=30)  # after a one-time link ended; the audit log keeps that it was used
# By number, that is about in the order of their coming: nothing is read but the oldest one, unless that is over.
PRUNE = """
WITH oldest AS (
  SELECT id, received_at, state FROM whatsappapi_webhookevent
  WHERE (SELECT received_at FROM whatsappapi_webhookevent ORDER BY id LIMIT 1) < now() - make_interval(days => %(days)s)
  ORDER BY id LIMIT %(chunk)s
), gone AS (
  SELECT e.id FROM whatsappapi_webhookevent e JOIN oldest o ON o.id = e.id
  WHERE o.received_at < now() - make_interval(days => %(days)s) AND o.state IN ('done', 'quarantined')
  ORDER BY e.id FOR UPDATE OF e SKIP LOCKED
)
DELETE FROM whatsappapi_webhookevent e USING gone WHERE e.id = gone.id
"""


def prune_webhooks(chunk: int = CHUNK) -> int:
    """Deletes some of the webhooks that are applied and older than WEBHOOK_KEEP_DAYS. Returns how many.

    Those that wait to be applied stay. One that comes again after that is applied again, which changes nothing:
    statuses only rise, and messages are known by their key.
    """
    with connection.cursor() as cursor:
        cursor.execute(PRUNE, {"days": settings.WEBHOOK_KEEP_DAYS, "chunk": chunk})
        return cursor.rowcount


def prune_logins() -> int:
    """Deletes logins that have run out and one-time links long over. Returns how many."""
    now = timezone.now()
    old = list(Session.objects.filter(expire_date__lt=now).values_list("pk", flat=True)[:CHUNK])
    gone, _ = Session.objects.filter(pk__in=old, expire_date__lt=now).delete()
    links, _ = OneTimeLink.objects.filter(expires_at__lt=now - LINKS_KEPT).delete()
    return gone + links
