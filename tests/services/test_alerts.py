"""From what went wrong to one message a channel: noticing, folding, rules, sending."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.management.stage import free_port
from phonebank.whatsappapi.models import (
    Alert,
    AlertRule,
    Campaign,
    CampaignCount,
    Channel,
    Delivery,
    GatewayAccount,
    Incident,
    PhoneLink,
    Reconnection,
    SessionDoubt,
    SessionEvent,
    SessionGroup,
    WaSenderSession,
)
from phonebank.whatsappapi.services import alerts, channels, deliveries, incidents, links, telling
from phonebank.whatsappapi.services.errors import ServiceError
from tests.services.conftest import make_session

pytestmark = pytest.mark.django_db(transaction=True)


class Hook:
    """A web server of one page that takes POSTs: `answers` are its next HTTP statuses, then 204."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.port = free_port()  # nobody takes it while this is closed
        self.open()
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def open(self) -> None:
        """At the same port as before."""
        self._socket = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer, peer.makefile("rb") as stream:
                stream.readline()
                headers = {}
                while line := stream.readline().strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0)))
                self.taken.append((headers, body))
                status = self.answers.pop(0) if self.answers else 204
                peer.sendall(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept
        self._socket.close()


class Mailbox:
    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.answers: list[str] = []  # its next ones, then 250
        self.unknown: set[str] = set()  # addresses it has no mailbox for

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address in self.unknown:
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def hook(settings: Any) -> Iterator[Hook]:
    settings.ALERT_ALLOW_PRIVATE = True
    made = Hook()
    yield made
    made.close()


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), ready_timeout=60)
    controller.start()
    settings.EMAIL_URL = "smtp://"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = controller.hostname, controller.port
    yield box
    controller.stop()


def crowd(account: GatewayAccount, n: int, status: str = "connected", **fields: Any) -> list[WaSenderSession]:
    """`n` sessions that were connected before."""
    values = {"status": status, "last_active_at": timezone.now()} | fields
    return WaSenderSession.objects.bulk_create(
        WaSenderSession(
            user=account.user, account=account, wasender_id=1000 + i, session_name=f"Till {i}",
            phone_number=f"+121255501{i:02d}", **values,
        )
        for i in range(n)
    )  # fmt: skip


def look() -> None:
    alerts.notice_links()
    alerts.notice_the_rest()
    incidents.fold()


def told(now: Any = None) -> list[Delivery]:
    telling.tell(now or timezone.now() + timedelta(minutes=2))
    Delivery.objects.filter(state="waiting").update(due_at=timezone.now())
    deliveries.deliver()
    return list(Delivery.objects.order_by("pk"))


def kinds() -> set[str]:
    return set(Alert.objects.filter(closed_at=None).values_list("key", flat=True))


# --- one cause, one incident ------------------------------------------------------------------------------------------


def test_forty_that_drop_are_one_incident_and_one_mail(account: GatewayAccount, mailbox: Mailbox) -> None:
    rows = crowd(account, 40)
    look()
    assert not Incident.objects.exists()
    WaSenderSession.objects.filter(pk__in=[one.pk for one in rows[:25]]).update(status="disconnected")
    look()
    WaSenderSession.objects.update(status="disconnected")
    look()
    incident = Incident.objects.get()
    assert (incident.kind, incident.size, incidents.unseen(account.user)) == ("lost", 40, 1)
    [story] = incidents.in_words([incident])
    assert story.title == "40 sessions lost their link"
    telling.tell()
    assert not Delivery.objects.exists()  # it must last a minute
    told()
    told()
    [letter] = mailbox.letters
    assert letter["Subject"] == "40 sessions lost their link" and letter["To"] == "alice@example.org"
    text = letter.get_content()
    assert "Till 0 (+12 … 00)" in text and "and 30 more" in text and "+1212555" not in text

    WaSenderSession.objects.update(status="connected")
    look()
    told()
    told()
    incident.refresh_from_db()
    assert incident.closed_at and incidents.unseen(account.user) == 0
    assert [one["Subject"] for one in mailbox.letters[1:]] == ["Over: 40 sessions lost their link"]


