"""A working day in short: campaigns that never run out, and everything else that people do meanwhile (`drill soak`)."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Sum
from django.urls import reverse

from phonebank.accounts.models import User
from phonebank.whatsappapi.management.desk import Desk, Listener
from phonebank.whatsappapi.management.verdict import Deeds
from phonebank.whatsappapi.management.world import World
from phonebank.whatsappapi.models import Campaign, CampaignCount, ContactList, Delivery, WaSenderSession
from phonebank.whatsappapi.services import channels

LISTS, PEOPLE = 3, 2000
SESSIONS = 10
PACE = 120  # messages a minute and session
LOW = 1000  # people waiting at most when the next campaign begins
PAUSE = 2.0  # seconds
DROP = 1.0  # seconds that a link is down
ROWS = 400  # of an import
# Seconds between two of a kind. Each happens several times within a warm-up of a minute.
EVERY = {
    "page": 0.5, "ask": 1.0, "reply": 1.0, "refill": 2.0, "single": 5.0, "opt_out": 6.0, "stop": 7.0, "hook": 10.0,
    "pause": 15.0, "drop": 20.0, "bring": 20.0,
}  # fmt: skip
ANSWERS = ("Thanks, see you on Saturday!", "Is there parking?", "👍", "Who is this?", "Gracias, ahí estaré")


@dataclass(slots=True)
class Day:
    """What is due is done by `turn`, one after the other. Over the wire, but for the levers of the gateway."""

    world: World
    deeds: Deeds
    user: User = field(init=False)
    linked: list[WaSenderSession] = field(init=False)
    lists: list[tuple[ContactList, list[str]]] = field(init=False)
    desk: Desk = field(init=False)
    listener: Listener = field(default_factory=Listener)
    campaigns: list[Campaign] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    due: list[tuple[float, int, bool, Callable[[], object]]] = field(default_factory=list)
    turns: Iterator[int] = field(default_factory=itertools.count)
    pages: Iterator[int] = field(default_factory=itertools.count)
    calls: Iterator[int] = field(default_factory=itertools.count)

    # -- before it -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Sessions, people, somebody logged in, a channel; and the first of everything within some seconds."""
        self.user = self.world.owner()
        # At noon of the owner: the counts of a day are compared with the whole ledger at the end.
        User.objects.filter(pk=self.user.pk).update(time_zone=_noon())
        self.user.refresh_from_db()
        self.linked = self.world.link(self.user, SESSIONS, limit=100_000, rate=PACE)
        self.lists = [self.world.people(self.user, PEOPLE, f"Customers {i}", first=i * PEOPLE) for i in range(LISTS)]
        self.desk = Desk(self.world.web_port, self.user)
        self.desk.page(reverse("whatsappapi:import_contacts"))  # its form brings the cookie that posts need
        channels.add(actor=self.user, kind="webhook", name="Our own program", address=self.listener.url)
        self.refill()
        for i, (name, seconds) in enumerate(EVERY.items()):
            self._again(getattr(self, name), name, seconds, i * 0.7)

    def _again(self, act: Callable[[], object], name: str, seconds: float, first: float) -> None:
        def doing() -> None:
            act()
            self.done[name] += 1
            self.after(seconds, doing, is_owed=False)

        self.after(first, doing, is_owed=False)

    def after(self, seconds: float, act: Callable[[], object], *, is_owed: bool = True) -> None:
        """`is_owed`: it is done even when the day ends meanwhile."""
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.turns), is_owed, act))

    def turn(self) -> None:
        """Does what has become due; returns at the latest after the acts of a moment."""
        for _ in range(len(self.due)):
            if self.due[0][0] > time.monotonic():
                return
            heapq.heappop(self.due)[3]()

    def end(self) -> None:
        """No more of it. What waits is sent without a pace."""
        self.due = sorted(one for one in self.due if one[2])
        while self.due:
            self.turn()
            time.sleep(0.05)
        account = self.linked[0].account
        account.rate_per_minute = 0
        account.save()

    # -- campaigns -------------------------------------------------------------------------------------------------

    def refill(self) -> None:
        """Another campaign before the last ones run out."""
        waiting = CampaignCount.objects.filter(state="queued").aggregate(n=Sum("n"))["n"] or 0
        if waiting > LOW or any(one.state in ("scheduled", "dealing") for one in self._fresh()[-1:]):
            return
        n = len(self.campaigns)
        people, phones = self.lists[n % LISTS]
        sessions = [str(one.public_id) for one in self.linked]
        made = self.desk.api(
            "POST", "campaigns/",
            {"name": f"Week {n}", "body": f"Hi {{{{ name }}}}, Week {n}", "contact_list": str(people.public_id),
             "sessions": sessions},
        )  # fmt: skip
        self.desk.api("POST", f"campaigns/{made['id']}/launch/")
        self.campaigns.append(Campaign.objects.get(public_id=made["id"]))
        self.deeds.people[self.campaigns[-1].pk] = len(phones)
        self.deeds.audited.update({"campaign.create": 1, "campaign.launch": 1})

    def _fresh(self) -> list[Campaign]:
        for one in self.campaigns[-1:]:
            one.refresh_from_db()
        return self.campaigns

    def pause(self) -> None:
        """The latest campaign stands still for two seconds."""
        one = self._fresh()[-1]
        if one.state != Campaign.State.RUNNING:
            return
        self.desk.api("POST", f"campaigns/{one.public_id}/pause/")
        paused = time.time()

        def resume() -> None:
            before = time.time()
            self.desk.api("POST", f"campaigns/{one.public_id}/resume/")
            self.deeds.pauses.append((one.pk, paused, before))
            self.deeds.audited.update({"campaign.pause": 1, "campaign.resume": 1})

        self.after(PAUSE, resume)

    # -- people ----------------------------------------------------------------------------------------------------

    def _some(self, name: str) -> tuple[list[str], int]:
        n = self.done[name]
        return self.lists[n % LISTS][1], n // LISTS

    def opt_out(self) -> None:
        """Somebody is taken off by hand."""
        phones, n = self._some("opt_out")
        self.desk.api("POST", "suppressions/", {"phone": phones[n % 500]})
        self.deeds.opt_outs.setdefault(phones[n % 500], time.time())

    def stop(self) -> None:
        """Somebody answers STOP."""
        phones, n = self._some("stop")
        self._write(phones[500 + n % 500], "STOP", n)

    def reply(self) -> None:
        phones, n = self._some("reply")
        self._write(phones[1000 + n % 500], ANSWERS[n % len(ANSWERS)], n)

    def _write(self, phone: str, text: str, n: int) -> None:
        path = f"/sandbox/sessions/{self.linked[n % SESSIONS].wasender_id}/inbound"
        self.world.sandbox.call("POST", path, {"from": phone.lstrip("+"), "text": text})

    def single(self) -> None:
        """A program sends one message."""
        phones, n = self._some("single")
        body = f"Your order {self.done['single']} is ready."
        self.desk.api("POST", "messages/", {"phone": phones[1500 + n % 500], "body": body})

    def bring(self) -> None:
        """A file of new people, over the pages."""
        n = self.done["bring"]
        first = 2_100_000 + n * ROWS
        lines = ["name,phone,agreed"] + [f"Guest {i},+1201{first + i},Form at the counter" for i in range(ROWS)]
        file = SimpleUploadedFile(f"fair-{n}.csv", "\n".join(lines).encode(), "text/csv")
        place = self.desk.post(reverse("whatsappapi:import_contacts"), {"list_name": f"Fair {n}", "file": file})
        self.desk.page(place)
        chosen = {"name": "0", "phone": "1", "consent": "2", "list_name": f"Fair {n}", "action": "import"}
        self.desk.post(place, chosen)
        self.after(3.0, lambda: self.desk.page(place))

    # -- links and hooks -------------------------------------------------------------------------------------------

    def drop(self) -> None:
        """A phone loses its link for a moment."""
        path = f"/sandbox/sessions/{self.linked[self.done['drop'] % SESSIONS].wasender_id}"
        self.world.sandbox.call("POST", f"{path}/drop", {})

        self.after(DROP, lambda: self.world.sandbox.call("POST", f"{path}/restore", {}))

    def hook(self) -> None:
        """Our own webhook goes out: first as a test, then the same again, for tests are few an hour."""
        channel = self.user.channels.get(kind="webhook")
        last = Delivery.objects.filter(channel=channel).order_by("-pk").first()
        if last is None:
            channels.test(actor=self.user, channel=channel)
        elif last.state not in (Delivery.State.WAITING, Delivery.State.SENDING):
            channels.replay(actor=self.user, delivery=last)

    # -- pages and calls -------------------------------------------------------------------------------------------

    def page(self) -> None:
        pages = self._pages()
        self.desk.page(pages[next(self.pages) % len(pages)])

    def ask(self) -> None:
        calls = self._calls()
        self.desk.api("GET", calls[next(self.calls) % len(calls)])

    def _pages(self) -> list[str]:
        """What a person looks at; of campaigns the latest and, to its end, the first."""
        latest, first, one = self.campaigns[-1].public_id, self.campaigns[0].public_id, self.linked[0].public_id
        own = [
            ("dashboard",), ("sessions",), ("session", one), ("session_history", one), ("create_session",),
            ("send_campaign",), ("campaigns",), ("campaign", latest), ("campaign", first), ("contacts",), ("people",),
            ("import_contacts",), ("suppressions",), ("replies",), ("analytics",), ("alerts",), ("alert_log",),
            ("groups",), ("message_templates",), ("gateway",), ("export_recipients", first, "csv"),
            ("export_recipients", first, "xlsx"), ("export_analytics", "days", "xlsx"),
        ]  # fmt: skip
        found = [reverse(f"whatsappapi:{name}", args=args) for name, *args in own]
        return [*found, f"{found[7]}?state=accepted", f"{found[7]}?q=19", reverse("audit:log"), "/healthz", "/readyz"]

    def _calls(self) -> list[str]:
        latest = f"campaigns/{self.campaigns[-1].public_id}/"
        names = ["sessions", "campaigns", "contacts", "lists", "suppressions", "messages", "replies", "conversations"]
        names += ["incidents", "deliveries", "analytics/days", "analytics/sessions"]
        one = f"sessions/{self.linked[0].public_id}/"
        return [*(f"{name}/" for name in names), one, latest, f"{latest}progress/", f"{latest}recipients/"]


def _noon() -> str:
    """A time zone where it is between noon and one o'clock."""
    ahead = 12 - time.gmtime().tm_hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "UTC"
