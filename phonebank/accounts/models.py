"""Who uses the installation, and what their plan allows."""

from __future__ import annotations

import uuid
import zoneinfo
from datetime import timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import connection, models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.api_tokens import ApiToken as ApiToken


def validate_time_zone(name: str) -> None:
    """Refuses what is not an IANA zone name such as Europe/Madrid, known here and to the database.

    The send path reckons local dates in SQL: one name that PostgreSQL does not know would stop everybody's tick.
    """
    known = name in zoneinfo.available_timezones()
    if known:
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = %s)", [name])
            known = bool(cursor.fetchone()[0])
    if not known:
        raise ValidationError(
            _("%(name)s is not a time zone. Use a name such as Europe/Madrid.") % {"name": repr(name)}
        )


SOON = timedelta(days=7)  # before its end, a subscription's owner is told of it


class Plan(models.Model):
    """Limits that a subscription grants. Rows are edited by an administrator."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=40)
    max_sessions = models.PositiveIntegerField()
    daily_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Messages a day per session; empty: unlimited"
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    """Makes the subscription in the same transaction as the user, whichever way a user is made."""

    def get_by_natural_key(self, email: str | None) -> User:
        return self.get(email__iexact=email)

    def create_user(self, email: str, password: str | None = None, *, plan: str | None = None, **fields: Any) -> User:
        """A user on `plan` (a slug; the settings' DEFAULT_PLAN when none is named). No password: login by link only."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        with transaction.atomic():
            user.save(using=self._db)
            user.subscribe(plan)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """An administrator, on Enterprise."""
        return self.create_user(email, password, plan="enterprise", is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. `public_id` is the only id of theirs that appears in a URL."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=80, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    locale = models.CharField(
        max_length=16, blank=True, default="", help_text="Empty: the browser's, until they log in"
    )
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new user that came by another way than the manager (a sign-up form) gets its subscription here."""
        validate_time_zone(self.time_zone)
        with transaction.atomic():
            super().save(*args, **kwargs)
            if not Subscription.objects.filter(user=self).exists():
                self.subscribe(None)

    @property
    def language(self) -> str:
        """What they are written to in: their own choice, and English until there is one."""
        from django.conf import settings

        return self.locale or settings.LANGUAGE_CODE

    def subscribe(self, plan: str | None) -> Subscription:
        """Puts the user on `plan` (a slug; None: DEFAULT_PLAN)."""
        from django.conf import settings

        row = Plan.objects.get(slug=plan or settings.DEFAULT_PLAN)
        subscription, __ = Subscription.objects.update_or_create(user=self, defaults={"plan": row})
        return subscription


class Subscription(models.Model):
    """A user's plan. `user.subscription.max_sessions` is the number of sessions they may have."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="subscription")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    started_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Then the person goes on with DEFAULT_PLAN; empty: never"
    )
    warned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["expires_at"], name="subscription_ends", condition=models.Q(expires_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.user} on {self.plan}"

    @property
    def ends_soon(self) -> bool:
        """Within a week: pages say so."""
        return self.expires_at is not None and self.expires_at - timezone.now() < SOON

    @property
    def max_sessions(self) -> int:
        return self.plan.max_sessions

    @property
    def daily_limit(self) -> int | None:
        """Messages a day per session; None is unlimited."""
        return self.plan.daily_limit


class OneTimeLink(models.Model):
    """A link that logs a person in once, or lets a new one in. Only a digest of its token is kept."""

    class Purpose(models.TextChoices):
        LOGIN = "login"
        SETUP = "setup"
        INVITE = "invite"

    digest = models.CharField(max_length=64, unique=True)
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="one_time_links")
    email = models.EmailField(blank=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.purpose} until {self.expires_at:%Y-%m-%d %H:%M}"
