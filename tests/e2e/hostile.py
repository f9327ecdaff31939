"""Hostile words for every text column, and the server that must not be asked for anything but a gateway's answers."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import DatabaseError, models, transaction
from django.utils import timezone

from phonebank.audit.models import Event
from tests.security.test_xss import APPS, OURS

# № is the payload's number, ⌂ the canary's host and port. What runs calls xss(); what only loads asks the canary.
PAYLOADS = [
    # tags
    "<script>xss(№)</script>",
    "</script><script>xss(№)</script>",
    "<ScRiPt src=//⌂/№></ScRiPt>",
    "<<script>xss(№)//<</script>",
    "<svg/onload=xss(№)>",
    "<svg><script>xss(№)</script>",
    '"><svg><animate onbegin=xss(№) attributeName=x dur=1s>',
    "<img src=x onerror=xss(№)>",
    "<img src=//⌂/№>",
    "<details open ontoggle=xss(№)>",
    "<video><source onerror=xss(№)>",
    "<body onload=xss(№)>",
    "<img src=x onerror=alert(№)>",
    "<iframe srcdoc='<script>parent.xss(№)</script>'>",
    "<iframe src=javascript:parent.xss(№)>",
    "<object data=//⌂/№></object>",
    "<base href=//⌂/№/>",
    "<meta http-equiv=refresh content='0;url=//⌂/№'>",
    "<form id=f action=javascript:xss(№)><input name=body>",
    "<a href=javascript:xss(№)>xss</a>",
    "<xss-tag style=animation:x onanimationend=xss(№)>",
    # out of an attribute, an element, a comment
    '"><img src=x onerror=xss(№)>',
    "' autofocus onfocus=xss(№) '",
    '" autofocus onfocus=xss(№) x="',
    "x onfocus=xss(№) autofocus",
    "`onmouseover=xss(№)`",
    "</title><script>xss(№)</script>",
    "</textarea><script>xss(№)</script>",
    "</style><svg onload=xss(№)>",
    "--><img src=x onerror=xss(№)>",
    "]]><img src=x onerror=xss(№)>",
    # what a browser makes anew of what it has read
    "<noscript><p title='</noscript><img src=x onerror=xss(№)>'>",
    "<math><mtext><table><mglyph><style><img src=x onerror=xss(№)>",
    # style sheets
    "<link rel=stylesheet href=//⌂/№>",
    "<style>@import'//⌂/№';</style>",
    '" style="background:url(//⌂/№)',
    # scripts and JSON
    '"}],"x":"</script><script>xss(№)</script>',
    '","quoted":"\\"});xss(№);//',
    "\\u003cscript>xss(№)\\u003c/script>",
    # encoded already
    "&lt;img src=x onerror=xss(№)&gt;",
    "&#60;svg onload=xss(№)&#62;",
    "%3Cscript%3Exss(№)%3C/script%3E",
    "＜script＞xss(№)＜/script＞",
    "\u202e<img src=x onerror=xss(№)>\u2066",
    "<img\u2028src=x\u200b onerror=xss(№)>",
    # templates, htmx, Alpine
    "{{ xss(№) }}{% debug %}",
    "${xss(№)}#{xss(№)}<%= xss(№) %>",
    "<b hx-get=//⌂/№ hx-trigger=load>",
    "<b hx-on:htmx:load=xss(№) hx-on=xss(№)>",
    '<hx-partial hx-target="#main"><img src=x onerror=xss(№)>',
    '" hx-get="//⌂/№" hx-trigger="load',
    "<b x-data x-init=xss(№) @click=xss(№)>",
    # addresses, in a text
    "javascript:xss(№)",
    "data:text/html,<script>xss(№)</script>",
]
ADDRESSES = [
    "javascript:xss(№)", " java\nscript:xss(№)", "JaVaScRiPt://%0axss(№)", "data:text/html,<script>xss(№)</script>",
    "vbscript:xss(№)", "//⌂/№", 'https://⌂/"onfocus=xss(№) autofocus x="', "x' onerror='xss(№)",
]  # fmt: skip
# Numbers keep their form: nothing else is ever stored there.
FORMED = ("phone", "phone_number", "linked_number", "lid", "person", "key_id", "token_key", "last_media", "state")
KEPT = {"GatewayAccount.base_url", "Probe.token", "DayZone.zone"}
SHOWS = {"media_kind": "document", "failed": 5}  # for then names and reasons are shown
# Of the machine, or one of each person: not copied.
SINGLE = {"Plan", "Installation", "DigestKey", "RollUp", "Subscription", "EmailConfirmation", "AlertSettings"}


class Words:
    """Writes what goes into a column. `places`: the mark that its words begin with, such as `ab~` -> the column."""

    def __init__(self, host: str) -> None:
        self.payloads, self.addresses = (
            [text.replace("№", str(n)).replace("⌂", host) for n, text in enumerate(texts)]
            for texts in (PAYLOADS, ADDRESSES)
        )
        self.places: dict[str, str] = {}

    def mark(self, place: str) -> str:
        known = {one: mark for mark, one in self.places.items()}
        n = len(known)
        mark = known.get(place) or f"{chr(97 + n // 26)}{chr(97 + n % 26)}~"
        self.places[mark] = place
        return mark

    def text(self, place: str, n: int, room: int = 3000) -> str:
        """The n-th payload and those that follow, as many as fit; the first that fits stands first."""
        text = self.mark(place)
        for i in range(len(self.payloads)):
            one = self.payloads[(n + i) % len(self.payloads)]
            if len(text) + len(one) <= room:
                text += one
            elif len(text) > 3:
                break
        return text

    def deep(self, place: str, n: int, value: Any) -> Any:
        """The same shape, with every word replaced."""
        if isinstance(value, dict):
            return {name: self.deep(place, n + i, one) for i, (name, one) in enumerate(value.items())}
        if isinstance(value, list):
            return [self.deep(place, n + i, one) for i, one in enumerate(value)]
        return self.text(place, n) if isinstance(value, str) and not value.startswith("+") else value

    def value(self, field: models.Field, n: int, now: Any) -> Any:
        """What a column of the n-th row is to hold; None to leave it alone."""
        place = f"{field.model.__name__}.{field.name}"
        if field.name in SHOWS:
            return SHOWS[field.name]
        if field.primary_key or field.choices or field.name in FORMED or OURS.search(field.name) or place in KEPT:
            return None
        if isinstance(field, ArrayField):
            return [self.text(place, n, 40)] if field.name == "tags" else None
        if isinstance(field, models.JSONField):
            if field.name in ("attributes", "reasons"):  # named by people, by the gateway
                return {self.text(f"{place} (name)", n, 60): self.text(place, n) if field.name == "attributes" else 3}
            return self.deep(place, n, now) if now else [self.text(place, n)] if field.name == "cells" else None
        if not isinstance(field, models.CharField | models.TextField):
            return None
        if field.name == "email":  # a quoted local part may hold almost anything
            return f'"{self.mark(place)}<svg/onload=xss({n})>"@example.org' if n else None
        if "url" in field.name or field.name == "adopted_webhook":
            return self.addresses[n % len(self.addresses)]
        return self.text(place, n, field.max_length or 3000)


def fill(words: Words, things: dict[str, str]) -> None:
    """Every row, and copies of one of each kind, so that each payload stands first in every column of some row.

    `things` (tests/security/world.py) own the rows of kinds that they had none of; lists and groups then hold all.
    """
    all_models = [one for label in APPS for one in apps.get_app_config(label).get_models()]
    named = [_named(all_models, ref) for ref in things.values()]
    known = {type(row): row for row in reversed(named)}
    _seed(words, all_models, known)
    for model in all_models:
        rows = list(model.objects.order_by("pk"))
        for n, row in enumerate(rows):
            _poison(words, row, n)
        if rows and model.__name__ not in SINGLE:
            first = known.get(model, rows[0])
            refused = 0
            for n in range(len(rows), len(words.payloads)):
                refused += not _copied(words, model.objects.get(pk=first.pk), n)
                if refused > 9:
                    break
    for row in known.values():
        for field in row._meta.many_to_many:
            rows = field.related_model.objects.all()
            if hasattr(field.related_model, "user"):
                getattr(row, field.name).set(rows.filter(user=row.user))
    _record(words)


def _named(all_models: list[Any], ref: str) -> models.Model:
    found = (one.objects.filter(public_id=ref).first() for one in all_models if hasattr(one, "public_id"))
    return next(row for row in found if row)


def _seed(words: Words, all_models: list[Any], known: dict[Any, models.Model]) -> None:
    """One row of each kind that has words and no row yet. Nobody needs to list a new kind here."""
    empty = [one for one in all_models if not one.objects.exists()]
    empty = [one for one in empty if any(words.value(field, 0, {"x": "x"}) for field in one._meta.concrete_fields)]
    while empty:
        left = [one for one in empty if not _made(one, known)]
        assert len(left) < len(empty), f"no row of {left} could be made"
        empty = left


def _made(model: Any, known: dict[Any, models.Model]) -> bool:
    """A row with whatever its columns ask for; False while what it must belong to is not there."""
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, models.ForeignKey):
            values[field.name] = known.get(field.related_model) or field.related_model.objects.order_by("pk").first()
            if values[field.name] is None and not field.null:
                return False
        elif not (field.null or field.primary_key or field.has_default() or field.has_db_default()):
            values[field.name] = field.choices[0][0] if field.choices else _plain(field)
    try:
        with transaction.atomic():
            known[model] = model.objects.create(**values)
    except DatabaseError:
        return False
    return True


def _plain(field: models.Field) -> Any:
    now = timezone.now()
    kinds: list[tuple[Any, Any]] = [
        (models.DateTimeField, now), (models.DateField, now.date()), (models.IntegerField, 1), (models.FloatField, 1.0),
        (models.BinaryField, b"x" * 32), (models.UUIDField, uuid.uuid4()), (models.BooleanField, False),
        (ArrayField, []), (models.JSONField, {"x": "x"}),
    ]  # fmt: skip
    return next((value for kind, value in kinds if isinstance(field, kind)), uuid.uuid4().hex[: field.max_length])


def _record(words: Words) -> None:
    """The audit log takes new rows only."""
    first = Event.objects.earliest("pk")
    Event.objects.bulk_create(
        Event(
            owner_id=first.owner_id, actor_id=first.actor_id, verb=first.verb, target=first.target, how=first.how,
            label=words.text("Event.label", n, 80), changes={"name": [words.text("Event.changes", n, 200), None]},
            data={words.text("Event.data (name)", n, 60): words.text("Event.data", n, 200)},
        )
        for n in range(len(words.payloads))
    )  # fmt: skip


def _poison(words: Words, row: models.Model, n: int) -> None:
    fields = row._meta.concrete_fields
    new = {one.name: value for one in fields if (value := words.value(one, n, getattr(row, one.name))) is not None}
    try:
        with transaction.atomic():
            type(row).objects.filter(pk=row.pk).update(**new) if new else None
    except DatabaseError as error:
        assert re.search("append|only grows|constraint", str(error)), (type(row), error)


def _copied(words: Words, row: models.Model, n: int) -> bool:
    """Another row like this one. False where there may be none."""
    unique = {name for one in row._meta.constraints for name in getattr(one, "fields", ())}
    for field in row._meta.concrete_fields:
        now = getattr(row, field.attname)
        value = words.value(field, n, now)
        if value is None:
            value = _other(field, n, now, is_unique=field.unique or field.name in unique)
        setattr(row, field.attname, value)
    row.pk, row._state.adding = None, True
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except DatabaseError:
        return False
    return True


def _other(field: models.Field, n: int, now: Any, *, is_unique: bool) -> Any:
    """The value of a copy in a column that keeps its form: another one where two may not be equal."""
    if field.name in ("is_default", "is_first", "primary", "verified"):
        return False
    if field.name in ("phone", "phone_number", "person"):
        return f"+1917555{100 + n:04d}"
    if f"{field.model.__name__}.{field.name}" in ("WaSenderSession.status", "ContactImport.state", "Campaign.state"):
        return field.choices[n % len(field.choices)][0]
    if isinstance(field, models.UUIDField) and field.unique:
        return uuid.uuid4()
    if field.name in ("wasender_id", "position", "msg_id", "number"):
        return (now or 0) + n + 1
    if "digest" in field.name or field.name in ("key_id", "token") or (is_unique and field.name == "key"):
        new = uuid.uuid4()
        return new.bytes * 2 if isinstance(field, models.BinaryField) else new.hex[: field.max_length]
    return now - timedelta(days=n) if is_unique and isinstance(now, date) else now


class Canary:
    """`asked`: every address that was asked for, but for those of the gateway that it is, too."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.words = Words(self.host)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        canary = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not path.startswith("/api/"):
                    canary.asked.append(self.path)
                status, answer = canary.answer(path)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *args: object) -> None:
                """Nothing of it belongs on the terminal."""

        return Handler

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Lists of hostile words; whatever else a gateway is asked is refused with some."""
        text, addresses = self.words.text, self.words.addresses
        many = range(len(self.words.payloads))
        if path.endswith("/whatsapp-sessions"):
            listed = [
                {"id": 9000 + n, "name": text("gateway: name", n, 120), "status": text("gateway: status", n, 90),
                 "phone_number": f"+1872555{100 + n:04d}", "account_protection": True, "log_messages": True,
                 "webhook_url": addresses[n % len(addresses)], "webhook_enabled": True, "webhook_events": []}
                for n in many
            ]  # fmt: skip
            return 200, {"success": True, "data": listed}
        if path.endswith("/session-logs"):
            entries = [
                {"id": n + 1, "event_type": text("gateway: event", n, 90), "status": text("gateway: state", n, 90),
                 "occurred_at": "2026-01-01T00:00:00Z"}
                for n in many
            ]  # fmt: skip
            page = {"data": entries, "current_page": 1, "last_page": 1, "total": len(entries)}
            return 200, {"success": True, "data": page}
        return 422, {"success": False, "message": text("gateway: refusal", 0, 200), "errors": {"name": [text("x", 5)]}}


@contextmanager
def listening() -> Iterator[Canary]:
    canary = Canary()
    thread = threading.Thread(target=canary.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield canary
    finally:
        canary.server.shutdown()
        canary.server.server_close()
        thread.join()
