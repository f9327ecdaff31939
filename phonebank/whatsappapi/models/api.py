"""What the API remembers between requests: answers to repeat, and how often a person asked."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import connection, models
from django.db.models.functions import Now
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.contacts import OwnedQuerySet
from phonebank.whatsappapi.models.fields import EncryptedTextField
from phonebank.whatsappapi.models.messages import Message

KEPT = timedelta(hours=24)

# One statement, so that several processes count exactly; the row of a person's minute is made anew each minute.
_COUNT = """
INSERT INTO whatsappapi_apiusage AS u (user_id, minute, n) VALUES (%(user)s, date_trunc('minute', now()), 1)
ON CONFLICT (user_id) DO UPDATE SET minute = excluded.minute,
  n = CASE WHEN u.minute = excluded.minute THEN u.n + 1 ELSE 1 END
RETURNING n, 60 - extract(second FROM now())
"""


class ApiAnswerQuerySet(models.QuerySet["ApiAnswer"]):
    def expired(self) -> ApiAnswerQuerySet:
        return self.filter(created_at__lt=timezone.now() - KEPT)

    def delete_expired(self) -> None:
        self.expired().delete()


class ApiAnswer(models.Model):
    """A POST under an Idempotency-Key. `status` is null until it is answered. Holds hashes of key and request only."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=64, help_text="Keyed hash of the Idempotency-Key")
    request = models.CharField(max_length=64, help_text="Keyed hash of method, address and body")
    status = models.SmallIntegerField(null=True)
    body = EncryptedTextField(blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    objects = ApiAnswerQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="api_answer_once")]

    def __str__(self) -> str:
        return f"{self.status or 'open'} since {self.created_at:%H:%M:%S}"


class ApiMessage(models.Model):
    """The public id of a single message that a program sent. Not a column of Message, of which there are millions."""

    public_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    # Without a constraint: who tidies messages away in bulk need not know of this table.
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="handle", db_constraint=False)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        verbose_name = "message"
        indexes = [models.Index(fields=["user", "message"], name="api_message_recent")]

    def __str__(self) -> str:
        return str(self.public_id)


class ApiUsage(models.Model):
    """How many requests a person made in the minute that began at `minute`."""

    user = models.OneToOneField(User, primary_key=True, on_delete=models.CASCADE, related_name="+")
    minute = models.DateTimeField()
    n = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.n} since {self.minute:%H:%M}"

    @staticmethod
    def count(user: User) -> tuple[int, float]:
        """Counts one request. Returns how many of this minute it makes, and the seconds left of the minute."""
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, {"user": user.pk})
            n, left = cursor.fetchone()
        return n, float(left)
