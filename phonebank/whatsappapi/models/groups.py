"""Groups of sessions: a name and a colour to find and choose several numbers by."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.sessions import WaSenderSession


class SessionGroupQuerySet(models.QuerySet["SessionGroup"]):
    def visible_to(self, user: User) -> SessionGroupQuerySet:
        """The only way a page or the API loads a group by id: somebody else's is not there."""
        return self.filter(user=user)


class SessionGroup(models.Model):
    """Some of a user's sessions under one name. A session may be in several; deleted sessions stay members unseen."""

    class Colour(models.TextChoices):
        """Names of the palette. Green, yellow and red are not among them: those say how a session is."""

        BLUE = "blue", _("Blue")
        CYAN = "cyan", _("Cyan")
        INDIGO = "indigo", _("Indigo")
        PURPLE = "purple", _("Purple")
        PINK = "pink", _("Pink")
        ORANGE = "orange", _("Orange")
        GREY = "secondary", _("Grey")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="session_groups")
    name = models.CharField(max_length=60)
    colour = models.CharField(max_length=12, choices=Colour.choices, default=Colour.BLUE)
    sessions = models.ManyToManyField(WaSenderSession, blank=True, related_name="groups")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SessionGroupQuerySet.as_manager()

    class Meta:
        ordering = [Lower("name"), "pk"]
        constraints = [models.UniqueConstraint("user", Lower("name"), name="group_name_once_per_user")]

    def __str__(self) -> str:
        return self.name
