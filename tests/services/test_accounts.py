"""Leaving: all of an account as a file, and then nothing of it; and the gate before a first large campaign."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from phonebank.accounts.api_tokens import create_token
from phonebank.accounts.models import User
from phonebank.accounts.services import make_link
from phonebank.audit.models import Event
from phonebank.whatsappapi.dispatch import deal
from phonebank.whatsappapi.models import (
    AccountDeletion,
    Alert,
    Approval,
    Attempt,
    Campaign,
    CampaignCount,
    Channel,
    Contact,
    ContactList,
    GatewayAccount,
    InboundMessage,
    Installation,
    Message,
    Suppression,
    WaSenderSession,
    WebhookEvent,
)
from phonebank.whatsappapi.services import (
    account_deletion,
    account_deletion_sql,
    account_export,
    approval_queue,
    campaigns,
    consent,
    decisions,
    drafts,
    runs,
    sessions,
)
from phonebank.whatsappapi.services.errors import ServiceError
from tests.services.conftest import Sandbox, make_session
from tests.views.conftest import Desk, make_desk, other

__all__ = ["make_desk", "other"]

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "correct horse 9"
EMAIL, NAME = "leaving.person@example.org", "Leander Gone"
SECRETS = ["tok-canary-1", "key-canary-2", "hook-canary-3", "chan-canary-4"]
PHONES = [f"+1617555{n:04d}" for n in range(100, 112)]
OWN = "+12025550170"
WORDS = "Words that nobody else should read"


@pytest.fixture
def boss(plans: None) -> User:
    return User.objects.create_superuser("boss@example.org", PASSWORD)


@pytest.fixture
def leaver(boss: User) -> User:
    return User.objects.create_user(EMAIL, PASSWORD, plan="pro", name=NAME)


@pytest.fixture
def here(leaver: User, sandbox: Sandbox) -> GatewayAccount:
    return GatewayAccount.objects.create(
        user=leaver, name="Mine", base_url=f"{sandbox.url}/api", token=sandbox.token, is_sandbox=True
    )


def furnish(leaver: User, account: GatewayAccount, sessions_: list[WaSenderSession]) -> Campaign:
    """A bit of everything that somebody may have, and the traces that using it leaves."""
    people = ContactList.objects.create(user=leaver, name="Friends")
    rows = Contact.objects.bulk_create(
        Contact(user=leaver, phone=phone, name=f"N {phone}", lid=f"{phone[1:]}@lid") for phone in PHONES
    )
    people.contacts.set(rows)
    for one in rows:
        consent.grant(actor=leaver, contact=one, source="A form", wording=f"{NAME} may write to me")
    made = Campaign.objects.create(user=leaver, name="Sale", body=WORDS, state="running", contact_list=people)
    now = timezone.now()
    for n, one in enumerate(rows):
        message = Message.objects.create(
            user=leaver, campaign=made, contact=one, session=sessions_[0], phone=one.phone, state="accepted", rank=3,
            position=n, body=WORDS,
        )  # fmt: skip
        Attempt.objects.create(
            message=message, session=sessions_[0], phone=one.phone, worker="w", key_version=1, connection_version=1,
            body_hash=b"0" * 32, started_at=now, lease_until=now, finished_at=now, resolved_at=now, outcome="accepted",
        )  # fmt: skip
        InboundMessage.objects.create(
            user=leaver, session=sessions_[0], contact=one, key_id=f"k{n}", phone=one.phone, text=WORDS
        )
        body = json.dumps({"from": one.phone.lstrip("+"), "text": WORDS}).encode()
        WebhookEvent.objects.create(session=sessions_[0], body=body, digest=f"{n:032d}".encode())
    Suppression.objects.create(user=leaver, phone=PHONES[0], words=WORDS)
    Channel.objects.create(user=leaver, kind="chat", name="Pager", address=f"ntfy://{SECRETS[3]}", hint="ntfy")
    Alert.objects.create(user=leaver, key="other:1", text=f"Somebody at {PHONES[1]} waits")
    create_token(actor=leaver, name="Shop", scope="write", days=None)
    make_link(purpose="login", user=leaver)
    make_link(purpose="invite", email=EMAIL)
    client = Client()
    client.post("/accounts/login/", {"login": EMAIL, "password": PASSWORD})
    return made


def traces(*needles: str) -> list[str]:
    """Tables whose rows hold one of the needles in any column that can hold text: asked of the database itself.

    The audit log is left out where it may keep what it keeps (labels); addresses and numbers it never has.
    """
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
            "JOIN information_schema.tables USING (table_schema, table_name) WHERE table_type = 'BASE TABLE' "
            "AND table_schema NOT IN ('pg_catalog', 'information_schema') AND data_type NOT IN ('bigint', 'integer', "
            "'smallint', 'boolean', 'date', 'timestamp with time zone', 'time without time zone', 'double precision')"
        )
        columns = cursor.fetchall()
        assert len(columns) > 200
        for schema, table, column, kind in columns:
            text = f"encode({column}, 'escape')" if kind == "bytea" else f'"{column}"::text'
            cursor.execute(
                f"SELECT sought FROM unnest(%s::text[]) AS wanted(sought) WHERE EXISTS ("
                f'SELECT 1 FROM "{schema}"."{table}" WHERE position(sought in lower({text})) > 0)',
                [[needle.lower() for needle in needles]],
            )
            found += [f"{table}.{column}: {needle}" for (needle,) in cursor.fetchall()]
    return found


NEEDLES = [EMAIL, NAME, WORDS, OWN, *(one.lstrip("+") for one in PHONES), *SECRETS]


def linked_at_the_gateway(leaver: User, here: GatewayAccount, sandbox: Sandbox, n: int) -> list[WaSenderSession]:
    numbers = [f"+120255501{70 + i}" for i in range(n)]
    return [
        sessions.create_session(actor=leaver, account=here, phone_number=one, account_protection=False)
        for one in numbers
    ]


def run(user: User) -> bool:
    return account_deletion.go_on(user.pk)


def test_nothing_of_an_account_is_left(leaver: User, here: GatewayAccount, sandbox: Sandbox, boss: User) -> None:
    mine = linked_at_the_gateway(leaver, here, sandbox, 2)
    campaign = furnish(leaver, here, mine)
    kept = boss.contacts.create(phone="+13105550151", name="Somebody else's")
    assert len(traces(*NEEDLES[:3])) > 5, "the scan must find what is there"
    pseudonym, client = leaver.public_id, Client()
    client.force_login(leaver)
    made = account_deletion.begin(actor=leaver, user=leaver)
    # At once: who it was is gone, nobody gets in, nothing is sent.
    assert traces(EMAIL) == []
    assert client.get("/whatsappapi/").status_code == 302
    assert Campaign.objects.get(pk=campaign.pk).state == "cancelled"
    assert account_deletion.begin(actor=leaver, user=leaver).pk == made.pk
    assert run(leaver) and run(leaver)
    assert traces(*NEEDLES) == []
    assert sandbox.sessions() == []
    assert not User.objects.filter(pk=leaver.pk).exists() and Contact.objects.get() == kept
    done = AccountDeletion.objects.get()
    assert done.finished_at and done.sessions_left == 0 and done.ref == pseudonym
    assert Event.objects.filter(verb="user.closed", actor_ref=pseudonym).count() == 1
    assert Event.objects.filter(actor_ref=pseudonym).count() > 3
    again = User.objects.create_user(EMAIL, PASSWORD)
    assert again.pk != leaver.pk


def test_killed_at_every_step_it_goes_on(
    leaver: User, here: GatewayAccount, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dies once at each statement, and at each session: the next run finishes what is left."""
    furnish(leaver, here, linked_at_the_gateway(leaver, here, sandbox, 2))
    account_deletion.begin(actor=leaver, user=leaver)
    monkeypatch.setattr(account_deletion_sql, "CHUNK", 5)
    real, calls, deaths = account_deletion._run, [0], [0]

    class Killed(BaseException):
        """As a kill: nothing catches it."""

    def dying(statement: str, user: User) -> int:
        calls[0] += 1
        done = real(statement, user)
        if calls[0] > deaths[0] * 2:
            deaths[0] += 1
            calls[0] = 0
            raise Killed
        return done

    monkeypatch.setattr(account_deletion, "_run", dying)
    for _ in range(100):
        try:
            if run(leaver):
                break
        except Killed:
            assert account_deletion.finish_what_was_begun() == 0  # the first job is there still
    else:
        raise AssertionError("it never came to its end")
    assert deaths[0] > 4
    assert traces(*NEEDLES) == [] and AccountDeletion.objects.get().finished_at


