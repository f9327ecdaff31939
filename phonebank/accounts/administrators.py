"""Who may run the installation. There is always one who can log in: the last one can neither be switched off nor leave.

A trigger in the database holds this for every way in; here is the sentence for whoever tries.
"""

from __future__ import annotations

from django.db import connection, transaction

from phonebank.accounts.models import User

LOCK = 1347557121  # as in migration 0005


class LastAdministrator(Exception):
    """Without this one nobody could run the installation."""


def is_administrator(user: User) -> bool:
    """As the database has it at this moment, not as the caller last saw it."""
    return User.objects.filter(pk=user.pk, is_active=True, is_superuser=True).exists()


def lock_administrators() -> None:
    """Whoever takes an administrator's rights away waits for whoever is doing so. Inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def check_another(user: User) -> None:
    """Raises LastAdministrator where `user` is the only one. Inside a transaction, whose end frees the next."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("check_another needs a transaction")
    lock_administrators()
    if is_administrator(user) and not _others(user).exists():
        raise LastAdministrator


def _others(user: User):
    return User.objects.filter(is_active=True, is_superuser=True).exclude(pk=user.pk)
