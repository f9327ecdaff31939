"""Every address of a session, pages and API, by everybody: the table of services/capabilities.py holds on all."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.test import Client
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi import urls as pages
from phonebank.whatsappapi.api import urls as api
from phonebank.whatsappapi.models import Conversation, InboundMessage, SessionShare, WaSenderSession
from phonebank.whatsappapi.services.capabilities import CAPABILITIES, As
from tests.views.conftest import Desk

Route = tuple[str, str]  # method and path
MEMBER = "member"  # whoever it is shared with, and not its owner

# Address below sessions/<id>/ -> method -> what it takes. A new address without an entry fails.
PAGES: dict[str, dict[str, str]] = {
    "": {"GET": "see"},
    "link/": {"GET": "connect"},
    "now/": {"GET": "see"},
    "test/": {"POST": "test"},
    "settings/": {"GET": "settings", "POST": "settings"},
    "key/": {"GET": "key", "POST": "key"},
    "history/": {"GET": "see"},
    "gateway-log/": {"GET": "key"},
    "restart/": {"POST": "disconnect"},
    "relink/": {"POST": "disconnect"},
    "connect/": {"POST": "connect"},
    "disconnect/": {"POST": "disconnect"},
    "set-default/": {"POST": "settings"},
    "reconnects/": {"POST": "settings"},
    "self-check/": {"POST": "settings"},
    "phone-link/": {"POST": "link"},
    "phone-link/revoke/": {"POST": "link"},
    "delete/": {"GET": "delete", "POST": "delete"},
    "sharing/": {"GET": "share", "POST": "share"},
    "sharing/<uuid:share>/": {"POST": "share"},
    "sharing/<uuid:share>/end/": {"GET": "share", "POST": "share"},
    "leave/": {"GET": MEMBER, "POST": MEMBER},
}
API: dict[str, dict[str, str]] = {
    "": {"GET": "see", "PATCH": "settings", "DELETE": "delete"},
    "set-default/": {"POST": "settings"},
    "connect/": {"POST": "connect"},
    "disconnect/": {"POST": "disconnect"},
    "qr/": {"GET": "connect"},
    "leave/": {"POST": MEMBER},
    "health/": {"GET": "see"},
    "reconnects/": {"GET": "see", "PATCH": "settings"},
    "phone-links/": {"GET": "link", "POST": "link", "DELETE": "link"},
    "self-check/": {"GET": "settings", "PATCH": "settings"},
}
BODIES = {"PATCH": {"daily_limit": 1}}
# Pages beside, where a session is named by what is sent: method, path, fields; what it takes.
ELSEWHERE: list[tuple[str, str, dict[str, str], str]] = [
    ("GET", "/whatsappapi/analytics/?of=s:{id}", {}, "analytics"),
    ("GET", "/whatsappapi/analytics/sessions.csv?of=s:{id}", {}, "analytics"),
    ("GET", "/whatsappapi/analytics/days.csv?of=s:{id}", {}, "analytics"),
    ("GET", "/whatsappapi/replies/?session={id}", {}, "reply"),
    ("POST", "/whatsappapi/sessions/bulk/", {"verb": "delete", "pick": "{id}"}, "delete"),
    ("POST", "/whatsappapi/sessions/bulk/", {"verb": "disconnect", "pick": "{id}"}, "delete"),
]
API_ELSEWHERE: list[tuple[str, str, dict[str, Any], str]] = [
    ("GET", "/api/analytics/days/?session={id}", {}, "analytics"),
    ("GET", "/api/analytics/sessions/?session={id}", {}, "analytics"),
    ("GET", "/api/campaigns/?session={id}", {}, "see"),
    ("POST", "/api/bulk-actions/", {"verb": "delete", "sessions": ["{id}"]}, "delete"),
    ("POST", "/api/shares/", {"session": "{id}", "email": "d@example.org", "role": "viewer"}, "share"),
    ("POST", "/api/messages/", {"session": "{id}", "phone": "+12125550150", "body": "Hi"}, "send"),
    ("POST", "/api/campaigns/", {"sessions": ["{id}"], "body": "Hi", "contact_list": "{list}"}, "send"),
]
HIDDEN_AS_404 = {"/whatsappapi/replies/?session={id}"}  # a choice among those one may read: no word about others


class Crowd:
    """Ana's session and everybody around it."""

    def __init__(self, desk: Desk, make_desk: Callable[[str], Desk]) -> None:
        self.desk, self.wa_session = desk, desk.session("Front desk", status="need_scan", daily_limit=77)
        self.people = {"owner": desk}
        for name in ("operator", "viewer", "ex-member", "expired", "invited", "stranger"):
            self.people[name] = make_desk(f"{name}@example.org")
        self.people["administrator"] = make_desk("boss@example.org")
        User.objects.filter(email="boss@example.org").update(is_superuser=True, is_staff=True)
        now = timezone.now()
        self.lend("operator", "operator")
        self.lend("viewer", "viewer")
        self.lend("ex-member", "operator", ended_at=now, end="revoked")
        self.lend("expired", "operator", until=now - timedelta(seconds=1))
        SessionShare.objects.create(session=self.wa_session, email="invited@example.org", role="operator")
        EmailAddress.objects.create(user=self.people["invited"].user, email="invited@example.org", verified=True)
        self.spare = SessionShare.objects.create(session=self.wa_session, email="spare@example.org")

    def lend(self, name: str, role: str, **fields: Any) -> None:
        user = self.people[name].user
        values = {"session": self.wa_session, "email": user.email, "user": user, "role": role}
        SessionShare.objects.create(**values | {"accepted_at": timezone.now()} | fields)

    def routes(self, who: str) -> list[tuple[Callable[[], Any], str, str]]:
        """Every request, what it takes, and its name; those that end a membership come last."""
        client, people = self.people[who].client, self.people[who].contact_list(1, "Mine")
        one = str(self.wa_session.public_id)
        named = {"id": one, "list": str(people.public_id)}
        found = []
        for below, table in (("/whatsappapi/", PAGES), ("/api/", API)):
            for path, methods in table.items():
                for method, needs in methods.items():
                    whole = f"{below}sessions/{one}/{path}".replace("<uuid:share>", str(self.spare.public_id))
                    body = BODIES.get(method, {}) if below == "/api/" else {}
                    found.append((_ask(client, method, whole, body), needs, f"{method} {path} {below}"))
        for table in (ELSEWHERE, API_ELSEWHERE):
            for method, path, fields, needs in table:
                body = {k: _fill(v, named) for k, v in fields.items()}
                found.append((_ask(client, method, path.format(**named), body), needs, f"{method} {path}"))
        return sorted(found, key=lambda one: one[1] == MEMBER)