def test_a_lost_job_is_deferred_anew(leaver: User) -> None:
    account_deletion.begin(actor=leaver, user=leaver)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE task_name = 'delete_account'")
    assert account_deletion.finish_what_was_begun() == 1
    assert account_deletion.finish_what_was_begun() == 0


def test_a_gateway_that_does_not_answer_is_told_of(leaver: User, boss: User) -> None:
    away = GatewayAccount.objects.create(user=leaver, name="Away", base_url="http://127.0.0.1:9/api", token=SECRETS[0])
    make_session(away, SECRETS[1] * 2, SECRETS[2] * 2, phone_number=OWN)
    account_deletion.begin(actor=leaver, user=leaver)
    tries = 0
    while not run(leaver):
        tries += 1
        assert WaSenderSession.objects.filter(deleted_at=None).count() == 1
    assert tries == account_deletion.TRIES - 1
    assert AccountDeletion.objects.get().sessions_left == 1
    told = Alert.objects.get(user=boss)
    assert "a session could not be removed at the gateway" in told.text and EMAIL not in told.text
    assert traces(*NEEDLES) == []


def test_what_is_under_way_is_waited_for(leaver: User, account: GatewayAccount) -> None:
    row = make_session(account, "k" * 64, "s" * 40, user=leaver)
    now = timezone.now()
    message = Message.objects.create(user=leaver, session=row, phone=PHONES[0], state="sending", kind="reply")
    Attempt.objects.create(
        message=message, session=row, phone=PHONES[0], worker="w", key_version=1, connection_version=1,
        body_hash=b"0" * 32, started_at=now, lease_until=now,
    )  # fmt: skip
    account_deletion.begin(actor=leaver, user=leaver)
    for _ in range(account_deletion.TRIES):
        assert not run(leaver)
    Attempt.objects.update(finished_at=now)
    assert run(leaver) and not Message.objects.exists()


