"""What people (and the machine, in their name) did. Rows are added, never changed: the database refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from phonebank.audit import redact
from phonebank.audit.origin import How, current


class EventQuerySet(models.QuerySet["Event"]):
    def visible_to(self, user: Any) -> EventQuerySet:
        """What somebody did, and what was done to their things; administrators see all."""
        return self if user.is_superuser else self.filter(Q(owner=user) | Q(actor=user))


class Event(models.Model):
    """One act: who, what, on which thing of whom, by which way. Never holds a secret, a text or a full phone number.

    `actor` and `owner` may point to people who are gone: the row cannot change any more, and their public id stays as
    a pseudonym (docs/audit.md). `changes` is field: [before, after].
    """

    at = models.DateTimeField(db_default=Now())
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False,
        db_index=False,
    )  # fmt: skip
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False,
        db_index=False,
    )  # fmt: skip
    actor_ref = models.UUIDField(null=True)
    owner_ref = models.UUIDField(null=True)
    verb = models.CharField(max_length=60)
    target = models.CharField(max_length=80, blank=True, default="")
    target_id = models.CharField(max_length=40, blank=True, default="")
    label = models.CharField(max_length=80, blank=True, default="", help_text="The thing's name at that time")
    how = models.CharField(max_length=20, blank=True, default="", choices=How.choices)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True, default="")
    changes = models.JSONField(default=dict)
    data = models.JSONField(default=dict)

    objects = EventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["owner", "-id"], name="audit_by_owner"),
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),
            models.Index(fields=["target_id", "-id"], name="audit_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target}"


class Seal(models.Model):
    """An event's place in the chain. The database adds it, empty, with the event; `chain.seal` fills it, once."""

    event = models.OneToOneField(
        Event, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="seal"
    )
    position = models.BigIntegerField(null=True, unique=True)
    link = models.BinaryField(null=True)

    class Meta:
        indexes = [models.Index(fields=["event"], name="audit_unsealed", condition=Q(position=None))]

    def __str__(self) -> str:
        return f"{self.event_id} at {self.position}"


class Head(models.Model):
    """The one row about the chain: how far it reaches, where it begins, and a code that only the key can make."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    count = models.BigIntegerField(default=0, help_text="Position of the last sealed event")
    link = models.BinaryField()
    base_count = models.BigIntegerField(default=0, help_text="Events before and at this position were pruned")
    base_link = models.BinaryField()
    sealed_at = models.DateTimeField(db_default=Now())
    code = models.BinaryField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_audit_head")]

    def __str__(self) -> str:
        return f"{self.count}:{bytes(self.link).hex()}"


def record(
    *,
    actor: Any,
    verb: str,
    target: Any = None,
    owner: Any = None,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
    **data: Any,
) -> Event:
    """Writes an event inside the caller's transaction: the act and its record stand or fall together.

    `actor` None is the machine itself; `owner` defaults to the target's user. `changes`: field -> (before, after).
    Way, address and request id come from where the act came in (audit/origin.py).
    """
    owner = owner or getattr(target, "user", None) or actor
    origin = current.get()
    return Event.objects.create(
        actor=actor,
        owner=owner,
        actor_ref=getattr(actor, "public_id", None),
        owner_ref=getattr(owner, "public_id", None),
        verb=verb,
        target=type(target).__name__ if target is not None else "",
        target_id=str(getattr(target, "public_id", getattr(target, "pk", ""))) if target is not None else "",
        label=_label(target),
        how=origin.how,
        address=origin.address,
        request_id=origin.request_id,
        changes={name: [redact.redact(one, name) for one in pair] for name, pair in (changes or {}).items()},
        data=redact.redact(data),
    )


def _label(target: Any) -> str:
    """A thing's name; of people only what does not name them: the end of a contact's number, nothing of a user."""
    if target is None or isinstance(target, get_user_model()):
        return ""
    for attribute in ("session_name", "phone", "name"):
        if text := getattr(target, attribute, ""):
            return redact.last_four(text) if attribute == "phone" else redact.label(str(text))
    return ""
