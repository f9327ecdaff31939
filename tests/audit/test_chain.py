"""What was done stays as it was written; who changes it in the database is found out."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit import chain
from phonebank.audit.models import Event, Head, Seal, record
from phonebank.audit.verify import verify
from tests.audit.conftest import by_the_databases_owner, events, sql
from tests.views.conftest import Desk

EVENTS = 40


def sealed(user: User, count: int = EVENTS) -> None:
    events(user, count)
    while chain.seal():
        pass


# --- append-only ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET verb = 'x'",
        "UPDATE audit_event SET actor_id = NULL WHERE false",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "TRUNCATE audit_event, audit_seal CASCADE",
        "UPDATE audit_seal SET position = position + 1000",
        "DELETE FROM audit_seal",
        "TRUNCATE audit_seal",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
    ],
)
def test_the_database_refuses(desk: Desk, statement: str) -> None:
    sealed(desk.user, 3)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(statement)
    assert verify().is_whole


def test_the_orm_is_refused_too(desk: Desk) -> None:
    [event] = events(desk.user, 1)
    event.verb = "x"
    for act in (event.save, event.delete, Event.objects.all().delete, lambda: Event.objects.update(verb="x")):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            act()


def test_erasing_a_person_leaves_a_pseudonym_and_a_whole_chain(desk: Desk, boss: User) -> None:
    sealed(desk.user, 4)
    public_id = desk.user.public_id
    desk.account.delete()
    desk.user.delete()
    assert set(Event.objects.values_list("owner_ref", flat=True)) == {public_id}
    assert verify().is_whole
    assert [one.actor for one in Event.objects.select_related("actor").order_by("id")][1] is None


# --- sealing ----------------------------------------------------------------------------------------------------------


def test_an_untouched_chain_is_whole(desk: Desk) -> None:
    assert verify().is_whole
    events(desk.user, 25)
    assert (verify().sealed, verify().waiting) == (0, 25)
    assert chain.seal(10) == 10 and chain.seal(10) == 10 and chain.seal(10) == 5 and chain.seal(10) == 0
    report = verify()
    assert (report.sealed, report.waiting, report.findings) == (25, 0, [])
    assert report.head.startswith("25:")


def test_what_is_rolled_back_leaves_no_gap(desk: Desk) -> None:
    sealed(desk.user, 3)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        events(desk.user, 2)
        raise ZeroDivisionError
    sealed(desk.user, 3)
    assert (verify().sealed, verify().findings) == (6, [])


@pytest.mark.django_db(transaction=True)
def test_events_that_commit_late_are_sealed_late_and_nobody_waits(desk: Desk) -> None:
    """The first event's transaction is still open while later ones are recorded, committed and sealed."""
    opened, go = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                record(actor=desk.user, verb="session.connect")
                opened.set()
                assert go.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert opened.wait(60)
    events(desk.user, 2)
    assert chain.seal() == 2
    go.set()
    thread.join(60)
    assert chain.seal() == 1
    report = verify()
    assert (report.sealed, report.findings) == (3, [])
    order = Seal.objects.order_by("position").values_list("event_id", flat=True)
    assert list(order) == [*sorted(order)[1:], min(order)]


@pytest.mark.django_db(transaction=True)
def test_many_sealers_make_one_chain(desk: Desk) -> None:
    events(desk.user, 60)

    def work() -> None:
        try:
            while Seal.objects.filter(position=None).exists():
                chain.seal(7)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert (verify().sealed, verify().findings) == (60, [])


# --- tampering --------------------------------------------------------------------------------------------------------


def change(dice: random.Random, ids: list[int]) -> None:
    column, value = dice.choice([
        ("verb", "session.created"), ("at", timezone.now()), ("target_id", "0"), ("label", "?"), ("how", "job"),
        ("address", "192.0.2.1"), ("request_id", "r"), ("data", "{}"), ("changes", '{"a": [1, 2]}'), ("actor_id", 0),
        ("owner_id", 0), ("actor_ref", "12345678-1234-1234-1234-123456789012"), ("target", "Campaign"),
    ])  # fmt: skip
    sql(f"UPDATE audit_event SET {column} = %s WHERE id = %s", value, dice.choice(ids))


def delete(dice: random.Random, ids: list[int]) -> None:
    sql("DELETE FROM audit_event WHERE id = %s", dice.choice(ids))


def delete_without_trace(dice: random.Random, ids: list[int]) -> None:
    """The seal goes too, and what stands behind moves up."""
    one = dice.choice(ids)
    [position] = Seal.objects.filter(event=one).values_list("position", flat=True)
    sql("DELETE FROM audit_event WHERE id = %s", one)
    sql("DELETE FROM audit_seal WHERE event_id = %s", one)
    if dice.random() < 0.5:
        sql("UPDATE audit_seal SET position = -position WHERE position > %s", position)
        sql("UPDATE audit_seal SET position = -position - 1 WHERE position < 0")


