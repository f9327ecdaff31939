"""What an event keeps: where it came from, and nothing that must not be kept."""

from __future__ import annotations

import ast
import io
import logging
import re
import threading
import uuid
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client, override_settings
from django.utils.module_loading import import_string
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import phonebank
from phonebank.accounts.models import User
from phonebank.audit.middleware import HEADER
from phonebank.audit.models import Event, record
from phonebank.audit.origin import acting, current
from phonebank.audit.redact import last_four, redact
from phonebank.audit.sentences import AREAS, PHRASES
from tests.views.conftest import Desk

# --- where it came from -----------------------------------------------------------------------------------------------


def pause(desk: Desk, client: Client | None = None, **headers: Any) -> tuple[Event, Any]:
    """An act on a page."""
    campaign = desk.campaign(1)
    answer = (client or desk.client).post(f"/whatsappapi/campaigns/{campaign.public_id}/pause/", **headers)
    return Event.objects.latest("id"), answer


def test_an_act_on_a_page(desk: Desk) -> None:
    event, answer = pause(desk, REMOTE_ADDR="192.0.2.7")
    assert (event.how, event.address, event.request_id) == ("page", "192.0.2.7", answer[HEADER])
    assert event.actor == desk.user and event.actor_ref == desk.user.public_id == event.owner_ref
    assert re.fullmatch(r"[0-9a-f]{32}", answer[HEADER])


@pytest.mark.parametrize("path", ["/whatsappapi/", "/nowhere/", "/audit/", "/api/nowhere/"])
def test_every_answer_carries_a_fresh_id(desk: Desk, path: str) -> None:
    one, two = (desk.client.get(path)[HEADER] for _ in range(2))
    assert one and two and one != two


def test_a_strangers_headers_are_not_believed(desk: Desk) -> None:
    event, answer = pause(desk, REMOTE_ADDR="192.0.2.7", HTTP_X_FORWARDED_FOR="10.9.9.9", HTTP_X_REQUEST_ID="a" * 20)
    assert event.address == "192.0.2.7" and answer[HEADER] != "a" * 20


@override_settings(TRUSTED_PROXY="127.0.0.1")
def test_our_proxys_headers_are(desk: Desk) -> None:
    forwarded = {"HTTP_X_FORWARDED_FOR": "10.9.9.9, 192.0.2.9", "HTTP_X_REQUEST_ID": "proxy-0123456789"}
    event, answer = pause(desk, **forwarded)
    assert (event.address, event.request_id) == ("192.0.2.9", "proxy-0123456789") and answer[HEADER] == event.request_id
    for bad in ("short", "a" * 65, "a b c d e f", "<script>alert"):
        assert desk.client.get("/whatsappapi/", HTTP_X_REQUEST_ID=bad)[HEADER] != bad


@pytest.mark.parametrize("address", ["", "unix:", "not-an-address"])
def test_an_address_that_is_none_is_left_out(desk: Desk, address: str) -> None:
    assert pause(desk, REMOTE_ADDR=address)[0].address is None


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("/api/sessions/", "api"),
        ("/whatsappapi/webhook/x/", "webhook"),
        ("/whatsappapi/sessions/", "page"),
        ("/whatsappapi/administration/", "page"),
    ],
)
def test_the_way_of_a_request(rf: Any, plans: None, path: str, how: str) -> None:
    from phonebank.audit.middleware import AuditMiddleware

    AuditMiddleware(lambda request: record(actor=None, verb="x") and {})(rf.get(path))
    assert Event.objects.get().how == how
    assert current.get().how == "command"  # and it ends with the request


def test_requests_do_not_mix(rf: Any) -> None:
    both = threading.Barrier(2, timeout=60)
    seen: dict[str, str] = {}

    def work(name: str) -> None:
        with acting("page", request_id=name):
            both.wait()
            seen[name] = current.get().request_id
            both.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == {"one": "one", "two": "two"}


