"""All that the installation knows of a person, as one ZIP of CSV and JSON files, written while it is sent.

Nothing is kept of it here, so there is no link that could fall into other hands. Rows are read by key, a few thousand
at a time: a million messages need no more memory than a thousand, and no transaction stays open while somebody's line
is slow. Secrets (tokens, keys, digests) are not in it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from phonebank.accounts.mfa import has_factor
from phonebank.accounts.models import ApiToken, Subscription, User
from phonebank.audit.models import Event, record
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    Channel,
    ConsentRecord,
    Contact,
    GatewayAccount,
    InboundMessage,
    Message,
    MessageTemplate,
    OwnerDay,
    SessionGroup,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services.tables import csv_blocks

CHUNK = 2000
BUFFER = 64 * 1024  # bytes written before they are handed on
README = """Everything that this installation holds about your account, as it was at {at}.

CSV files are UTF-8 with a heading each; times are in UTC. A cell that a spreadsheet would run as a formula begins with
an apostrophe. Not in here: your password, tokens, keys and other secrets, which nobody can read back.
"""


class _Pipe:
    """A file that zipfile writes and `drain` empties. It cannot be gone back in: sizes follow their contents."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = self._at = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._size += len(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is held back."""

    @property
    def is_full(self) -> bool:
        return self._size >= BUFFER

    def drain(self) -> bytes:
        data = b"".join(self._parts)
        self._parts, self._size = [], 0
        return data


def export(*, actor: User) -> Iterator[bytes]:
    """The ZIP in pieces. That it was taken is recorded before its first byte."""
    record(actor=actor, verb="user.exported", target=actor)
    return _pieces(actor)