def _fill(value: Any, named: dict[str, str]) -> Any:
    return [one.format(**named) for one in value] if isinstance(value, list) else value.format(**named)


def _ask(client: Client, method: str, path: str, body: dict[str, Any]) -> Callable[[], Any]:
    if path.startswith("/api/"):
        data = json.dumps(body) if method != "GET" else ""
        return lambda: client.generic(method, path, data, content_type="application/json")
    return lambda: client.get(path) if method == "GET" else client.post(path, body)


def snapshot() -> dict[str, list[str]]:
    models = [one for one in apps.get_app_config("whatsappapi").get_models() if one.__name__ != "ApiUsage"]
    return {one.__name__: sorted(map(repr, one.objects.values_list())) for one in models}


@pytest.fixture
def crowd(desk: Desk, make_desk: Callable[[str], Desk]) -> Crowd:
    return Crowd(desk, make_desk)


def test_every_address_of_a_session_is_in_the_table() -> None:
    patterns = [str(one.pattern) for one in pages.urlpatterns]
    begin = "sessions/<uuid:public_id>/"
    assert {one.removeprefix(begin) for one in patterns if one.startswith(begin)} == set(PAGES)
    found = {}
    for one in api.urlpatterns:
        route = str(one.pattern)
        if route.startswith("sessions/<uuid:id>/"):
            actions = {method.upper() for method in one.callback.actions if method != "head"}
            found[route.removeprefix("sessions/<uuid:id>/")] = actions
    assert found == {path: set(methods) for path, methods in API.items()}
    assert set(CAPABILITIES) >= {need for table in (PAGES, API) for row in table.values() for need in row.values()} - {
        MEMBER
    }


