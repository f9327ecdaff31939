"""One act on many sessions, and what came of it for each; and what a session's own record says of it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.sessions import WaSenderSession


class BulkActionQuerySet(models.QuerySet["BulkAction"]):
    def visible_to(self, user: User) -> BulkActionQuerySet:
        """The only way a page or the API loads a bulk action by id: somebody else's is not there."""
        return self.filter(user=user)

    def unfinished(self) -> BulkActionQuerySet:
        return self.filter(finished_at=None)


class BulkAction(models.Model):
    """A verb on many sessions, done one after another by a job. Its results are the cursor."""

    class Verb(models.TextChoices):
        CONNECT = "connect", _("Connect")
        DISCONNECT = "disconnect", _("Disconnect")
        DELETE = "delete", _("Delete")

    class State(models.TextChoices):
        WAITING = "waiting", _("In line")
        RUNNING = "running", _("Under way")
        DONE = "done", _("Finished")
        STOPPED = "stopped", _("Stopped")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="bulk_actions")
    verb = models.CharField(max_length=10, choices=Verb.choices)
    at_gateway = models.BooleanField(default=False, help_text="Delete at the gateway too")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0, help_text="As asked, or already so")
    failed = models.PositiveIntegerField(default=0)
    note = models.CharField(max_length=200, blank=True, default="", help_text="What it waits for")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = BulkActionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [models.Index(fields=["user"], name="bulk_unfinished", condition=Q(finished_at=None))]

    def __str__(self) -> str:
        return f"{self.verb} {self.total} sessions"


class BulkResult(models.Model):
    """One session's turn in a bulk action. Without an outcome it is still to come."""

    class Outcome(models.TextChoices):
        DONE = "done", _("Done")
        SKIPPED = "skipped", _("Nothing to do")
        FAILED = "failed", _("Not done")
        LEFT = "left", pgettext_lazy("a session", "Left out")

    action = models.ForeignKey(BulkAction, on_delete=models.CASCADE, related_name="results", db_index=False)
    session = models.ForeignKey(WaSenderSession, null=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(max_length=60, help_text="The session's, in case it goes")
    position = models.PositiveIntegerField()
    outcome = models.CharField(max_length=8, choices=Outcome.choices, blank=True, default="")
    text = models.CharField(max_length=300, blank=True, default="")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Times the gateway was not there")
    at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["action", "position"], name="bulk_result_place")]

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome or 'to come'}"


class SessionDoubt(models.Model):
    """What a session's latest attempts say against it (services/health.py). Beside the session, whose row the engine
    locks at each tick."""

    class Kind(models.TextChoices):
        FAILURES = "failures", _("failures rising")
        ACKS = "acks", _("confirmed late")

    session = models.OneToOneField(WaSenderSession, on_delete=models.CASCADE, primary_key=True, related_name="doubt")
    kind = models.CharField(max_length=8, choices=Kind.choices, blank=True, default="", help_text="Empty: none")
    reason = models.CharField(max_length=200, blank=True, default="")
    weighed_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.reason or "no doubt"
