"""Tokens that programs log in with. Only a hash is kept: whoever copies the database opens no door."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.crypto import hash_token
from knox.models import AbstractAuthToken

from phonebank.audit.models import record

USED_STEP = timedelta(minutes=1)  # `last_used_at` is that exact: not a write for every request
MOST = 50  # tokens of one person


class TooManyTokens(Exception):
    """This person has as many tokens as anybody may have."""


class ApiToken(AbstractAuthToken):
    """A token of a person, with all their rights (write) or only to look (read). `token_key` is how it begins."""

    class Scope(models.TextChoices):
        READ = "read", _("Read only")
        WRITE = "write", _("Read and write")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=60)
    scope = models.CharField(max_length=5, choices=Scope.choices, default=Scope.READ)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created"]

    @property
    def may_write(self) -> bool:
        return self.scope == self.Scope.WRITE

    @property
    def is_expired(self) -> bool:
        return self.expiry is not None and self.expiry <= timezone.now()


def create_token(*, actor: Any, name: str, scope: str, days: int | None) -> tuple[ApiToken, str]:
    """A new token of the actor's and its text, which nobody can ever read again. `days` None: until it is revoked."""
    with transaction.atomic():
        get_user_model().objects.select_for_update(no_key=True).get(pk=actor.pk)
        if ApiToken.objects.filter(user=actor).count() >= MOST:
            raise TooManyTokens
        expiry = timedelta(days=days) if days else None
        token, text = ApiToken.objects.create(actor, expiry, name=name.strip(), scope=scope)
        record(actor=actor, verb="token.created", target=token, name=token.name, scope=scope, days=days)
    return token, text


def revoke_token(*, actor: Any, public_id: uuid.UUID) -> ApiToken | None:
    """Ends a token of the actor's; the next request with it is refused. None when there is no such token."""
    with transaction.atomic():
        token = ApiToken.objects.select_for_update().filter(user=actor, public_id=public_id).first()
        if token is not None:
            token.delete()
            record(actor=actor, verb="token.revoked", target=token, name=token.name)
    return token


def find_token(text: str) -> ApiToken | None:
    """The token behind `text` while it can be used, its user loaded. Found by hash: timing tells nothing."""
    now = timezone.now()
    tokens = ApiToken.objects.filter(Q(expiry=None) | Q(expiry__gt=now), digest=hash_token(text), user__is_active=True)
    token = tokens.select_related("user").first()
    if token is not None and (token.last_used_at is None or now - token.last_used_at > USED_STEP):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token