def test_causes_are_apart_by_kind_account_and_time(account: GatewayAccount, user: User, stranger: User) -> None:
    other = GatewayAccount.objects.create(user=user, name="Two", base_url="http://127.0.0.1:9/api", token="2|x")
    theirs = GatewayAccount.objects.create(user=stranger, name="3", base_url="http://127.0.0.1:9/api", token="3|x")
    crowd(account, 2, "disconnected")
    crowd(theirs, 2, "disconnected")
    make_session(account, "a" * 64, "b" * 32, status="logged_out", last_active_at=timezone.now())
    make_session(other, "c" * 64, "d" * 32, status="expired", last_active_at=timezone.now())
    look()
    assert sorted(Incident.objects.values_list("user", "account", "kind", "size")) == sorted(
        [(user.pk, account.pk, "lost", 2), (stranger.pk, theirs.pk, "lost", 2), (user.pk, account.pk, "scan", 1),
         (user.pk, other.pk, "scan", 1)]
    )  # fmt: skip
    Incident.objects.update(last_at=timezone.now() - timedelta(seconds=61))
    make_session(account, "e" * 64, "f" * 32, status="disconnected", last_active_at=timezone.now())
    look()
    assert Incident.objects.filter(user=user, account=account, kind="lost").count() == 2


def test_who_was_disconnected_on_purpose_raises_nothing(account: GatewayAccount, user: User) -> None:
    meant, fresh, begun = (
        make_session(account, c * 64, c * 32, status=status, last_active_at=active)
        for c, status, active in (("a", "disconnected", timezone.now()), ("b", "need_scan", None),
                                  ("c", "need_scan", timezone.now()))
    )  # fmt: skip
    Reconnection.objects.create(session=meant, ended_by_person_at=timezone.now())
    SessionEvent.objects.create(session=begun, at=begun.status_since, status="need_scan", source="page", actor=user)
    look()
    assert kinds() == set() and fresh.pk
    WaSenderSession.objects.filter(pk=begun.pk).update(status_since=timezone.now() - timedelta(minutes=11))
    SessionEvent.objects.update(at=WaSenderSession.objects.get(pk=begun.pk).status_since)
    look()
    assert kinds() == {f"scan:{begun.pk}"}


def test_a_lost_link_that_needs_a_scan_is_another_matter(account: GatewayAccount, mailbox: Mailbox) -> None:
    [one] = crowd(account, 1, "disconnected")
    look()
    told()
    WaSenderSession.objects.update(status="need_scan")
    look()
    told()
    assert kinds() == {f"scan:{one.pk}"}
    subjects = {letter["Subject"].strip() for letter in mailbox.letters}
    assert subjects == {
        "“Till 0” lost its link",
        "“Till 0” needs a scan",
        "Still not connected: “Till 0” lost its link",
    }


def test_when_some_are_back_and_some_need_a_scan_both_are_said(account: GatewayAccount, mailbox: Mailbox) -> None:
    rows = crowd(account, 5, "disconnected")
    look()
    told()
    WaSenderSession.objects.update(status="connected")
    WaSenderSession.objects.filter(pk__in=[one.pk for one in rows[3:]]).update(status="need_scan")
    look()
    told()
    assert "Back: 3 of 5; still down: 2" in [one["Subject"] for one in mailbox.letters]


def test_limits_doubts_and_campaigns(account: GatewayAccount, user: User) -> None:
    one = make_session(
        account, "a" * 64, "b" * 32, daily_limit=5, messages_sent_today=5, usage_date=timezone.now().date()
    )
    doubtful = make_session(account, "c" * 64, "d" * 32)
    SessionDoubt.objects.create(session=doubtful, kind="acks", reason="Late.", weighed_at=timezone.now())
    campaign = Campaign.objects.create(user=user, name="Sale", body="Hi", state="paused")
    CampaignCount.objects.create(campaign=campaign, session=one, state="uncertain", n=3)
    Alert.objects.create(user=user, key=f"brake:{campaign.pk}", text="“Sale” is paused.")
    Alert.objects.create(user=user, session=one, key=f"slowed:{one.pk}", text="Too fast")  # as the engine writes it
    look()
    wanted = {f"limit:{one.pk}", f"acks:{doubtful.pk}", f"uncertain:{campaign.pk}", f"brake:{campaign.pk}"}
    assert kinds() == wanted | {f"slowed:{one.pk}"}
    assert set(Incident.objects.values_list("kind", flat=True)) == {"limit", "acks", "uncertain", "brake", "slowed"}
    SessionDoubt.objects.update(kind="")
    Campaign.objects.update(state="running")
    CampaignCount.objects.update(n=0)
    WaSenderSession.objects.update(daily_limit=None)
    look()
    assert kinds() == {f"slowed:{one.pk}"}
    assert Incident.objects.open().get().kind == "slowed"