def _pieces(user: User) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:  # type: ignore[arg-type]
        for name, blocks in _files(user):
            entry = zipfile.ZipInfo(name, timezone.now().timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            with archive.open(entry, "w", force_zip64=True) as file:
                for block in blocks:
                    file.write(block)
                    if pipe.is_full:
                        yield pipe.drain()
            yield pipe.drain()
    yield pipe.drain()


def _files(user: User) -> Iterator[tuple[str, Iterable[bytes]]]:
    yield "README.txt", [README.format(at=_text(timezone.now())).encode()]
    yield "profile.json", [_json(_profile(user))]
    yield "campaigns.json", _json_rows(_by_key(Campaign.objects.filter(user=user)), _campaign)
    for name, columns, rows in _tables(user):
        yield f"{name}.csv", csv_blocks(_rows(columns, rows))
    yield "requests.csv", csv_blocks(_requests(user))


def _tables(user: User) -> list[tuple[str, dict[str, str], QuerySet[Any]]]:
    """Name, heading -> path of the field, rows. Only what is named here leaves."""
    mine = {"user": user}
    return [
        ("sessions", _columns("session_name phone_number linked_number status status_since is_default daily_limit "
                              "account_protection log_messages created_at deleted_at"),
         WaSenderSession.objects.filter(**mine)),
        ("groups", _columns("name colour created_at"), SessionGroup.objects.filter(**mine)),
        ("group_sessions", _columns("group:sessiongroup__name session:wasendersession__session_name"),
         SessionGroup.sessions.through.objects.filter(sessiongroup__user=user)),
        ("gateway_accounts", _columns("name base_url created_at removed_at"), GatewayAccount.objects.filter(**mine)),
        ("contacts", _columns("phone name attributes lid time_zone consent created_at"),
         Contact.objects.filter(**mine)),
        ("lists", _columns("phone:contact__phone list:contactlist__name"),
         Contact.lists.through.objects.filter(contact__user=user)),
        ("tags", _columns("phone:contact__phone tag:contacttag__name"),
         Contact.tags.through.objects.filter(contact__user=user)),
        ("consents", _columns("phone:contact__phone status source wording file_hash agreed_at recorded_at"),
         ConsentRecord.objects.filter(**mine)),
        ("suppressions", _columns("phone lid reason note words created_at lifted_at"),
         Suppression.objects.filter(**mine)),
        ("messages", _columns("campaign:campaign__public_id campaign_name:campaign__name phone kind state rank "
                              "session:session__session_name body media variables reason created_at"),
         Message.objects.filter(**mine)),
        ("replies", _columns("phone lid name text media session:session__session_name sent_at received_at"),
         InboundMessage.objects.filter(**mine)),
        ("templates", _columns("name body media_kind media_url media_name created_at updated_at"),
         MessageTemplate.objects.filter(**mine)),
        ("days", _columns("date sent delivered read replied failed unclear received opted_out"),
         OwnerDay.objects.filter(**mine)),
        ("alert_channels", _columns("kind name hint is_active created_at"), Channel.objects.filter(**mine)),
        ("api_tokens", _columns("name scope created expiry last_used_at"), ApiToken.objects.filter(**mine)),
        ("audit", _columns("at verb target label how address changes data"), Event.objects.filter(actor=user)),
    ]  # fmt: skip


def _columns(text: str) -> dict[str, str]:
    """ "heading:path" or a field that is its own heading."""
    pairs = [one.partition(":") for one in text.split()]
    return {name: path or name for name, _, path in pairs}


def _rows(columns: dict[str, str], rows: QuerySet[Any]) -> Iterator[Sequence[str]]:
    yield list(columns)
    for row in _by_key(rows, *columns.values()):
        yield [_text(value) for value in row[1:]]


def _requests(user: User) -> Iterator[Sequence[str]]:
    """What was sent to the gateway, message after message: attempts have no order of their own."""
    columns = _columns("phone session:session__session_name started_at finished_at outcome http_status msg_id "
                       "sent_at delivered_at read_at")  # fmt: skip
    yield list(columns)
    for ids in _batched(_by_key(Message.objects.filter(user=user), "id"), CHUNK):
        found = Attempt.objects.filter(message__in=[pk for pk, _ in ids]).order_by("message", "started_at", "pk")
        for row in found.values_list(*columns.values()):
            yield [_text(value) for value in row]


def _by_key(rows: QuerySet[Any], *paths: str) -> Iterator[Any]:
    """All rows in the order of their key, some thousand a query."""
    last: Any = None
    found = rows.order_by("pk").values_list("pk", *paths) if paths else rows.order_by("pk")
    while True:
        part = list((found if last is None else found.filter(pk__gt=last))[:CHUNK])
        yield from part
        if len(part) < CHUNK:
            return
        last = part[-1][0] if paths else part[-1].pk
        del part  # before the next are read, or twice as many are held


def _batched(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """So many at a time."""
    while part := list(islice(rows, size)):
        yield part


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_text).encode()


def _json_rows(rows: Iterator[Any], told: Callable[[Any], dict[str, Any]]) -> Iterator[bytes]:
    yield b"["
    for n, row in enumerate(rows):
        yield (b",\n" if n else b"\n") + _json(told(row))
    yield b"\n]\n"


def _profile(user: User) -> dict[str, Any]:
    plan = Subscription.objects.select_related("plan").get(user=user)
    return {
        "id": str(user.public_id), "email": user.email, "name": user.name, "time_zone": user.time_zone,
        "locale": user.locale, "joined": user.date_joined, "last_login": user.last_login, "plan": plan.plan.name,
        "plan_since": plan.started_at, "plan_until": plan.expires_at, "second_factor": has_factor(user),
    }  # fmt: skip


def _campaign(row: Campaign) -> dict[str, Any]:
    names = (
        "public_id", "name", "body", "media_kind", "media_name", "audience", "policy", "pace", "state", "pause_reason",
        "quiet_start", "quiet_end", "cap_day", "cap_month", "windows", "scheduled_at", "expires_at", "created_at",
        "started_at", "finished_at",
    )  # fmt: skip
    counts: dict[str, int] = {}
    for state, n in row.counts.values_list("state", "n"):
        counts[state] = counts.get(state, 0) + n
    return {name: getattr(row, name) for name in names} | {"counts": counts}
