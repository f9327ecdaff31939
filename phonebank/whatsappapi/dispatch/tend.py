"""Looks after running campaigns: re-deals what is stuck, completes what is done. Safe to run anywhere and twice."""

from __future__ import annotations

import logging

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from phonebank.whatsappapi.dispatch.deal import redeal
from phonebank.whatsappapi.dispatch.sql.between import SURPLUS
from phonebank.whatsappapi.dispatch.sql.reports import OPEN, RESET
from phonebank.whatsappapi.dispatch.windows import present_or_next
from phonebank.whatsappapi.models import Campaign

log = logging.getLogger(__name__)


def reset_usage() -> int:
    """Opens the new day of the sessions whose owner's midnight has passed. Returns how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(RESET)
        return cursor.rowcount


def mark_surplus() -> int:
    """Brings up to date which sessions are more than their owner's plan allows. Returns how many changed."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SURPLUS)
        return cursor.rowcount


def tend() -> bool:
    """One round over the running campaigns. True where rows were moved (so that there may be more to do)."""
    moved = 0
    open_windows()
    for campaign, policy in Campaign.objects.filter(state="running").values_list("pk", "policy"):
        try:
            moved += redeal(campaign, policy)
            complete(campaign)
        except Exception:
            # What is wrong with one campaign must not hold up the others.
            log.exception("Campaign %s could not be looked after", campaign)
    return moved > 0


def open_windows() -> int:
    """Writes the present (or next) sending window of running campaigns whose last one is over. Returns how many."""
    now = timezone.now()
    over = Campaign.objects.filter(Q(open_until=None) | Q(open_until__lte=now), state="running", windows__isnull=False)
    changed = 0
    for campaign, windows, zone in over.values_list("pk", "windows", "user__time_zone"):
        window = present_or_next(windows, zone, now)
        if window:
            same = Campaign.objects.filter(pk=campaign, windows=windows)
            changed += same.update(open_from=window[0], open_until=window[1])
    return changed


def complete(campaign: int) -> bool:
    """Ends a campaign none of whose rows can still move by itself.

    Whoever puts a row back into the queue locks the campaign first (`reopen`), so the two cannot miss each other.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(OPEN, [campaign])
        if cursor.fetchone()[0]:
            return False
        cursor.execute(
            "SELECT 1 FROM whatsappapi_campaign WHERE id = %s AND state = 'running' FOR NO KEY UPDATE", [campaign]
        )
        if cursor.fetchone() is None:
            return False
        cursor.execute(OPEN, [campaign])
        if cursor.fetchone()[0]:
            return False
        cursor.execute(
            "UPDATE whatsappapi_campaign SET state = 'completed', finished_at = now() WHERE id = %s", [campaign]
        )
        return True


def reopen(campaign: int) -> None:
    """Locks a campaign, and opens a completed one again. Call it before putting a row back into the queue."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM whatsappapi_campaign WHERE id = %s FOR NO KEY UPDATE", [campaign])
        cursor.execute(
            "UPDATE whatsappapi_campaign SET state = 'running', finished_at = NULL "
            "WHERE id = %s AND state = 'completed'",
            [campaign],
        )