def test_acknowledging(account: GatewayAccount, user: User, stranger: User, mailbox: Mailbox) -> None:
    [one] = crowd(account, 1, "disconnected")
    Alert.objects.create(user=user, session=one, key=f"webhook:{one.pk}", text="A webhook could not be used.")
    look()
    lost, other = Incident.objects.get(kind="lost"), Incident.objects.get(kind="other")
    with pytest.raises(ServiceError) as error:
        incidents.acknowledge(actor=stranger, incident=lost)
    assert error.value.code == "not_found"
    assert incidents.acknowledge_all(actor=user) == 2 and incidents.unseen(user) == 0
    assert told() == [] and mailbox.letters == []  # whoever has seen it needs no mail
    lost.refresh_from_db()
    other.refresh_from_db()
    assert lost.closed_at is None and other.closed_at  # of the other, nobody but a person sees that it is over
    assert Event.objects.filter(verb="incident.acknowledged", actor=user).count() == 2


# --- rules ------------------------------------------------------------------------------------------------------------


def test_rules_of_a_session_and_of_a_group(account: GatewayAccount, user: User, hook: Hook) -> None:
    one, two, three = crowd(account, 3, "disconnected")
    group = SessionGroup.objects.create(user=user, name="Shop")
    group.sessions.set([two])
    channels.settings_of(user)
    AlertRule.objects.update(is_active=False)
    pager, log = (channels.add(actor=user, kind="webhook", name=name, address=hook.url) for name in ("Pager", "Log"))
    channels.save_rule(actor=user, rule=None, name="A", kinds=["lost"], channels=[pager], session=one, delay=0)
    channels.save_rule(actor=user, rule=None, name="B", kinds=["scan"], channels=[pager], group=group, delay=0)
    channels.save_rule(actor=user, rule=None, name="C", kinds=["lost", "scan"], channels=[log], group=group, delay=0)
    look()
    assert {(row.channel.name, row.event) for row in told()} == {("Pager", "opened"), ("Log", "opened")}
    Delivery.objects.all().delete()
    WaSenderSession.objects.filter(pk=three.pk).update(status="logged_out")
    look()
    assert {row.channel.name for row in told() if row.event == "opened" and row.incident.kind == "scan"} == set()


def test_quiet_hours_cool_down_and_the_most_an_hour(account: GatewayAccount, user: User, mailbox: Mailbox) -> None:
    user.time_zone = "Asia/Tokyo"
    user.save()
    night = timezone.now().replace(hour=15, minute=30)  # half past midnight in Tokyo
    channels.change_settings(actor=user, quiet_from=22, quiet_until=7)
    crowd(account, 1, "disconnected")
    look()
    Incident.objects.update(opened_at=night - timedelta(minutes=5))
    telling.tell(night)
    waiting = Delivery.objects.get()
    assert waiting.state == "waiting" and waiting.due_at.hour == 22  # 07:00 there
    WaSenderSession.objects.update(status="connected")
    look()
    Incident.objects.update(closed_at=night)
    telling.tell(night + timedelta(minutes=1))
    waiting.refresh_from_db()
    assert (waiting.state, waiting.outcome) == ("held", telling.GONE_BY)
    channels.change_settings(actor=user, quiet_from=None, quiet_until=None)
    for _ in range(3):  # a link that flaps
        WaSenderSession.objects.update(status="disconnected")
        Incident.objects.update(last_at=timezone.now() - timedelta(minutes=2))
        look()
        told()
        WaSenderSession.objects.update(status="connected")
        look()
        told()
    assert [one["Subject"][:8] for one in mailbox.letters] == ["“Till 0”", "Over: “T"]
    held = Delivery.objects.filter(state="held", event="opened").exclude(pk=waiting.pk)
    assert {one.outcome for one in held} == {"The like was told less than 15 minutes ago."} and held.count() == 2


