"""Stored secrets under the first of FIELD_ENCRYPTION_KEYS: whatever an older key of the ring wrote is written anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction
from psycopg import sql

from phonebank.accounts.mfa import SECRETS
from phonebank.audit.models import record
from phonebank.whatsappapi.models.fields import EncryptedTextField, ring

BATCH = 200  # rows that are locked together: for some milliseconds

# Rows that a worker's tick holds are waited for, in the order in which it takes them; none is left out.
_READ = "SELECT {pk}, {columns} FROM {table} WHERE {pk} > %s ORDER BY {pk} LIMIT %s FOR NO KEY UPDATE"
_WRITE = "UPDATE {table} SET {values} WHERE {pk} = %s"


@dataclass
class Rotation:
    """Of one table: secrets that the first key had written already, those written anew, those that no key opens."""

    table: str
    kept: int = 0
    rewritten: int = 0
    unreadable: int = 0


def encrypted_fields() -> Iterator[tuple[type[models.Model], list[models.Field]]]:
    """Every model of ours with its encrypted fields."""
    for model in apps.get_models():
        fields = [one for one in model._meta.concrete_fields if isinstance(one, EncryptedTextField)]
        if fields and model._meta.managed and not model._meta.proxy:
            yield model, fields


def rotate_keys(*, told: Callable[[Rotation], None] = lambda _: None) -> list[Rotation]:
    """Walks all tables in short transactions. Stopped anywhere, the next run does what is left.

    Everything may go on running: each process reads with any key of its ring.
    """
    walks = [(model._meta.db_table, partial(_batch, model, fields)) for model, fields in encrypted_fields()]
    walks.append((Authenticator._meta.db_table, _factors))
    done = []
    for table, batch in walks:
        rotation = Rotation(table)
        last: int | None = 0
        while last is not None:
            last = batch(rotation, last)
        done.append(rotation)
        told(rotation)
    counts = {one.table.removeprefix("whatsappapi_"): one.rewritten for one in done if one.rewritten}
    if counts:
        with transaction.atomic():
            record(actor=None, verb="installation.keys_rotated", rewritten=counts)
    return done


def _batch(model: type[models.Model], fields: list[models.Field], rotation: Rotation, last: int) -> int | None:
    """One transaction. Returns the key of its last row; None at the end of the table."""
    first = Fernet(settings.FIELD_ENCRYPTION_KEYS[0])
    names = [one.column for one in fields]
    table, pk = sql.Identifier(model._meta.db_table), sql.Identifier(model._meta.pk.column)
    read = sql.SQL(_READ).format(table=table, pk=pk, columns=sql.SQL(", ").join(map(sql.Identifier, names)))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(read, [last, BATCH])
        rows = cursor.fetchall()
        for key, *stored in rows:
            changed = {n: new for n, old in zip(names, stored, strict=True) if (new := _anew(first, old, rotation))}
            if changed:
                values = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(one)) for one in changed)
                cursor.execute(sql.SQL(_WRITE).format(table=table, values=values, pk=pk), [*changed.values(), key])
    return rows[-1][0] if len(rows) == BATCH else None


def _factors(rotation: Rotation, last: int) -> int | None:
    """The same for second factors, whose secrets stand within JSON."""
    first = Fernet(settings.FIELD_ENCRYPTION_KEYS[0])
    with transaction.atomic():
        found = Authenticator.objects.select_for_update(no_key=True).filter(pk__gt=last).order_by("pk")
        rows = list(found[:BATCH])
        for row in rows:
            changed = {key: new for key in SECRETS if (new := _anew(first, row.data.get(key, ""), rotation))}
            if changed:
                row.data |= changed
                row.save(update_fields=["data"])
    return rows[-1].pk if len(rows) == BATCH else None


def _anew(first: Fernet, stored: str, rotation: Rotation) -> str | None:
    """The same secret under the first key; None where there is nothing to write."""
    if not stored:
        return None
    try:
        first.decrypt(stored.encode())
    except InvalidToken:
        pass
    else:
        rotation.kept += 1
        return None
    try:
        new = ring().rotate(stored.encode()).decode()
    except InvalidToken:
        rotation.unreadable += 1
        return None
    rotation.rewritten += 1
    return new