def test_log_lines_of_a_request_carry_its_id(desk: Desk) -> None:
    """With the parts that the settings name; pytest has handlers of its own here."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    config = django_settings.LOGGING
    handler.setFormatter(import_string(config["formatters"]["line"]["()"])())
    assert config["handlers"]["console"]["filters"] == ["request_id"]
    handler.addFilter(import_string(config["filters"]["request_id"]["()"])())
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    try:
        answer = desk.client.get("/whatsappapi/nowhere/")
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)
    lines = out.getvalue().splitlines()
    assert f"WARNING django.request [{answer[HEADER]}]: Not Found: /whatsappapi/nowhere/" in lines[0]
    assert lines[1].endswith("WARNING django.request: outside")


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("api_key", "abcdef", "(hidden)"),
        ("webhook_secret", ["x", "y"], "(hidden)"),
        ("token", 12345678, "(hidden)"),
        ("new_password", "correct horse", "(hidden)"),
        ("qr", "2@abc", "(hidden)"),
        ("body", "Hello Ana", "(9 characters)"),
        ("welcome_text", "Hi", "(2 characters)"),
        ("phone_number", "+1 212 555 0123", "…0123"),
        ("phone", 12125550123, "…0123"),
        ("number", "12125550123", "…0123"),
        ("number", 3, 3),
        ("reason", "the number +1 (212) 555-0123 failed", "the number …0123 failed"),
        ("reason", "12125550123@s.whatsapp.net", "…0123@s.whatsapp.net"),
        ("reason", "212.555.0123", "…0123"),
        ("rows", 50_000_000, 50_000_000),
        ("key_version", 3, 3),
        ("since", date(2026, 11, 22), "2026-11-22"),
        ("at", "2026-11-22 10:15:00", "2026-11-22 10:15:00"),
        ("session", "12345678-1234-1234-1234-123456789012", "12345678-1234-1234-1234-123456789012"),
        ("note", "x" * 500, "x" * 200),
        ("name", "nul \x00 and \ud800", "nul  and ?"),
        ("share", float("nan"), "nan"),
        ("list", [{"phone": "+12125550123", "token": "t"}], [{"phone": "…0123", "token": "(hidden)"}]),
        ("deep", [[[[["x"]]]]], [[[["(hidden)"]]]]),
        ("limit", None, None),
        ("is_default", True, True),
    ],
)
def test_redaction(name: str, value: Any, kept: Any) -> None:
    assert redact(value, name) == kept


STEADY = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, derandomize=True)


@STEADY
@given(st.recursive(st.none() | st.text() | st.integers() | st.floats() | st.dates() | st.uuids(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))  # fmt: skip
def test_whatever_is_given_can_be_stored(value: Any) -> None:
    import json

    text = json.dumps(redact({"given": value}), allow_nan=False)
    assert "\\u0000" not in text
    text.encode()


@STEADY
@given(
    st.from_regex(r"\+?[1-9][0-9]{9,13}", fullmatch=True),
    st.sampled_from(["{}", "to {}.", "({})", "“{}”", "{}@c.us", "a\n{}\nb"]),
)
def test_no_phone_number_survives_in_a_sentence(number: str, sentence: str) -> None:
    digits = number.lstrip("+")
    assert digits not in redact(sentence.format(number), "reason")


def test_names_of_people_are_not_kept(desk: Desk, boss: User) -> None:
    person = desk.contact_list(1).contacts.get()
    assert record(actor=boss, verb="x", target=desk.user).label == ""
    kept = record(actor=boss, verb="contact.opted_out", target=person)
    assert kept.label == last_four(person.phone) and kept.target_id == str(person.public_id)
    named = record(actor=boss, verb="x", target=desk.session("Call +12125550123 now"))
    assert named.label == "Call …0123 now"


def test_changes_are_redacted_like_facts(desk: Desk) -> None:
    changes = {"phone_number": ("+12125550123", None), "api_key": ("a", "b"), "limit": (5, 50)}
    event = record(actor=desk.user, verb="session.changed", changes=changes, body="Hello")
    event.refresh_from_db()
    assert event.changes == {"phone_number": ["…0123", None], "api_key": ["(hidden)"] * 2, "limit": [5, 50]}
    assert event.data == {"body": "(5 characters)"}


def test_ids_need_not_be_uuids(desk: Desk) -> None:
    event = record(actor=None, owner=desk.user, verb="x", target=desk.user.subscription)
    assert event.target_id == str(desk.user.subscription.pk) and event.actor_ref is None
    assert isinstance(event.owner_ref, uuid.UUID)


# --- every verb has its words -----------------------------------------------------------------------------------------


def verbs() -> set[str]:
    """The verbs of all `record(...)` calls, as patterns: parts that are computed match anything."""
    found: set[str] = set()
    for path in Path(phonebank.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "record":
                found |= {_pattern(one.value) for one in node.keywords if one.arg == "verb"}
    return found - {""}


def _pattern(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(one) if isinstance(one, ast.Constant) else "[a-z_]+" for one in node.values)
    return ""


def test_every_verb_reads_as_a_sentence_and_has_an_area() -> None:
    found = verbs()
    assert len(found) > 15
    missing = {one for one in found if not any(re.fullmatch(one, known) for known in PHRASES)}
    assert missing == set(), "give these their words in audit/sentences.py"
    prefixes = tuple(prefix for _, some in AREAS.values() for prefix in some)
    assert {verb for verb in PHRASES if not verb.startswith(prefixes)} == set()