# --- sending ----------------------------------------------------------------------------------------------------------


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver does it, from the scheme's own description."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.split("_", 1)[1])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")


def test_a_signed_webhook_is_repeated_until_taken_once(account: GatewayAccount, user: User, hook: Hook) -> None:
    channel = channels.add(actor=user, kind="webhook", name="Ours", address=hook.url)
    channels.save_rule(actor=user, rule=None, name="R", kinds=["lost"], channels=[channel], delay=0)
    hook.answers = [500, 503, 500, 302]
    crowd(account, 2, "disconnected")
    look()
    telling.tell()
    mine = Delivery.objects.filter(channel=channel)
    for n in range(1, 6):
        assert deliveries.deliver() == 1
        row = mine.get()
        assert (row.state, row.tries) == ("waiting" if n < 5 else "sent", n), row.outcome
        assert deliveries.deliver() == 0  # not before its time
        mine.filter(state="waiting").update(due_at=timezone.now())
    assert mine.get().outcome == "Taken (HTTP 204)." and len(hook.taken) == 5
    assert len({headers["webhook-id"] for headers, _ in hook.taken}) == 1
    for headers, body in hook.taken:
        assert verify(channel.secret, headers, body) and not verify(channel.secret, headers, body + b" ")
    said = json.loads(hook.taken[-1][1])
    assert said["type"] == "incident.opened" and said["data"]["size"] == 2
    assert [one["name"] for one in said["data"]["sessions"]] == ["Till 0", "Till 1"] and "+1212" not in str(said)
    # Three tries in vain were worth an alert; with the first message taken it is over.
    assert Alert.objects.get(key=f"hook:{channel.pk}").closed_at
    channels.replay(actor=user, delivery=mine.get())
    deliveries.deliver()
    assert hook.taken[5][0]["webhook-id"] == hook.taken[4][0]["webhook-id"]


def test_a_webhook_that_is_gone_is_switched_off(account: GatewayAccount, user: User, hook: Hook) -> None:
    channel = channels.add(actor=user, kind="webhook", name="Ours", address=hook.url)
    channels.save_rule(actor=user, rule=None, name="R", kinds=["lost"], channels=[channel], delay=0)
    hook.answers = [410]
    crowd(account, 1, "disconnected")
    look()
    told()
    channel.refresh_from_db()
    assert not channel.is_active and Delivery.objects.get(channel=channel).state == "failed"


def test_a_dead_worker_s_message_is_sent_by_the_next(account: GatewayAccount, user: User, mailbox: Mailbox) -> None:
    channels.settings_of(user)
    channels.test(actor=user, channel=Channel.objects.get())
    [claimed] = deliveries._claim(8)
    assert deliveries.deliver() == 0
    Delivery.objects.filter(pk=claimed.pk).update(due_at=timezone.now())
    assert deliveries.deliver() == 1 and [one["Subject"] for one in mailbox.letters] == ["Phonebank: a test"]


def test_mail_that_cannot_be_sent_says_why(user: User, settings: Any) -> None:
    channels.settings_of(user)
    for url, why in (("", "No mail server is set up (EMAIL_URL)."), ("smtp://x", "The mail server did not take it")):
        settings.EMAIL_URL = url
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
        channels.test(actor=user, channel=Channel.objects.get())
        deliveries.deliver()
        assert Delivery.objects.first().outcome.startswith(why)


def test_mail_to_an_address_that_the_server_does_not_know_is_not_tried_again(
    account: GatewayAccount, user: User, mailbox: Mailbox
) -> None:
    mailbox.unknown = {user.email}
    crowd(account, 1, "disconnected")
    look()
    for _ in range(2):
        [row] = told()
        assert (row.state, row.tries) == ("failed", 1)
        assert row.outcome == "The mail server does not take mail for this address."
    assert mailbox.letters == []