def test_what_others_sent_over_the_numbers_stays_theirs(leaver: User, account: GatewayAccount, user: User) -> None:
    """`user` ran a campaign over a session that the leaver had lent: counters must equal rows afterwards too."""
    row = make_session(account, "k" * 64, "s" * 40, user=leaver)
    theirs = Campaign.objects.create(user=user, name="Borrowed", body="Hi", state="running")
    theirs.lanes.create(session=row, position=0)
    for n, state in enumerate(("accepted", "accepted", "queued")):
        Message.objects.create(
            user=user, campaign=theirs, session=row, phone=PHONES[n], state=state, rank=2, position=n + 1
        )
    CampaignCount.objects.bulk_create(
        CampaignCount(campaign=theirs, session=row, state=state, n=n) for state, n in (("sent", 2), ("queued", 1))
    )
    account_deletion.begin(actor=leaver, user=leaver)
    while not run(leaver):
        pass
    assert not WaSenderSession.objects.filter(user=leaver.pk).exists()
    counts = CampaignCount.objects.filter(campaign=theirs).exclude(n=0)
    assert sorted(counts.values_list("session", "state", "n")) == [(None, "failed", 1), (None, "sent", 2)]
    assert sorted(theirs.messages.values_list("session", "state")) == [
        (None, "accepted"), (None, "accepted"), (None, "failed"),
    ]  # fmt: skip


