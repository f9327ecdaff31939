"""The tables of the simplest sender."""

from __future__ import annotations

from django.db import models
from django.db.models import F


class WaSenderSessionQuerySet(models.QuerySet):
    def get_next_available_session(self, exclude_sessions=()):
        """Connected, active, below its limit, used longest ago."""
        return (
            self.filter(is_active=True, status="connected", messages_sent_today__lt=F("daily_limit"))
            .exclude(pk__in=[session.pk for session in exclude_sessions])
            .order_by("last_used_at")
            .first()
        )


class WaSenderSession(models.Model):
    session_name = models.CharField(max_length=60)
    api_key = models.CharField(max_length=100)
    status = models.CharField(max_length=20, default="connected")
    is_active = models.BooleanField(default=True)
    daily_limit = models.PositiveIntegerField(default=10_000_000)
    messages_sent_today = models.PositiveIntegerField(default=0)
    last_used_at = models.DateTimeField()

    objects = WaSenderSessionQuerySet.as_manager()


class Message(models.Model):
    phone = models.CharField(max_length=20)
    body = models.TextField()
    status = models.CharField(max_length=10, default="pending", db_index=True)
    session = models.ForeignKey(WaSenderSession, null=True, on_delete=models.SET_NULL)
    msg_id = models.BigIntegerField(null=True)
    sent_at = models.DateTimeField(null=True)