def reorder(dice: random.Random, ids: list[int]) -> None:
    one, two = dice.sample(ids, 2)
    if dice.random() < 0.5:  # the seals change places
        a, b = (Seal.objects.get(event=each).position for each in (one, two))
        sql("UPDATE audit_seal SET position = -1 WHERE event_id = %s", one)
        sql("UPDATE audit_seal SET position = %s WHERE event_id = %s", a, two)
        sql("UPDATE audit_seal SET position = %s WHERE event_id = %s", b, one)
    else:  # the events do
        sql("UPDATE audit_event SET id = -1 WHERE id = %s", one)
        sql("UPDATE audit_event SET id = %s WHERE id = %s", one, two)
        sql("UPDATE audit_event SET id = %s WHERE id = -1", two)


def truncate(dice: random.Random, ids: list[int]) -> None:
    """The end is cut off, with what could tell."""
    first = dice.choice(ids)
    position = Seal.objects.get(event=first).position
    sql("DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_seal WHERE position >= %s)", position)
    sql("DELETE FROM audit_seal WHERE position >= %s", position)
    how = dice.random()
    if how < 0.4:
        last = Seal.objects.filter(position=position - 1).first()
        sql("UPDATE audit_head SET count = %s, link = %s", position - 1, bytes(last.link) if last else chain.START)
    elif how < 0.6 and position > 1:
        sql("DELETE FROM audit_head")


def cut_the_beginning(dice: random.Random, ids: list[int]) -> None:
    """As if pruned."""
    position = Seal.objects.get(event=dice.choice(ids[:-1])).position
    link = bytes(Seal.objects.get(position=position).link)
    sql("DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_seal WHERE position <= %s)", position)
    sql("DELETE FROM audit_seal WHERE position <= %s", position)
    sql("UPDATE audit_head SET base_count = %s, base_link = %s", position, link)


def slip_in(dice: random.Random, ids: list[int]) -> None:
    """A copy of an event, with a seal made up or none."""
    copy = "actor_id, owner_id, verb, target, target_id, label, how, request_id, changes, data, at"
    sql(f"INSERT INTO audit_event ({copy}) SELECT {copy} FROM audit_event WHERE id = %s", dice.choice(ids))
    new = Event.objects.latest("id").pk
    if dice.random() < 0.5:
        count = Head.objects.get().count + 1
        sql("INSERT INTO audit_seal (event_id, position, link) VALUES (%s, %s, %s)", new, count, dice.randbytes(32))


def reseal(dice: random.Random, ids: list[int]) -> None:
    """The whole rest of the chain made anew, by the right rules but with another key."""
    first = Seal.objects.get(event=dice.choice(ids)).position
    event = Seal.objects.get(position=first).event_id
    sql("UPDATE audit_event SET verb = 'session.created' WHERE id = %s", event)
    link = bytes(Seal.objects.get(position=first - 1).link) if first > 1 else chain.START
    key, chain._key = chain._key, lambda: b"guessed"
    try:
        for seal in Seal.objects.filter(position__gte=first).order_by("position"):
            values = Event.objects.filter(pk=seal.event_id).values_list(*chain.COLUMNS).get()
            link = chain.link_of(link, seal.position, values)
            sql("UPDATE audit_seal SET link = %s WHERE event_id = %s", link, seal.event_id)
        head = Head.objects.get()
        head.link = link
        head.code = chain.code_of(head)
        head.save()
    finally:
        chain._key = key


TAMPERINGS: list[Callable[[random.Random, list[int]], None]] = [
    change, change, delete, delete_without_trace, reorder, reorder, truncate, truncate, cut_the_beginning, slip_in,
    reseal,
]  # fmt: skip


def test_every_tampering_is_found(desk: Desk, request: pytest.FixtureRequest) -> None:
    rounds = 1000 if request.config.getoption("--thorough") else 100
    sealed(desk.user)
    ids = list(Event.objects.order_by("id").values_list("id", flat=True))
    dice = random.Random(44)
    missed: list[str] = []
    for i in range(rounds):
        point = transaction.savepoint()
        tamper = TAMPERINGS[i % len(TAMPERINGS)]
        with by_the_databases_owner():
            tamper(dice, ids)
        if verify().is_whole:
            missed.append(f"{i}: {tamper.__name__}")
        transaction.savepoint_rollback(point)
        if i % 20 == 0:  # no false alarm
            assert verify().findings == []
    assert missed == []


@pytest.mark.parametrize("tamper", TAMPERINGS[1:], ids=lambda one: one.__name__)
def test_going_on_sealing_covers_nothing_up(desk: Desk, tamper: Callable[[random.Random, list[int]], None]) -> None:
    """The job chains from the head, not from what the table says."""
    sealed(desk.user)
    ids = list(Event.objects.order_by("id").values_list("id", flat=True))
    with by_the_databases_owner():
        tamper(random.Random(5), ids)
    events(desk.user, 3)
    try:
        with transaction.atomic():
            chain.seal()
    except (chain.ChainBroken, DatabaseError):
        pass
    assert not verify().is_whole