def test_who_waits_for_a_vanishing_session_goes_to_another(leaver: User, account: GatewayAccount, user: User) -> None:
    """A paused campaign over a lent session and one's own: nobody fails, and nobody stays unclear for ever."""
    lent = make_session(account, "k" * 64, "s" * 40, user=leaver)
    own = make_session(account, "m" * 64, "t" * 40, user=user)
    WaSenderSession.objects.filter(pk=own.pk).update(status="disconnected", daily_limit=0)
    theirs = Campaign.objects.create(user=user, name="Borrowed", body="Hi", state="paused")
    for place, one in enumerate((lent, own)):
        theirs.lanes.create(session=one, position=place)
    for n, state in enumerate(("unknown", "queued", "queued")):
        Message.objects.create(user=user, campaign=theirs, session=lent, phone=PHONES[n], state=state, position=n + 1)
    theirs.counts.create(session=lent, state="unknown", n=1)
    theirs.counts.create(session=lent, state="queued", n=2)

    def counted() -> list[Any]:
        rows = theirs.counts.exclude(n=0).order_by("state").values_list("session", "state", "n")
        assert set(rows) == set(theirs.messages.values_list("session", "state").annotate(n=Count("pk")).order_by())
        return list(rows)

    account_deletion.begin(actor=leaver, user=leaver)
    while not run(leaver):
        pass
    assert counted() == [(own.pk, "queued", 2), (None, "uncertain", 1)]
    moved = theirs.messages.filter(session=own).order_by("position")
    assert [(one.position, one.why) for one in moved] == [(1, "Moved: Desk 1 was deleted"), (2, moved[1].why)]
    assert decisions.send_again(actor=user, campaign=theirs) == 1
    assert counted() == [(own.pk, "queued", 3)]


def test_what_nobody_can_send_again_says_so(account: GatewayAccount, user: User) -> None:
    theirs = Campaign.objects.create(user=user, name="Borrowed", body="Hi", state="completed")
    theirs.messages.create(user=user, phone=PHONES[0], state="uncertain")
    theirs.counts.create(session=None, state="uncertain", n=1)
    with pytest.raises(ServiceError, match="no other carries"):
        decisions.send_again(actor=user, campaign=theirs)
    assert decisions.assume_sent(actor=user, campaign=theirs) == 1


def test_many_contacts_go_by_an_index_that_goes_too(leaver: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_deletion, "MANY", 5)
    Contact.objects.bulk_create(Contact(user=leaver, phone=phone) for phone in PHONES)
    account_deletion.begin(actor=leaver, user=leaver)
    assert run(leaver) and not Contact.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE indexname = 'whatsappapi_message_leaving'")
        assert cursor.fetchone()[0] == 0


def test_who_may_delete_whom(boss: User, leaver: User) -> None:
    with pytest.raises(ServiceError, match="last administrator"):
        account_deletion.begin(actor=boss, user=boss)
    with pytest.raises(ServiceError, match="Switch the account off"):
        account_deletion.begin(actor=boss, user=leaver)
    with pytest.raises(ServiceError):
        account_deletion.begin(actor=leaver, user=boss)
    assert not AccountDeletion.objects.exists() and User.objects.filter(is_active=True).count() == 2
    User.objects.filter(pk=leaver.pk).update(is_active=False)
    account_deletion.begin(actor=boss, user=leaver)


def test_the_pages_ask_who_it_is(leaver: User, boss: User, client: Client) -> None:
    client.force_login(leaver)
    for path, form in (("export/", {}), ("delete/", {"typed": "DELETE"})):
        url = f"/whatsappapi/account/{path}"
        assert client.get(url).status_code == 200
        assert client.post(url, form).status_code == 422
        assert client.post(url, form | {"password": "nonsense nonsense"}).status_code == 422
    assert client.post("/whatsappapi/account/delete/", {"typed": "", "password": PASSWORD}).status_code == 422
    assert not AccountDeletion.objects.exists() and not Event.objects.filter(verb="user.exported").exists()
    answer = client.post("/whatsappapi/account/delete/", {"typed": "delete", "password": PASSWORD}, follow=True)
    assert "Your account is closed" in answer.text
    assert "_auth_user_id" not in client.session
    client.force_login(boss)
    last = client.post("/whatsappapi/account/delete/", {"typed": "DELETE", "password": PASSWORD})
    assert last.status_code == 422 and "last administrator" in last.text


