"""What the worker processes say of themselves."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class WorkerReport(models.Model):
    """One process, as it last reported. Rounds are ticks (send) or batches of webhooks (work); times in seconds."""

    class Kind(models.TextChoices):
        SEND = "send"
        WORK = "work"

    worker = models.CharField(max_length=60, primary_key=True, help_text="host:pid")
    kind = models.CharField(max_length=4, choices=Kind.choices)
    host = models.CharField(max_length=60)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    shards = ArrayField(models.SmallIntegerField(), default=list)
    rounds = models.BigIntegerField(default=0)
    items = models.BigIntegerField(default=0, help_text="Claims, or webhooks applied")
    median = models.FloatField(default=0, help_text="Of a round, in the last window")
    longest = models.FloatField(default=0, help_text="Round of the last window")
    recent = ArrayField(models.FloatField(), default=list, help_text="Longest round of each of the last windows")
    lag = models.FloatField(default=0, help_text="Longest time from received to applied in the last window")
    outcomes = models.JSONField(default=dict, help_text="How often each came, since the start")

    def __str__(self) -> str:
        return f"{self.worker} ({self.kind})"