@pytest.mark.parametrize(
    "who", ["owner", "operator", "viewer", "ex-member", "expired", "invited", "stranger", "administrator"]
)
def test_who_may_do_what(who: str, crowd: Crowd) -> None:
    role = who if who in ("owner", "operator", "viewer") else None
    routes, wrong = crowd.routes(who), []
    allowed = {name for _, needs, name in routes if _may(role, needs)}
    before = snapshot()
    for ask, needs, name in routes:
        if name in allowed:
            continue
        answer = ask()
        is_hidden = role is None or (role == "owner" and needs == MEMBER) or _hides(name)
        if answer.status_code != (404 if is_hidden else 403):
            wrong.append((name, answer.status_code))
        elif not is_hidden and "shared with you" not in answer.text:
            wrong.append((name, answer.text[:200]))
    assert wrong == [] and snapshot() == before
    for ask, _, name in routes:
        # Whoever left comes back for the next address.
        SessionShare.objects.filter(user=crowd.people[who].user, end="left").update(ended_at=None, end="")
        if name in allowed and (status := ask().status_code) in (403, 404, 405, 500):
            wrong.append((name, status))
    assert wrong == []


def _may(role: str | None, needs: str) -> bool:
    if needs == MEMBER:
        return role in ("operator", "viewer")
    return role is not None and As(role) in CAPABILITIES[needs].roles


def _hides(name: str) -> bool:
    return name.split(" ", 1)[1] in HIDDEN_AS_404


LISTS = ["", "sessions/", "sessions/?shared=1", "analytics/"]


@pytest.mark.parametrize("who", ["operator", "viewer", "ex-member", "expired", "invited", "stranger", "administrator"])
def test_lists(who: str, crowd: Crowd) -> None:
    person = crowd.people[who]
    is_member = who in ("operator", "viewer")
    for path in LISTS:
        text = person.client.get(f"/whatsappapi/{path}").text
        # An invitation names it; nothing leads to it.
        assert (str(crowd.wa_session.public_id) in text) == is_member, path
        assert ("Shared by" in text) == (is_member and path in LISTS[:3]), path
    found = json.loads(person.client.get("/api/sessions/").text)["results"]
    lent = [one for one in found if one["id"] == str(crowd.wa_session.public_id)]
    assert len(lent) == is_member
    for one in lent:
        assert (one["role"], one["shared_by"]) == (who, "Somebody")
        assert one["account"] is one["daily_limit"] is one["log_messages"] is None and one["groups"] == []
    draft = person.client.post("/whatsappapi/send-campaign/", {"name": "Mine"})
    senders = person.client.get(draft["Location"].replace("/audience/", "/senders/")).text
    assert (str(crowd.wa_session.public_id) in senders) == (who == "operator")


def test_members_see_nothing_of_its_settings(crowd: Crowd) -> None:
    group = crowd.desk.user.session_groups.create(name="Secret group")
    group.sessions.add(crowd.wa_session)
    WaSenderSession.objects.filter(pk=crowd.wa_session.pk).update(is_default=True)
    for who in ("operator", "viewer"):
        for path in ("", "sessions/", f"sessions/{crowd.wa_session.public_id}/"):
            text = crowd.people[who].client.get(f"/whatsappapi/{path}").text
            assert "Secret group" not in text and ">Default<" not in text, path
            for door in ("settings/", "delete/", "disconnect/", "phone-link/", "sharing/", "set-default/"):
                assert f"{crowd.wa_session.public_id}/{door}" not in text, (path, door)
        has_code = f"{crowd.wa_session.public_id}/connect/" in text or 'id="link"' in text
        assert has_code == (who == "operator")