def test_guessing_the_password_there_is_throttled(leaver: User, client: Client) -> None:
    client.force_login(leaver)
    for _ in range(12):
        client.post("/whatsappapi/account/export/", {"password": "nonsense nonsense"})
    answer = client.post("/whatsappapi/account/export/", {"password": PASSWORD})
    assert answer.status_code == 422 and "Too many tries" in answer.text


def test_another_address_is_proven_first(
    leaver: User, client: Client, settings: Settings, mailoutbox: list[Any]
) -> None:
    client.force_login(leaver)
    url = "/whatsappapi/account/address/"
    settings.EMAIL_URL = ""
    assert client.get(url).status_code == 404
    settings.EMAIL_URL, settings.ACCOUNT_CHANGE_EMAIL = "smtp://mail.example", True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    taken = {"email": "BOSS@example.org", "password": PASSWORD}
    assert client.post(url, taken).status_code == 422
    assert client.post(url, {"email": "new@example.org", "password": PASSWORD}).status_code == 302
    leaver.refresh_from_db()
    assert leaver.email == EMAIL
    [mail] = mailoutbox
    assert mail.to == ["new@example.org"]
    path = mail.body.split("http://testserver")[1].split()[0]
    client.post(path)
    leaver.refresh_from_db()
    assert leaver.email == "new@example.org"
    assert list(leaver.emailaddress_set.values_list("email", "verified")) == [("new@example.org", True)]


# --- the export -----------------------------------------------------------------------------------------------------


def unzip(pieces: Iterator[bytes]) -> dict[str, bytes]:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist()}


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def test_an_export_is_whole_and_tells_no_secret(leaver: User, account: GatewayAccount, boss: User) -> None:
    own = GatewayAccount.objects.create(user=leaver, name="Mine", base_url="http://127.0.0.1:9/api", token=SECRETS[0])
    row = make_session(own, SECRETS[1] * 2, SECRETS[2] * 2)
    campaign = furnish(leaver, own, [row])
    boss.contacts.create(phone="+13105550151", name="Somebody else's")
    Campaign.objects.create(user=boss, name="Another's", body="Not yours")
    Contact.objects.create(user=leaver, phone="+13105550152", name="=HYPERLINK(1)")
    files = unzip(account_export.export(actor=leaver))
    profile = json.loads(files["profile.json"])
    assert profile["email"] == EMAIL and profile["plan"] == "Pro"
    assert [one["name"] for one in json.loads(files["campaigns.json"])] == [campaign.name]
    counts = {"contacts": 13, "consents": 12, "messages": 12, "requests": 12, "replies": 12, "lists": 12,
              "suppressions": 1, "sessions": 1, "api_tokens": 1, "alert_channels": 1}  # fmt: skip
    for name, n in counts.items():
        assert len(rows(files[f"{name}.csv"])) == n, name
    assert {one["phone"] for one in rows(files["messages.csv"])} == set(PHONES)
    assert rows(files["messages.csv"])[0]["body"] == WORDS
    assert rows(files["contacts.csv"])[-1]["name"] == "'=HYPERLINK(1)"
    assert len(rows(files["audit.csv"])) == Event.objects.filter(actor=leaver).count()
    assert Event.objects.filter(verb="user.exported").count() == 1
    whole = b"".join(files.values())
    hidden = [*SECRETS, leaver.password, "Not yours", "Somebody else", row.api_key_digest, row.webhook_token]
    digest = leaver.auth_token_set.values_list("digest", flat=True)[0]
    for secret in [*hidden, digest]:
        assert secret and secret.encode() not in whole, secret