def test_one_change_is_one_finding_that_names_it(desk: Desk) -> None:
    sealed(desk.user)
    event = Event.objects.order_by("id")[7]
    with by_the_databases_owner():
        sql("UPDATE audit_event SET label = 'x' WHERE id = %s", event.pk)
    [finding] = verify().findings
    assert finding.startswith(f"Event {event.pk} (position 8, ") and "was changed" in finding


def test_an_unsealed_event_that_vanishes_alone_is_found(desk: Desk) -> None:
    [event] = events(desk.user, 1)
    with by_the_databases_owner():
        sql("DELETE FROM audit_event WHERE id = %s", event.pk)
    assert verify().findings == ["1 event(s) were taken away before they were sealed."]


def test_a_noted_head_finds_an_older_state_brought_back(desk: Desk) -> None:
    sealed(desk.user)
    old = Head.objects.values().get()
    sealed(desk.user, 5)
    noted = verify().head
    assert verify(noted).is_whole
    with by_the_databases_owner():
        sql("DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_seal WHERE position > %s)", old["count"])
        sql("DELETE FROM audit_seal WHERE position > %s", old["count"])
        columns = ("count", "link", "code", "sealed_at")
        sql(f"UPDATE audit_head SET {', '.join(f'{name} = %s' for name in columns)}", *(old[name] for name in columns))
    assert verify().is_whole  # by itself a faithful older copy cannot be told from the truth
    sealed(desk.user, 9)
    assert not verify(noted).is_whole


# --- retention and the command ----------------------------------------------------------------------------------------


def test_pruning_keeps_the_rest_whole(desk: Desk) -> None:
    old = datetime(2026, 1, 1, tzinfo=UTC)
    for day in range(10):
        Event.objects.create(actor=desk.user, owner=desk.user, verb="session.connect", at=old + timedelta(days=day))
    while chain.seal():
        pass
    noted = verify().head
    out = StringIO()
    call_command("audit", "prune", "--before", "2026-01-05", stdout=out)
    assert out.getvalue() == "4 events before 2026-01-05 (UTC) were deleted.\n"
    assert Event.objects.order_by("id").first().at == old + timedelta(days=4)
    chain.seal()
    report = verify(noted)
    assert (report.sealed, report.pruned, report.findings) == (7, 4, [])
    assert Event.objects.latest("id").data == {"before": "2026-01-05", "events": 4}
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():  # the door is closed again
        sql("DELETE FROM audit_event")


def test_a_changed_log_is_not_pruned(desk: Desk) -> None:
    sealed(desk.user, 5)
    with by_the_databases_owner():
        sql("UPDATE audit_event SET label = 'x'")
    with pytest.raises(CommandError, match="tampered"):
        call_command("audit", "prune", "--before", "2027-01-05")
    assert Event.objects.count() == 5


def test_what_was_never_sealed_is_not_pruned(desk: Desk) -> None:
    events(desk.user, 2)
    assert chain.prune(datetime(2100, 1, 1, tzinfo=UTC)) == 0 and Event.objects.count() == 2


def test_under_a_forged_head_nothing_is_pruned(desk: Desk) -> None:
    sealed(desk.user, 2)
    with by_the_databases_owner():
        sql("UPDATE audit_head SET base_count = 1")
    with pytest.raises(chain.ChainBroken, match="not written by this"):
        chain.prune(datetime(2100, 1, 1, tzinfo=UTC))
    assert Event.objects.count() == 2


def test_a_head_that_is_gone_is_not_made_anew(desk: Desk) -> None:
    sealed(desk.user, 2)
    with by_the_databases_owner():
        sql("DELETE FROM audit_head")
    events(desk.user, 1)
    with pytest.raises(chain.ChainBroken, match="is gone"):
        chain.seal()


def test_the_command_says_what_it_found(desk: Desk) -> None:
    events(desk.user, 5)
    out, err = StringIO(), StringIO()
    call_command("audit", "verify", stdout=out)
    assert out.getvalue().startswith("5 events proven.\nHead, to be noted elsewhere: 5:")
    with by_the_databases_owner():
        sql("UPDATE audit_event SET label = 'x' WHERE id = (SELECT min(id) FROM audit_event)")
        sql("DELETE FROM audit_event WHERE id = (SELECT max(id) FROM audit_event)")
    with pytest.raises(CommandError, match="not as it was written"):
        call_command("audit", "verify", stdout=out, stderr=err)
    assert len(err.getvalue().splitlines()) == 2


@pytest.mark.parametrize("noted", ["5", "x:1", f"x1:{'0' * 64}"])
def test_a_head_that_is_none_is_refused(desk: Desk, noted: str) -> None:
    with pytest.raises(CommandError, match="noted head"):
        call_command("audit", "verify", "--noted", noted)