def test_a_channel_that_is_switched_off_meanwhile_gets_nothing_more(
    account: GatewayAccount, user: User, hook: Hook, mailbox: Mailbox
) -> None:
    ours = channels.add(actor=user, kind="webhook", name="Ours", address=hook.url)
    channels.save_rule(actor=user, rule=None, name="R", kinds=["lost"], channels=[ours], delay=0)
    crowd(account, 1, "disconnected")
    look()
    telling.tell()
    row = Delivery.objects.get(channel=ours, state="waiting")
    channels.switch(actor=user, channel=ours, is_active=False)
    deliveries.deliver()
    row.refresh_from_db()
    assert (row.state, row.tries, row.outcome) == ("failed", 1, "The channel is switched off.") and hook.taken == []

    # Its owner reads so elsewhere, as a thing of no session.
    look()
    told()
    [letter] = [one for one in mailbox.letters if "Ours" in one["Subject"]]
    assert "\n- “Ours” does not take messages. The channel is switched off." in letter.get_content()


def test_what_breaks_while_sending_harms_no_other_message_and_is_tried_again(
    account: GatewayAccount, user: User, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    broken, good = (channels.add(actor=user, kind="webhook", name=name, address=hook.url) for name in ("B", "G"))
    channels.save_rule(actor=user, rule=None, name="R", kinds=["lost"], channels=[broken, good], delay=0)
    secret = broken.secret
    broken.secret = "whsec_x"  # cannot be read: nothing can be signed with it
    broken.save()
    crowd(account, 1, "disconnected")
    look()
    telling.tell()
    begun = timezone.now()
    assert deliveries.deliver() == 2
    row = Delivery.objects.get(channel=broken)
    assert (row.state, row.tries, row.outcome) == ("waiting", 1, "Something went wrong here (Error).")
    assert row.due_at > begun and Delivery.objects.get(channel=good).state == "sent" and len(hook.taken) == 1
    [said] = [one for one in caplog.records if one.getMessage() == "a message could not be sent"]
    assert said.exc_info
    broken.secret = secret
    broken.save()
    told()
    row.refresh_from_db()
    assert row.state == "sent" and len(hook.taken) == 2


def test_servers_that_are_down_get_it_once_when_they_are_back(
    account: GatewayAccount, user: User, hook: Hook, mailbox: Mailbox, settings: Any
) -> None:
    mail = channels.settings_of(user) and Channel.objects.get()
    ours = channels.add(actor=user, kind="webhook", name="Ours", address=hook.url)
    channels.save_rule(actor=user, rule=AlertRule.objects.get(), name="R", kinds=["lost"], channels=[mail, ours])
    crowd(account, 1, "disconnected")
    look()
    port, mailbox.answers = settings.EMAIL_PORT, ["451 4.3.0 Later", "554 5.0.0 Never"]
    settings.EMAIL_PORT = free_port()  # refused, both of them
    hook.close()
    for tries in range(1, 4):
        assert {(one.state, one.tries) for one in told()} == {("waiting", tries)}
        settings.EMAIL_PORT = port
    assert mailbox.letters == [] and hook.taken == []
    hook.open()
    for _ in range(2):
        assert {(one.state, one.tries) for one in told()} == {("sent", 4)}
    assert len(mailbox.letters) == len(hook.taken) == 1


def test_ntfy_at_a_listed_host(user: User, hook: Hook, settings: Any) -> None:
    """apprise's own HTTP, against a real local server."""
    with pytest.raises(ServiceError, match="ALERT_HOSTS"):
        channels.add(actor=user, kind="chat", name="", address=f"ntfy://127.0.0.1:{hook.port}/alerts")
    settings.ALERT_HOSTS = [f"127.0.0.1:{hook.port}"]
    channel = channels.add(actor=user, kind="chat", name="", address=f"ntfy://127.0.0.1:{hook.port}/alerts")
    assert channel.name == "ntfy at 127.0.0.1"
    hook.answers = [200]
    channels.test(actor=user, channel=channel)
    deliveries.deliver()
    row = Delivery.objects.get()
    assert row.state == "sent" and b"Phonebank: a test" in hook.taken[0][1]
    settings.ALERT_ALLOW_PRIVATE = False  # listed or not: never into a private network
    channels.test(actor=user, channel=channel)
    deliveries.deliver()
    assert len(hook.taken) == 1 and Delivery.objects.first().state == "failed"


GOOD = {
    "Telegram": "tgram://123456789:abcdefg_hijklmnop/12315544/",
    "Slack": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "Discord": "https://discord.com/api/webhooks/12345678901234/abcdefghijklmnopqrstuvwxyz0123456789",
    "Teams": "workflows://prod-01.westus.logic.azure.com:443/643e69f83c8943438d6fa119a0a10472/KrZ3w",
    "Teams ": "https://prod-01.westus.logic.azure.com:443/workflows/643e69f83c8943438d6fa119a0a10472/triggers/manual"
    "/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KrZ3wWJl0Jl",
    "Pushover": f"pover://{'u' * 30}@{'a' * 30}",
    "ntfy at ntfy.sh": "ntfys://my-topic",
}
BAD = [
    "json://127.0.0.1/", "xml://localhost", "form://169.254.169.254", "mailto://a:b@example.org", "syslog://",
    "exec://ls", "ntfys://127.0.0.1/t", "ntfys://ntfy.example.org/t", "workflows://127.0.0.1:443/a/b",
    "workflows://logic.azure.com.evil.example/a/b", "workflows://prod-01.westus.logic.azure.com:8443/a/b",
    "ntfys://my-topic?attach=file:///etc/passwd", "https://example.org/", "file:///etc/passwd", "", "slack://",
    f"{GOOD['Slack']}?template=/etc/passwd", "windows://", "dbus://", "apprise://127.0.0.1/token", "matrix://127.0.0.1",
]  # fmt: skip


def test_services_that_are_known(user: User) -> None:
    for name, address in GOOD.items():
        row = channels.add(actor=user, kind="chat", name="", address=address)
        assert row.hint == name.strip()
    for address in BAD:
        with pytest.raises(ServiceError):
            channels.add(actor=user, kind="chat", name="", address=address)
    for address in ("https://127.0.0.1/", "http://hooks.example.org/", "https://hooks.internal/"):
        with pytest.raises(ServiceError):
            channels.add(actor=user, kind="webhook", name="", address=address)
    stored = Channel.objects.raw("SELECT id, address AS hint FROM whatsappapi_channel")
    assert not any("hooks.slack" in str(one.__dict__["hint"]) for one in stored)
    assert not Event.objects.filter(data__icontains="T1JJ3T3L2").exists()


def test_a_scan_s_mail_carries_the_link(account: GatewayAccount, mailbox: Mailbox, user: User) -> None:
    [one] = crowd(account, 1, "logged_out")
    look()
    told()
    text = mailbox.letters[0].get_content()
    [line] = [line for line in text.splitlines() if "/link/" in line]
    token = line.rsplit("/link/", 1)[1].strip("/ \n")
    row = PhoneLink.objects.get()
    assert row.session_id == one.pk and row.digest == hashlib.sha256(token.encode()).hexdigest() and len(token) >= 43


def test_who_was_scanned_meanwhile_or_has_a_revoked_link_gets_none(
    account: GatewayAccount, mailbox: Mailbox, user: User
) -> None:
    scanned, waiting = crowd(account, 2, "logged_out")
    look()
    WaSenderSession.objects.filter(pk=scanned.pk).update(status="connected")  # nobody has looked yet
    [row] = told()
    [line] = [line for line in mailbox.letters[0].get_content().splitlines() if "/link/" in line]
    assert waiting.session_name in line and PhoneLink.objects.get().session == waiting

    links.revoke(actor=user, wa_session=waiting)
    channels.replay(actor=user, delivery=row)
    deliveries.deliver()
    again = mailbox.letters[1].get_content()
    assert waiting.session_name in again and "/link/" not in again and "A link works" not in again


def test_without_a_mail_server_only_the_bell_rings(account: GatewayAccount, user: User) -> None:
    crowd(account, 1, "disconnected")
    look()
    [row] = told()
    assert (row.state, row.outcome) == ("held", "No mail server is set up (EMAIL_URL).")
    look()
    assert incidents.unseen(user) == 1 and not Alert.objects.filter(key__startswith="hook:").exists()