def test_all_sessions_in_a_bulk_action_are_ones_own(crowd: Crowd) -> None:
    operator = crowd.people["operator"]
    mine = operator.session("Own")
    page = operator.client.get("/whatsappapi/sessions/bulk/?verb=delete&all=1")
    assert "Own" in page.text and "Front desk" not in page.text
    picks = {"verb": "connect", "pick": [str(mine.public_id), str(crowd.wa_session.public_id)]}
    assert operator.client.post("/whatsappapi/sessions/bulk/", picks).status_code == 403


def test_replies_of_those_whom_the_operator_wrote_to(crowd: Crowd) -> None:
    desk, operator = crowd.desk, crowd.people["operator"]
    campaign = operator.campaign(2, sessions=0, name="Operator's sale")
    wrote = timezone.now() - timedelta(hours=1)
    found = {}
    for phone, at, text in (("+12125550160", wrote, "Old"), ("+12125550161", wrote, "Never")):
        one = Conversation.objects.create(
            user=desk.user, session=crowd.wa_session, person=phone, phone=phone, last_at=at, last_text=text
        )
        early = wrote - timedelta(hours=1)
        for n, (moment, words) in enumerate(((early, f"{text} before"), (at + timedelta(minutes=5), f"{text} since"))):
            InboundMessage.objects.create(
                user=desk.user, session=crowd.wa_session, conversation=one, phone=phone, key_id=f"{phone}{n}",
                text=words, sent_at=moment,
            )  # fmt: skip
            InboundMessage.objects.filter(key_id=f"{phone}{n}").update(received_at=moment)
        Conversation.objects.filter(pk=one.pk).update(last_at=at + timedelta(minutes=5), unread=1)
        found[text] = one
    message = campaign.messages.create(
        user=operator.user, session=crowd.wa_session, phone="+12125550160", state="accepted"
    )
    attempt = message.attempts.create(
        session=crowd.wa_session, phone=message.phone, worker="w", key_version=1, connection_version=0,
        body_hash=b"", started_at=wrote, lease_until=wrote, outcome="accepted",
    )  # fmt: skip
    message.attempt = attempt.pk
    message.save()
    pages = {name: f"/whatsappapi/replies/{one.public_id}/" for name, one in found.items()}
    seen = operator.client.get(pages["Old"])
    assert "Old since" in seen.text and "Old before" not in seen.text and "Hi" in seen.text
    assert operator.client.get(pages["Never"]).status_code == 404
    assert str(found["Never"].public_id) not in operator.client.get("/whatsappapi/replies/").text
    assert operator.client.get(f"/api/conversations/{found['Never'].public_id}/").status_code == 404
    assert Conversation.objects.get(pk=found["Old"].pk).unread == 1  # whom it is lent to reads nothing away
    for who in ("viewer", "ex-member", "expired", "stranger", "administrator"):
        assert crowd.people[who].client.get(pages["Old"]).status_code == 404
        assert crowd.people[who].client.post(f"{pages['Old']}answer/", {"body": "Hi"}).status_code == 404
    owners = desk.client.get(pages["Old"]).text
    assert "Old before" in owners and "Hi" in owners
    assert f"/campaigns/{campaign.public_id}/" not in owners


def test_the_table_in_the_docs_is_the_one_in_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sharing.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|$", text, re.M)
    order = [As.OWNER, As.OPERATOR, As.VIEWER, As.ADMINISTRATOR]
    assert {name: (what, [one == "yes" for one in has]) for name, what, *has in rows} == {
        name: (rule.what, [role in rule.roles for role in order]) for name, rule in CAPABILITIES.items()
    }


def test_an_id_that_nobody_has(crowd: Crowd) -> None:
    for who in ("owner", "operator"):
        assert crowd.people[who].client.get(f"/whatsappapi/sessions/{uuid.uuid4()}/").status_code == 404
