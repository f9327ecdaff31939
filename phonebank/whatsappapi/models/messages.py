"""Messages, and the record of every request that may have left."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.campaigns import Campaign
from phonebank.whatsappapi.models.contacts import Contact
from phonebank.whatsappapi.models.sessions import WaSenderSession


class Kind(models.TextChoices):
    """What a message is for; what each must obey is the table in dispatch/kinds.py."""

    CAMPAIGN = "campaign"
    TRANSACTIONAL = "transactional"
    REPLY = "reply"
    TEST = "test"
    CONFIRMATION = "confirmation"
    PROBE = "probe"


class State(models.TextChoices):
    """What we know of our own sending (ARCHITECTURE.md draws the machine)."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


# What the world reported, as the word that it is merged into (dispatch/sql/words.py says it to the database).
RANKS = {2: "sent", 3: "delivered", 4: "read", 5: "read"}
WORDS = [*State.values, *dict.fromkeys(RANKS.values())]


def has_word(word: str, prefix: str = "") -> Q:
    """Messages whose merged word (one of WORDS) is this; `prefix`: the path to the message, such as `message__`."""
    ranks = [rank for rank, one in RANKS.items() if one == word]
    if ranks:
        return Q(**{f"{prefix}state": State.ACCEPTED, f"{prefix}rank__in": ranks})
    found = Q(**{f"{prefix}state": word})
    return found & Q(**{f"{prefix}rank__lt": min(RANKS)}) if word == State.ACCEPTED else found


class Message(models.Model):
    """One message to one person. `state` is our own knowledge, `rank` what the world reported (0 none .. 5 played).

    No index names `state`: moving it must not touch an index (send-path.md 4).
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    campaign = models.ForeignKey(Campaign, null=True, on_delete=models.CASCADE, related_name="messages", db_index=False)
    contact = models.ForeignKey(Contact, null=True, on_delete=models.SET_NULL, related_name="messages", db_index=False)
    session = models.ForeignKey(
        WaSenderSession,
        null=True,
        on_delete=models.SET_NULL,
        related_name="messages",
        db_index=False,
        help_text="The session it is dealt to",
    )
    phone = models.CharField(max_length=20, help_text="E.164")
    kind = models.CharField(max_length=14, choices=Kind.choices, db_default=Kind.CAMPAIGN)
    state = models.CharField(max_length=10, choices=State.choices, db_default=State.QUEUED)
    rank = models.SmallIntegerField(db_default=0)
    position = models.BigIntegerField(null=True, help_text="Place in the session's lane of the campaign")
    retry_at = models.DateTimeField(null=True)
    attempt = models.UUIDField(null=True, help_text="The current attempt: outcomes of any other change nothing")
    tries = models.SmallIntegerField(db_default=0)
    tried = ArrayField(
        models.CharField(max_length=40), db_default=[], help_text="session:key version:connection that refused it"
    )
    reason = models.CharField(max_length=200, db_default="")
    why = models.CharField(max_length=60, db_default="", help_text="Why it left (or waits) at this session")
    # Null, not empty: no column to fill for each of a million campaign rows.
    body = models.TextField(null=True, help_text="Of single messages; a campaign's is rendered when sent")  # noqa: DJ001
    media = models.JSONField(null=True, help_text="Of single messages: kind, url, name")
    variables = models.JSONField(db_default={}, help_text="Snapshot for the merge tags")
    time_zone = models.CharField(max_length=64, db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "phone"], name="message_once_per_campaign")]
        indexes = [
            models.Index(fields=["campaign", "session", "position"], name="message_lane"),
            models.Index(fields=["session", "retry_at"], name="message_retry", condition=Q(retry_at__isnull=False)),
            # Replies, tests and confirmations come first, whatever number of campaign rows is due beside them.
            models.Index(
                fields=["session", "retry_at"],
                name="message_single",
                condition=Q(retry_at__isnull=False, campaign__isnull=True),
            ),
            models.Index(fields=["user", "phone"], name="message_person"),
        ]

    def __str__(self) -> str:
        return f"{self.phone[:-4]}.... {self.state}"

    @property
    def word(self) -> str:
        """State and rank as the one word that pages show."""
        return RANKS.get(self.rank, "accepted") if self.state == State.ACCEPTED else self.state


class Attempt(models.Model):
    """A request that may have left: which session wrote to whom, under which key, and what came of it."""

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted"
        REJECTED = "rejected"
        DEFERRED = "deferred"
        NOT_SENT = "not_sent"
        UNKNOWN = "unknown"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attempts")
    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    phone = models.CharField(max_length=20)
    worker = models.CharField(max_length=60)
    why = models.CharField(
        max_length=60, db_default="", help_text="Why it left from its session; empty: as the message still says"
    )
    key_version = models.IntegerField()
    connection_version = models.IntegerField()
    usage_date = models.DateField(null=True)
    body_hash = models.BinaryField(max_length=32)
    started_at = models.DateTimeField()
    lease_until = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, help_text="The request is over (or its lease is)")
    resolved_at = models.DateTimeField(null=True, help_text="Its outcome is known, or given up on")
    outcome = models.CharField(max_length=10, choices=Outcome.choices, db_default="")
    http_status = models.SmallIntegerField(null=True)
    detail = models.CharField(max_length=500, db_default="")
    msg_id = models.BigIntegerField(null=True)
    key_id = models.CharField(max_length=80, db_default="")
    sent_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["session", "phone"], condition=Q(resolved_at__isnull=True), name="one_open_attempt"
            ),
            models.UniqueConstraint(
                fields=["session", "msg_id"], condition=Q(msg_id__isnull=False), name="attempt_msg_id"
            ),
        ]
        indexes = [
            models.Index(
                fields=["session", "lease_until"], name="attempt_in_flight", condition=Q(finished_at__isnull=True)
            ),
            models.Index(
                fields=["session", "started_at"],
                name="attempt_unknown",
                condition=Q(outcome="unknown", resolved_at__isnull=True),
            ),
            # Whoever may or may not have received something, resolved or not: few, and asked for by pages.
            models.Index(fields=["session", "started_at"], name="attempt_doubtful", condition=Q(outcome="unknown")),
            models.Index(fields=["session", "key_id"], name="attempt_key_id", condition=~Q(key_id="")),
            models.Index(fields=["session", "started_at"], name="attempt_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.outcome or 'open'}"
