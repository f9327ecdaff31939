"""The audit page and its export: what each person may see, in words."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from phonebank.accounts.models import User
from phonebank.audit.listing import PAGE, Filters, page, safe
from phonebank.audit.models import Event, record
from phonebank.audit.origin import acting
from phonebank.audit.sentences import lines
from phonebank.whatsappapi.services import campaigns
from tests.audit.conftest import by_the_databases_owner, events, sql
from tests.views.conftest import Desk


class Text(HTMLParser):
    """The words of a page's table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(html[html.index("<tbody>") : html.index("</tbody>")])

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def __str__(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def admin(boss: User) -> Client:
    client = Client()
    client.force_login(boss)
    return client


def shown(client: Client, **asked: str) -> list[str]:
    return [one.text for one in client.get("/audit/", asked).context["lines"]]


def test_an_act_reads_as_a_sentence(desk: Desk, admin: Client) -> None:
    campaign = desk.campaign(2, name="Spring sale")
    desk.client.post(f"/whatsappapi/campaigns/{campaign.public_id}/pause/")
    assert shown(desk.client) == ["You paused “Spring sale” from a page"]
    assert shown(admin) == ["Somebody paused “Spring sale” from a page"]
    html = desk.client.get("/audit/").text
    assert "<bdi>You</bdi> paused “<bdi>Spring sale</bdi>” from a page" in html


@pytest.mark.parametrize(
    ("how", "way"),
    [
        ("api", "by the API"),
        ("webhook", "because of a webhook"),
        ("job", "in the background"),
        ("command", "by a command"),
    ],
)
def test_the_way_is_told(desk: Desk, how: str, way: str) -> None:
    campaign = desk.campaign(1, name="Sale")
    with acting(how):
        campaigns.pause(actor=None, campaign=campaign)
    assert shown(desk.client) == [f"Phonebank paused “Sale” {way}"]


def test_changes_and_facts_are_shown(desk: Desk) -> None:
    session = desk.session("New name")
    changes = {"session_name": ("Old name", "New name"), "daily_limit": (None, 50), "log_messages": (True, False)}
    record(actor=desk.user, verb="session.changed", target=session, changes=changes, rows_read=7)
    words = str(Text(desk.client.get("/audit/").text))
    for said in ("Session name: Old name → became New name", "Daily limit: none → became 50", "Rows read 7"):
        assert said in words
    assert "Log messages: yes → became no" in words


def test_everybody_sees_their_own_and_what_was_done_to_it(desk: Desk, other: Desk, admin: Client, boss: User) -> None:
    theirs = other.session("Secret number")
    record(actor=other.user, verb="session.connect", target=theirs)
    record(actor=boss, verb="session.disconnect", target=theirs)
    record(actor=boss, verb="link.login.made", target=desk.user, owner=desk.user)
    assert shown(desk.client) == ["The boss made a login link for you by a command"]
    assert shown(other.client) == ["The boss disconnected “Secret number”" + " by a command",
                                   "You connected “Secret number” by a command"]  # fmt: skip
    assert len(shown(admin)) == 3
    assert "Secret" not in desk.client.get("/audit/", {"about": str(theirs.public_id)}).text
    assert "Secret" not in desk.client.post("/audit/export/", {"about": "Secret"}).getvalue().decode()


def test_somebody_elses_address_is_for_administrators(desk: Desk, admin: Client, boss: User) -> None:
    with acting("page", address="192.0.2.77"):
        record(actor=boss, verb="session.disconnect", target=desk.session())
    assert "192.0.2.77" not in desk.client.get("/audit/").text
    assert "192.0.2.77" in admin.get("/audit/").text


def test_strangers_are_sent_to_the_login(db: None) -> None:
    for method, path in (("get", "/audit/"), ("post", "/audit/export/")):
        assert getattr(Client(), method)(path)["Location"].startswith("/accounts/login/")
    assert not Event.objects.exists()


def test_an_export_is_a_post(desk: Desk) -> None:
    assert desk.client.get("/audit/export/").status_code == 405


# --- filters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(desk: Desk, boss: User) -> Desk:
    session = desk.session("Sales")
    with acting("page"):
        record(actor=desk.user, verb="session.connect", target=session)
    session.session_name = "Shop"
    with acting("api"):
        record(actor=desk.user, verb="session.renamed", target=session, changes={"session_name": ("Sales", "Shop")})
        record(actor=boss, verb="campaign.cancel", target=desk.campaign(1, name="Autumn"))
    with acting("job"):
        record(actor=None, owner=desk.user, verb="contact.opted_out")
    return desk


@pytest.mark.parametrize(
    ("asked", "verbs"),
    [
        ({}, "contact.opted_out campaign.cancel session.renamed session.connect"),
        ({"who": "me"}, "session.renamed session.connect"),
        ({"who": "others"}, "campaign.cancel"),
        ({"who": "phonebank"}, "contact.opted_out"),
        ({"what": "session"}, "session.renamed session.connect"),
        ({"what": "contact"}, "contact.opted_out"),
        ({"how": "api"}, "campaign.cancel session.renamed"),
        ({"about": "sales"}, "session.renamed session.connect"),
        ({"about": "SHOP"}, "session.renamed session.connect"),
        ({"about": "autumn"}, "campaign.cancel"),
        ({"what": "session", "how": "page", "who": "me"}, "session.connect"),
        ({"until": "2020-01-01"}, ""),
        ({"since": "2020-01-01", "until": "9999-12-31", "who": "me"}, "session.renamed session.connect"),
        ({"how": "nonsense", "since": "x"}, "contact.opted_out campaign.cancel session.renamed session.connect"),
        ({"person": "boss"}, "contact.opted_out campaign.cancel session.renamed session.connect"),
    ],
)  # fmt: skip
def test_filters(mixed: Desk, asked: dict[str, str], verbs: str) -> None:
    found = Filters(asked, viewer=mixed.user).events().order_by("-id")
    assert [one.verb for one in found] == verbs.split()


def test_administrators_look_for_people(mixed: Desk, admin: Client, boss: User) -> None:
    assert len(shown(admin, person="ana@")) == 2
    assert len(shown(admin, person="The b")) == 1


def test_a_day_is_the_readers_own(desk: Desk) -> None:
    """In Madrid 23:30 UTC is the next day already."""
    Event.objects.create(actor=desk.user, owner=desk.user, verb="x", at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    assert len(shown(desk.client, since="2026-07-02", until="2026-07-02")) == 1
    assert shown(desk.client, until="2026-07-01") == []


def test_nothing_yet_and_nothing_found(desk: Desk) -> None:
    assert "Nothing was done yet" in desk.client.get("/audit/").text
    assert "Nothing like this was done" in desk.client.get("/audit/", {"how": "api"}).text


# --- pages ------------------------------------------------------------------------------------------------------------


def test_pages_meet_without_gap_or_overlap(desk: Desk) -> None:
    made = [one.pk for one in events(desk.user, 2 * PAGE + 7)][::-1]
    found, seen, cursors, cursor = Event.objects.visible_to(desk.user), [], [""], ""
    for _ in range(3):
        got = page(found, cursor)
        seen += [one.pk for one in got.events]
        cursors.append(cursor := got.older)
    assert seen == made and cursor == ""
    events(desk.user, 1)  # what comes meanwhile moves no page
    second = page(found, cursors[1])
    assert [one.pk for one in second.events] == made[PAGE : 2 * PAGE]
    back = page(found, second.newer)
    assert [one.pk for one in back.events] == made[:PAGE]
    assert len(page(found, back.newer).events) == 1


def test_a_made_up_cursor_shows_the_first_page(desk: Desk) -> None:
    events(desk.user, 3)
    for cursor in ("x", "1", "%", "eyJ9:1:2"):
        assert len(shown(desk.client, cursor=cursor)) == 3


def test_queries_do_not_grow_with_rows(desk: Desk, other: Desk) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert desk.client.get("/audit/").status_code == 200
        return len(asked)

    events(desk.user, 2)
    record(actor=other.user, verb="link.login.made", target=desk.user, owner=desk.user)
    before = queries()
    events(desk.user, 60)
    for _ in range(9):
        record(actor=other.user, verb="link.login.made", target=desk.user, owner=desk.user)
    assert queries() == before


# --- export -----------------------------------------------------------------------------------------------------------


def rows(client: Client, **asked: str) -> list[dict[str, str]]:
    answer = client.post("/audit/export/", asked)
    assert answer["Content-Type"].startswith("text/csv") and "attachment" in answer["Content-Disposition"]
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_export_has_everything_once_and_is_recorded(desk: Desk) -> None:
    made = events(desk.user, 1203)
    got = rows(desk.client)
    assert [one["Facts"].split(";")[0] for one in got] == [f"Rows: {one.data['rows']}" for one in reversed(made)]
    assert shown(desk.client)[0] == "You exported the audit log from a page"
    assert len(rows(desk.client, what="audit")) == 1


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u00a0=1", "＝1", "|calc", "%0A", "\ufeff=1"]
)
def test_no_cell_is_a_formula(desk: Desk, name: str) -> None:
    assert safe(name).startswith("'")
    record(actor=desk.user, verb="session.connect", target=desk.session("x"), note=name)
    sql_name = name.replace("\x00", "")
    with by_the_databases_owner():
        sql("UPDATE audit_event SET label = %s", sql_name)
    [row] = rows(desk.client)
    assert row["Name"].startswith("'")
    assert all(cell[:1] not in tuple("=+-@\t\r") for cell in row.values())


def test_ordinary_cells_stay_as_they_are() -> None:
    assert [safe(one) for one in ("", "Sales", "…0123", "2026-11-22", "“=1”")] == [
        "",
        "Sales",
        "…0123",
        "2026-11-22",
        "“=1”",
    ]


# --- erased people, proof ---------------------------------------------------------------------------------------------


def test_erased_people_are_pseudonyms(desk: Desk, other: Desk, boss: User) -> None:
    record(actor=other.user, verb="link.login.made", target=other.user, owner=desk.user)
    ref = str(other.user.public_id)[:8]
    other.account.delete()
    other.user.delete()
    assert shown(desk.client) == [f"A former user ({ref}) made a login link for A former user ({ref}) by a command"]


def test_administrators_see_how_far_the_chain_reaches(desk: Desk, admin: Client) -> None:
    from phonebank.audit import chain

    events(desk.user, 3)
    chain.seal()
    assert "3 entries are sealed" in admin.get("/audit/").text
    assert "entries are sealed" not in desk.client.get("/audit/").text
    Event.objects.create(verb="x", at=datetime.now(UTC) - timedelta(hours=1))
    assert "are not sealed yet" in admin.get("/audit/").text
    with by_the_databases_owner():
        sql("UPDATE audit_head SET count = 2")
    assert "The seal of this log is not ours" in admin.get("/audit/").text


def test_an_unknown_verb_is_still_told(desk: Desk) -> None:
    record(actor=desk.user, verb="session.tea_made", target=desk.session("Sales"))
    [line] = lines(Event.objects.all(), desk.user)
    assert line.text == "You did “session tea made” to “Sales” by a command"
