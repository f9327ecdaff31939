"""A long seeded walk over everything that can happen, with every promise checked after each step."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from phonebank.gateways.base import Accepted, Deferred, MaybeSent, NotSent, Rejected
from phonebank.whatsappapi.dispatch import reconcile, tend
from phonebank.whatsappapi.dispatch.settle import Claim
from phonebank.whatsappapi.dispatch.statuses import Status
from phonebank.whatsappapi.models import Attempt, Campaign, Contact, Message, WaSenderSession
from phonebank.whatsappapi.services import campaigns, optout
from tests.dispatch.bench import Bench

LIMIT = 60


class Walk:
    """The world: what was claimed, what was answered, and dice."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.dice = bench, random.Random(seed)
        self.sessions = [bench.session(daily_limit=LIMIT if i == 0 else None) for i in range(4)]
        self.people = bench.people(25)
        self.open: list[Claim] = []
        self.answered: list[tuple[Claim, Any]] = []
        self.stopped: set[str] = set()
        self.launch()

    # -- steps -------------------------------------------------------------------------------------------------

    def launch(self) -> None:
        if Campaign.objects.count() < 8:
            chosen = self.dice.sample(self.sessions, self.dice.randint(1, 4))
            policy = self.dice.choice(["next", "next", "wait", "next_new"])
            self.bench.campaign(self.people, chosen, policy=policy)

    def tick(self) -> None:
        wants = {one.pk: self.dice.randint(0, 3) for one in self.sessions}
        outcomes = [
            self.answer(self.open.pop(self.dice.randrange(len(self.open)))) for _ in range(min(4, len(self.open)))
        ]
        if self.answered and self.dice.random() < 0.3:
            outcomes += self.dice.sample(self.answered, min(3, len(self.answered)))  # a replay
        claims = self.bench.tick(wants, outcomes).claims
        assert not self.stopped & {one.phone for one in claims}, "written to after they asked to stop"
        self.open += claims
        self.answered += outcomes

    def answer(self, claim: Claim) -> tuple[Claim, Any]:
        return claim, self.dice.choice(
            [
                *[Accepted(next(self.bench.msg_ids))] * 6,
                Accepted(1),  # collides
                Rejected("invalid", "", 422),
                Deferred("late", "", 0.0, None),
                Deferred("rate_limited", "", 0.0, 429),
                Deferred("unreachable", "", 5.0, None),
                NotSent("unauthorized", "", 401),
                NotSent("not_connected", "", 400),
                NotSent("configuration", "", 404),
                MaybeSent("timeout", "", None),
                MaybeSent("timeout", "", None),
            ]
        )

    def vanish(self) -> None:
        """A worker dies: its claims get no answer, or one long after the reaper."""
        self.bench.lapse(*self.dice.sample(self.open, min(2, len(self.open))))
        self.bench.reap()

    def report(self) -> None:
        known = list(Attempt.objects.exclude(msg_id=None).values_list("session_id", "msg_id"))
        updates = [
            Status(session, self.dice.randint(1, 5), msg_id, "", timezone.now())
            for session, msg_id in self.dice.sample(known, min(5, len(known)))
        ]
        lost = Attempt.objects.filter(outcome="unknown", resolved_at=None).select_related("message")[:1]
        updates += [
            Status(one.session_id, 3, next(self.bench.msg_ids), "", timezone.now(), one.phone, "Hi P") for one in lost
        ]
        self.bench.merge(*updates)

    def look_up(self) -> None:
        rows = list(Attempt.objects.filter(outcome="unknown", resolved_at=None)[:5])
        ends = ["accepted", "queued", "queued", "uncertain", "failed"]
        found = []
        for one in rows:
            state = self.dice.choice(ends)
            msg_id = next(self.bench.msg_ids) if state in ("accepted", "failed") else None
            found.append(reconcile.Finding(one.pk, one.message_id, state, "", msg_id))
        reconcile.apply(found)
        if found:
            reconcile.apply(found)  # a second round beside the first

    def redeal(self) -> None:
        tend.tend()

    def link(self) -> None:
        one = self.dice.choice(self.sessions)
        row = WaSenderSession.objects.get(pk=one.pk)
        row.status = self.dice.choice(["connected", "connected", "logged_out"])
        row.connection_version += row.status == "connected"
        row.key_version += row.rejected_key_version == row.key_version
        row.paused_until = None
        row.save()

    def due(self) -> None:
        Message.objects.filter(state="queued").exclude(retry_at=None).update(
            retry_at=timezone.now() - timedelta(seconds=1)
        )

    def pause(self) -> None:
        for one in Campaign.objects.filter(state="running")[:1]:
            campaigns.pause(actor=self.bench.user, campaign=one)

    def resume(self) -> None:
        for one in Campaign.objects.filter(state="paused"):
            campaigns.resume(actor=self.bench.user, campaign=one)

    def cancel(self) -> None:
        for one in Campaign.objects.filter(state__in=["running", "paused"])[:1]:
            campaigns.cancel(actor=self.bench.user, campaign=one)
            campaigns.cancel_rows(one.pk)

    def opt_out(self) -> None:
        if len(self.stopped) < 8:
            phone = self.dice.choice(list(self.people.contacts.values_list("phone", flat=True)))
            optout.opt_out(user=self.bench.user, phone=phone, source="walk")
            self.stopped.add(phone)

    def talk(self) -> None:
        Contact.objects.filter(pk=self.dice.choice(self.people.contacts.all()).pk).update(
            last_session=self.dice.choice(self.sessions)
        )

    def step(self) -> None:
        steps: list[tuple[Callable[[], None], int]] = [
            (self.tick, 30), (self.due, 12), (self.report, 6), (self.link, 8), (self.redeal, 8), (self.vanish, 4),
            (self.look_up, 5), (self.resume, 4), (self.pause, 1), (self.cancel, 1), (self.opt_out, 2), (self.launch, 3),
            (self.talk, 1),
        ]  # fmt: skip
        [(chosen)] = self.dice.choices([one for one, _ in steps], [weight for _, weight in steps])
        chosen()

    # -- the end -----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Everything is well from now on: then everybody reaches an end."""
        WaSenderSession.objects.filter(pk=self.sessions[0].pk).update(daily_limit=None)
        self.resume()
        for one in Campaign.objects.filter(state="cancelled"):
            campaigns.cancel_rows(one.pk)
        Campaign.objects.filter(policy="wait").update(policy="next")
        for _ in range(80):
            for one in self.sessions:
                row = WaSenderSession.objects.get(pk=one.pk)
                row.status, row.paused_until, row.strikes = "connected", None, 0
                row.connection_version += 1
                row.key_version += 1
                row.save()
            self.due()
            tend.tend()
            self.open += self.bench.claim(20)
            self.bench.lapse(*self.open[:1])
            self.bench.reap()
            self.bench.settle(*[(one, Accepted(next(self.bench.msg_ids))) for one in self.open])
            self.open = []
            unknown = Attempt.objects.filter(outcome="unknown", resolved_at=None)
            reconcile.apply([reconcile.Finding(one.pk, one.message_id, "queued", "") for one in unknown])
            for one in Campaign.objects.filter(state="cancelled"):
                campaigns.cancel_rows(one.pk)
            self.bench.check()
            tend.tend()
            if not Campaign.objects.filter(state="running").exists():
                break
        assert set(Campaign.objects.values_list("state", flat=True)) <= {"completed", "cancelled"}
        ends = {"accepted", "failed", "skipped", "cancelled", "uncertain"}
        assert set(Message.objects.values_list("state", flat=True)) <= ends


@pytest.mark.parametrize(("seed", "steps"), [(1, 320), (2, 80), (3, 80)])
def test_every_promise_holds_after_every_step(bench: Bench, seed: int, steps: int) -> None:
    walk = Walk(bench, seed)
    for _ in range(steps):
        walk.step()
        bench.check()
        assert bench.used(walk.sessions[0]) <= LIMIT
    walk.finish()
