"""After a restore: whom the gateway's logs name is left out, whoever of its borrowers wrote to them."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.gateways.errors import Throttled
from phonebank.whatsappapi.dispatch import budget, reconcile
from phonebank.whatsappapi.dispatch.message_log import read_log
from phonebank.whatsappapi.models import (
    CallBudget,
    Campaign,
    CampaignCount,
    GatewayAccount,
    Installation,
    Message,
    SessionShare,
    WaSenderSession,
)
from phonebank.whatsappapi.services import aftermath, guard, sessions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call, ensure_sandbox_account
from tests.services.conftest import Sandbox

pytestmark = pytest.mark.django_db
WRITTEN, OTHER = "+12125550170", "+12125550171"
Write = Callable[..., None]


@pytest.fixture
def box(user: User, sandbox: Sandbox) -> GatewayAccount:
    sandbox.pull("PATCH", "/knobs", {"rate_limit": 0, "protected_gap": 0})
    return ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)


@pytest.fixture
def make(user: User, box: GatewayAccount, sandbox: Sandbox) -> Callable[[str], WaSenderSession]:
    """A linked session."""

    def made(name: str) -> WaSenderSession:
        number = f"+1212555010{WaSenderSession.objects.count()}"
        row = sessions.create_session(actor=user, account=box, phone_number=number, name=name)
        sessions.connect(actor=user, wa_session=row)
        sandbox.link(row.wasender_id, lambda: sessions.refresh_status(wa_session=row).status == "connected")
        return row

    return made


@pytest.fixture
def row(make: Callable[[str], WaSenderSession]) -> WaSenderSession:
    return make("Front")


@pytest.fixture
def write(sandbox: Sandbox) -> Write:
    """What the installation sent after its backup: only the gateway knows of it."""

    def written(row: WaSenderSession, *phones: str) -> None:
        for phone in phones:
            sandbox.send(row.api_key, phone)

    return written


@pytest.fixture
def hold() -> Callable[[], None]:
    """The database becomes a copy of an hour ago."""

    def held() -> None:
        now = timezone.now()
        values = {"held_at": now, "held_why": guard.RESTORED, "known_until": now - timedelta(hours=1)}
        Installation.objects.update_or_create(pk=1, defaults=values)

    return held


def queued(user: User, row: WaSenderSession, phone: str) -> Message:
    """A row of a campaign under way."""
    campaign = Campaign.objects.create(user=user, name="Sale", body="Hi", state="running")
    campaign.lanes.create(session=row, position=0)
    CampaignCount.objects.create(campaign=campaign, session=row, state="queued", n=1)
    return Message.objects.create(user=user, campaign=campaign, session=row, phone=phone, position=1)


def state(message: Message) -> str:
    return Message.objects.get(pk=message.pk).state


def command(*args: str) -> str:
    out = io.StringIO()
    call_command("resume_after_restore", *args, stdout=out)
    return out.getvalue()


def test_whom_the_log_names_on_any_page_is_left_out(
    user: User, row: WaSenderSession, write: Write, hold: Callable[[], None]
) -> None:
    first, again = queued(user, row, WRITTEN), queued(user, row, WRITTEN)
    single = Message.objects.create(user=user, session=row, phone=WRITTEN, kind="transactional", body="x")
    test = Message.objects.create(user=user, session=row, phone=WRITTEN, kind="test", body="x")
    other = queued(user, row, OTHER)
    write(row, WRITTEN, *["+12125550180"] * 120)  # the log has the newest first, a hundred a page
    hold()
    found = aftermath.compare()
    assert (found.people, found.read, found.unread) == (2, 1, [])
    assert {state(one) for one in (first, again, single)} == {"queued"}
    assert "name them: 3 messages" in command()
    assert {state(one) for one in (first, again, single)} == {"skipped"}
    assert (state(test), state(other)) == ("queued", "queued") and not guard.held()
    assert CampaignCount.objects.get(campaign=first.campaign, state="skipped").n == 1


@pytest.mark.parametrize("end", ["", "revoked"])
def test_a_borrower_does_not_write_again_to_whom_they_wrote_over_a_lent_session(
    user: User, stranger: User, row: WaSenderSession, write: Write, hold: Callable[[], None], end: str
) -> None:
    now = timezone.now()
    SessionShare.objects.create(
        session=row, email=stranger.email, user=stranger, role="operator", accepted_at=now, end=end,
        ended_at=now if end else None,
    )  # fmt: skip
    SessionShare.objects.create(session=row, email="nobody@example.org", invited_by=user)
    theirs, others = queued(stranger, row, WRITTEN), queued(stranger, row, OTHER)
    write(row, WRITTEN)
    hold()
    assert aftermath.compare().people == 1
    aftermath.leave_out(actor=None)
    assert (state(theirs), state(others)) == ("skipped", "queued")


def test_a_real_accounts_budget_is_waited_for(
    user: User, box: GatewayAccount, row: WaSenderSession, write: Write, hold: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(budget, "ACCOUNT_GAP", 0.1)
    monkeypatch.setattr(budget, "ACCOUNT_BURST", 0.0)
    GatewayAccount.objects.update(is_sandbox=False)
    message = queued(user, row, WRITTEN)
    write(row, WRITTEN, *["+12125550180"] * 210)
    hold()
    aftermath.leave_out(actor=None)
    assert state(message) == "skipped"


def test_a_gateway_that_asks_to_slow_down_is_waited_for(
    user: User, box: GatewayAccount, row: WaSenderSession, sandbox: Sandbox, write: Write, hold: Callable[[], None]
) -> None:
    message = queued(user, row, WRITTEN)
    write(row, WRITTEN)
    hold()
    sandbox.fault("429", "message-logs", next=1, retry_after=1)
    aftermath.leave_out(actor=None)
    assert state(message) == "skipped"
    assert CallBudget.objects.get(key=budget.account_key(box.pk)).closed_until, "others are told to wait as well"


def test_the_engine_reads_the_same_log_and_waits_for_nothing(
    box: GatewayAccount, row: WaSenderSession, sandbox: Sandbox, write: Write
) -> None:
    write(row, *["+12125550180"] * 101)
    back_to = timezone.now() - timedelta(hours=1)
    first = read_log(row, back_to, most=1)
    assert (len(first.entries), first.pages, first.is_whole) == (100, 1, False) and first.since > back_to
    whole = reconcile._read_log(row, back_to)
    assert whole and len(whole.entries) == 101 and whole.since < back_to
    sandbox.fault("429", "message-logs", next=1, retry_after=3600)
    assert isinstance(read_log(row, back_to).error, Throttled)
    refused = read_log(row, back_to)
    assert (refused.entries, refused.since, refused.error) == ({}, None, None), "it stays closed for an hour"
    assert reconcile._read_log(row, back_to) is None


def test_a_wait_has_an_end_and_names_the_command_that_waits_longer(
    user: User, box: GatewayAccount, row: WaSenderSession, write: Write, hold: Callable[[], None]
) -> None:
    message = queued(user, row, WRITTEN)
    write(row, WRITTEN)
    hold()
    budget.close(budget.account_key(box.pk), 3600)
    with pytest.raises(ServiceError, match="phonebank resume-after-restore"):
        aftermath.leave_out(actor=None, patience=0.05)
    assert state(message) == "queued"


def test_an_entry_without_a_number_does_not_tell(
    user: User, box: GatewayAccount, row: WaSenderSession, write: Write, hold: Callable[[], None]
) -> None:
    queued(user, row, WRITTEN)
    write(row, WRITTEN)
    token, number = box.token, row.wasender_id
    client_call(box, lambda gateway: gateway.update_session(token, number, log_messages=False))  # at WaSender's page
    hold()
    assert [name for name, _ in aftermath.compare().unread] == ["Front"]
    with pytest.raises(ServiceError, match="Front: its log hides recipients"):
        aftermath.leave_out(actor=None)


def test_one_log_that_cannot_be_read_does_not_undo_the_others(
    user: User, make: Callable[[str], WaSenderSession], sandbox: Sandbox, write: Write, hold: Callable[[], None]
) -> None:
    front, gone = make("Front"), make("Gone")
    message = queued(user, front, WRITTEN)
    write(front, WRITTEN)
    hold()
    WaSenderSession.objects.filter(pk=gone.pk).update(wasender_id=99999)  # removed at the gateway
    with pytest.raises(CommandError, match="--without-logs"):
        command()
    assert state(message) == "queued" and guard.held()
    said = command("--without-logs")
    assert state(message) == "skipped" and not guard.held()
    assert "name them: 1 messages" in said and "Gone: " in said and "Front: " not in said


def test_of_a_log_that_is_too_long_the_newest_pages_count(
    user: User, row: WaSenderSession, write: Write, hold: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aftermath, "PAGES", 1)
    old, new = queued(user, row, WRITTEN), queued(user, row, OTHER)
    write(row, WRITTEN, *["+12125550180"] * 100, OTHER)
    hold()
    with pytest.raises(ServiceError, match="Front: more than 100 messages"):
        aftermath.leave_out(actor=None)
    found = aftermath.leave_out(actor=None, strict=False)
    assert (found.left_out, [name for name, _ in found.unread]) == (1, ["Front"])
    assert (state(old), state(new)) == ("queued", "skipped")


def test_a_campaign_that_still_gets_its_people_in_line_is_named(user: User, hold: Callable[[], None]) -> None:
    Campaign.objects.create(user=user, name="Half", body="Hi", state="dealing")
    hold()
    with pytest.raises(CommandError, match="getting its people in line"):
        command()
    assert "Half: " in command("--without-logs") and not guard.held()


def test_a_message_that_this_database_knows_of_is_no_reason(
    user: User, row: WaSenderSession, sandbox: Sandbox, write: Write, hold: Callable[[], None]
) -> None:
    message = queued(user, row, WRITTEN)
    write(row, WRITTEN)
    [entry] = sandbox.pull("GET", f"/ledger/entries?session={row.wasender_id}")["entries"]
    before = Message.objects.create(user=user, session=row, phone=WRITTEN, state="accepted", kind="transactional")
    now = timezone.now()
    known: dict[str, Any] = {"started_at": now, "lease_until": now, "finished_at": now, "resolved_at": now}
    before.attempts.create(
        session=row, phone=WRITTEN, worker="w", key_version=1, connection_version=1, body_hash=b"",
        outcome="accepted", msg_id=entry["msgId"], **known,
    )  # fmt: skip
    hold()
    found = aftermath.leave_out(actor=None)
    assert found.people == 0 and state(message) == "queued"