def test_a_large_export_needs_no_more_memory(leaver: User) -> None:
    """Six times the messages, in the memory of one: peaks of what Python allocates, so no machine's business."""

    def peak() -> int:
        tracemalloc.start()
        n = sum(map(len, account_export.export(actor=leaver)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert n > 1000
        return found

    fill(leaver, 2000)
    peak()
    small = peak()
    fill(leaver, 10_000)
    assert peak() < 1.3 * small


def fill(owner: User, n: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO whatsappapi_message (user_id, phone, state, body) "
            "SELECT %s, '+1617' || lpad((random() * 9999999)::int::text, 7, '0'), 'accepted', repeat(md5(g::text), 3) "
            "FROM generate_series(1, %s) g",
            [owner.pk, n],
        )


# --- approval -------------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(boss: User, make_desk: Callable[[str], Desk]) -> Desk:
    """Somebody whose first campaign to more than three people waits."""
    Installation.objects.update_or_create(pk=1, defaults={"is_stopped": False, "approval_above": 3})
    return make_desk("dora@example.org")


def draft(desk: Desk, people: int, name: str = "Big") -> Campaign:
    return campaigns.create_campaign(
        actor=desk.user, name=name, body="Hi, STOP ends it", wa_sessions=[desk.session()],
        contact_list=desk.contact_list(people, name),
    )  # fmt: skip


def dealt(campaign: Campaign) -> bool:
    """Whether anything would ever leave: there is a job, and it deals."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE lock = %s", [f"deal:{campaign.pk}"])
        n = cursor.fetchone()[0]
    while n and not deal.deal_chunk(campaign.pk):
        pass
    campaign.refresh_from_db()
    return campaign.state in ("running", "dealing") and campaign.messages.exists()


STARTS: dict[str, Callable[[Desk, Campaign], Any]] = {
    "launch": lambda desk, one: campaigns.launch(actor=desk.user, campaign=one),
    "start": lambda desk, one: runs.start(actor=desk.user, campaign=one),
    "page": lambda desk, one: desk.client.post(f"/whatsappapi/campaigns/{one.public_id}/launch/"),
    "api": lambda desk, one: desk.client.post(
        f"/api/campaigns/{one.public_id}/launch/", content_type="application/json"
    ),
    "schedule": lambda desk, one: runs.schedule(actor=desk.user, campaign=one, at=timezone.now() + timedelta(hours=1)),
}


@pytest.mark.parametrize("way", STARTS)
def test_no_way_leads_past_the_gate(way: str, gate: Desk, boss: User) -> None:
    one = draft(gate, 4)
    STARTS[way](gate, one)
    one.refresh_from_db()
    assert (one.state, one.approval.state, one.approval.people) == ("paused", "waiting", 4)
    assert "Waits for an administrator" in one.pause_reason
    campaigns.resume(actor=gate.user, campaign=one)
    gate.client.post(f"/whatsappapi/campaigns/{one.public_id}/resume/")
    Campaign.objects.filter(scheduled_at__isnull=False).update(scheduled_at=timezone.now())
    runs.start_due()
    assert not dealt(one) and not one.messages.exists()
    assert Alert.objects.filter(user=boss, closed_at=None, key__startswith="approval").count() == 1
    assert Approval.objects.count() == 1
    page = gate.client.get(f"/whatsappapi/campaigns/{one.public_id}/").text
    assert "Waits for an administrator" in page and "Take it back to change it" in page
    with pytest.raises(ServiceError, match="Only an administrator"):
        approval_queue.approve(actor=gate.user, public_id=one.approval.public_id, people=4)
    approval_queue.approve(actor=boss, public_id=one.approval.public_id, people=4)
    assert dealt(one) and one.messages.count() == 4
    assert not Alert.objects.filter(user=boss, closed_at=None).exists()
    assert campaigns.launch(actor=gate.user, campaign=draft(gate, 5, "Next")).state == "dealing"  # the first alone


def test_small_ones_and_administrators_do_not_wait(gate: Desk, boss: User) -> None:
    assert campaigns.launch(actor=gate.user, campaign=draft(gate, 3)).state == "dealing"
    User.objects.filter(pk=gate.user.pk).update(is_superuser=True)
    gate.user.refresh_from_db()
    assert campaigns.launch(actor=gate.user, campaign=draft(gate, 4, "B")).state == "dealing"
    User.objects.filter(pk=gate.user.pk).update(is_superuser=False)
    gate.user.refresh_from_db()
    Installation.objects.update(approval_above=None)
    assert campaigns.launch(actor=gate.user, campaign=draft(gate, 4, "C")).state == "dealing"


def test_editing_after_approval_loses_it(gate: Desk, boss: User) -> None:
    one = draft(gate, 4)
    at = timezone.now() + timedelta(hours=1)
    runs.schedule(actor=gate.user, campaign=one, at=at)
    approval_queue.approve(actor=boss, public_id=one.approval.public_id, people=4)
    one.refresh_from_db()
    assert one.state == "scheduled" and one.scheduled_at == at
    runs.unschedule(actor=gate.user, campaign=one)
    drafts.save(actor=gate.user, campaign=one, changes={"body": "Something else, STOP"})
    one.refresh_from_db()
    assert campaigns.launch(actor=gate.user, campaign=one).state == "paused"
    assert Approval.objects.get().state == "waiting" and not dealt(one)


def test_an_approval_is_for_so_many_people(gate: Desk, boss: User) -> None:
    one = draft(gate, 4)
    campaigns.launch(actor=gate.user, campaign=one)
    grown = one.contact_list.contacts.create(user=gate.user, phone="+13105550151", consent="granted")
    with pytest.raises(ServiceError, match="5 people by now"):
        approval_queue.approve(actor=boss, public_id=one.approval.public_id, people=4)
    assert not dealt(one)
    approval_queue.approve(actor=boss, public_id=one.approval.public_id, people=5)
    # Between the approval and the deal two more join: what is dealt is more than anybody allowed.
    for n in (2, 3):
        grown = one.contact_list.contacts.create(user=gate.user, phone=f"+1310555015{n}", consent="granted")
    assert grown and not dealt(one)
    assert (one.state, bool(one.sealed_at)) == ("paused", True)
    gate.client.post(f"/whatsappapi/campaigns/{one.public_id}/resume/")
    one = Campaign.objects.get()
    assert (one.state, one.approval.state, one.approval.people) == ("paused", "waiting", 7)
    approval_queue.approve(actor=boss, public_id=one.approval.public_id, people=7)
    assert Campaign.objects.get().state == "running"


def test_a_list_that_grows_before_its_hour(gate: Desk, boss: User) -> None:
    one = draft(gate, 1)
    runs.schedule(actor=gate.user, campaign=one, at=timezone.now() + timedelta(hours=1))
    for n in range(4):
        one.contact_list.contacts.create(user=gate.user, phone=f"+1310555015{n}", consent="granted")
    Campaign.objects.update(scheduled_at=timezone.now())
    runs.start_due()
    one.refresh_from_db()
    assert one.state == "paused" and one.approval.people == 5 and not dealt(one)


def test_refused_it_is_a_draft_again_with_the_reason(gate: Desk, boss: User) -> None:
    one = draft(gate, 4)
    campaigns.launch(actor=gate.user, campaign=one)
    with pytest.raises(ServiceError, match="Say why"):
        approval_queue.refuse(actor=boss, public_id=one.approval.public_id, reason=" ")
    client = Client()
    client.force_login(boss)
    queue = client.get("/whatsappapi/administration/approvals/").text
    assert "Big" in queue and "STOP ends it" not in queue
    client.post(f"/whatsappapi/administration/approvals/{one.approval.public_id}/", {"reason": "Too many at once"})
    one.refresh_from_db()
    assert one.state == "draft"
    assert "Too many at once" in gate.client.get(f"/whatsappapi/send-campaign/{one.public_id}/review/").text
    assert "Too many at once" in Alert.objects.get(user=gate.user).text
    with pytest.raises(ServiceError, match="does not wait"):
        approval_queue.approve(actor=boss, public_id=one.approval.public_id, people=4)


def test_taken_back_it_can_be_changed(gate: Desk, boss: User, other: Desk) -> None:
    one = draft(gate, 4)
    campaigns.launch(actor=gate.user, campaign=one)
    url = f"/whatsappapi/campaigns/{one.public_id}/withdraw/"
    assert other.client.post(url).status_code == 404
    gate.client.post(url)
    one.refresh_from_db()
    assert one.state == "draft" and not Approval.objects.exists()
    assert not Alert.objects.filter(user=boss, closed_at=None).exists()
    gate.client.post(url)
    one.refresh_from_db()
    assert one.state == "draft"
