"""What is still to be asked of the gateway, and how often it may be asked."""

from __future__ import annotations

from django.db import models

from phonebank.whatsappapi.models.messages import Attempt
from phonebank.whatsappapi.models.sessions import WaSenderSession


class Watch(models.Model):
    """An attempt whose delivery nobody reported in time, so that it is asked for (docs/send-path.md 6).

    Beside `Attempt`, not in it: what most messages never need must not cost each of their updates an index entry.
    """

    attempt = models.OneToOneField(Attempt, on_delete=models.CASCADE, primary_key=True, related_name="watch")
    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="+", db_index=False)
    started_at = models.DateTimeField(help_text="Of the attempt")
    due_at = models.DateTimeField()
    asks = models.SmallIntegerField(default=0)
    rank = models.SmallIntegerField(default=0, help_text="What the last answer said; more than that, a webhook told")

    class Meta:
        indexes = [models.Index(fields=["session", "due_at"], name="watch_due")]

    def __str__(self) -> str:
        return f"{self.attempt_id}, asked {self.asks} times"


class Sweep(models.Model):
    """Up to where a session's attempts were looked through for missing reports."""

    session = models.OneToOneField(WaSenderSession, on_delete=models.CASCADE, primary_key=True, related_name="sweep")
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.session_id} until {self.until}"


class CallBudget(models.Model):
    """A share of the gateway's rate, kept over all workers. `key`: account:<id> or session:<id>."""

    key = models.CharField(max_length=40, primary_key=True)
    next_at = models.DateTimeField(help_text="When the next call may be made")
    closed_until = models.DateTimeField(null=True, help_text="Told to wait until then (429)")

    def __str__(self) -> str:
        return self.key
