"""Who may use somebody else's session, as what and until when."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.sessions import WaSenderSession


class SessionShareQuerySet(models.QuerySet["SessionShare"]):
    def unended(self) -> SessionShareQuerySet:
        """Neither declined nor left nor revoked; its time may be over all the same."""
        return self.filter(ended_at=None)

    def live(self) -> SessionShareQuerySet:
        """Those that hold at this moment (dispatch/sql/shares.py says the same to the engine)."""
        until = Q(until=None) | Q(until__gt=timezone.now())
        return self.filter(
            until,
            ended_at=None,
            accepted_at__isnull=False,
            session__deleted_at=None,
            session__user__is_active=True,
        )

    def waiting(self) -> SessionShareQuerySet:
        """Invitations that nobody has answered and whose time is not over."""
        until = Q(until=None) | Q(until__gt=timezone.now())
        return self.filter(until, ended_at=None, accepted_at=None, session__deleted_at=None)


class SessionShare(models.Model):
    """A session lent to a person: an invitation by e-mail address until somebody accepts it.

    `user` is empty until then. Only a digest of the invitation's one-time token is kept, and only until it is used.
    """

    class Role(models.TextChoices):
        VIEWER = "viewer", _("Viewer")
        OPERATOR = "operator", _("Operator")

    class End(models.TextChoices):
        DECLINED = "declined"
        LEFT = "left"
        REVOKED = "revoked"
        REPLACED = "replaced"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="shares", db_index=False)
    email = models.EmailField(help_text="As invited, in lower case")
    user = models.ForeignKey(
        User, null=True, on_delete=models.CASCADE, related_name="session_shares", help_text="Who accepted"
    )
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.VIEWER)
    until = models.DateTimeField(null=True, blank=True, help_text="When it ends by itself; empty: never")
    digest = models.CharField(max_length=64, blank=True, default="", help_text="Of the invitation's one-time token")
    link_until = models.DateTimeField(null=True, help_text="Until when that token opens the invitation")
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    invited_at = models.DateTimeField(db_default=Now())
    told_at = models.DateTimeField(null=True, help_text="When the mail about it left")
    accepted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    end = models.CharField(max_length=8, choices=End.choices, blank=True, default="")

    objects = SessionShareQuerySet.as_manager()

    class Meta:
        ordering = ["invited_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["session", "email"], condition=Q(ended_at=None), name="share_once_by_email"
            ),
            # The engine asks by these two at every claim for somebody else's session.
            models.UniqueConstraint(fields=["session", "user"], condition=Q(ended_at=None), name="share_once_by_user"),
            models.UniqueConstraint(fields=["digest"], condition=~Q(digest=""), name="share_digest"),
            models.CheckConstraint(condition=Q(accepted_at=None) | Q(user__isnull=False), name="share_accepted_by_who"),
        ]
        indexes = [
            models.Index(fields=["email"], name="share_waiting", condition=Q(ended_at=None, accepted_at=None)),
            models.Index(fields=["session"], name="share_session"),
        ]

    def __str__(self) -> str:
        return f"{self.session} for {self.email} as {self.role}"

    @property
    def is_live(self) -> bool:
        return self.ended_at is None and self.accepted_at is not None and not self.is_over

    @property
    def is_over(self) -> bool:
        """Its time has passed."""
        return self.until is not None and self.until <= timezone.now()
