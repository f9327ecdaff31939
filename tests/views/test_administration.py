"""The administrators' pages: who sees them, what they show and never show, and what they do."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from pytest_django import Settings

from phonebank.accounts.api_tokens import create_token, find_token
from phonebank.accounts.models import OneTimeLink, Plan, Subscription, User
from phonebank.accounts.services import find_link, make_link
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import Alert, Announcement, Approval, Campaign, Installation, OwnerDay
from phonebank.whatsappapi.services import administration, settings_report, subscriptions
from phonebank.whatsappapi.services.errors import ServiceError
from tests.services.conftest import wait_for
from tests.views.conftest import Desk

pytestmark = pytest.mark.django_db
HOME = "/whatsappapi/administration/"


@pytest.fixture
def boss(desk: Desk) -> Desk:
    """The desk's user as the only administrator."""
    User.objects.filter(pk=desk.user.pk).update(is_superuser=True, is_staff=True)
    desk.user.refresh_from_db()
    return desk


def page(desk: Desk, user: User, verb: str = "") -> str:
    return f"{HOME}users/{user.public_id}/{verb}"


def verbs() -> list[str]:
    return list(Event.objects.order_by("id").values_list("verb", flat=True))


# --- who may --------------------------------------------------------------------------------------------------------


def routes() -> Iterator[str]:
    """Every address of ours that is for administrators, from the URL conf."""

    def walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, URLPattern]]:
        for one in resolver.url_patterns:
            if isinstance(one, URLResolver):
                yield from walk(one, prefix + str(one.pattern))
            else:
                yield prefix + str(one.pattern), one

    for path, _ in walk(get_resolver(), "/"):
        if path.startswith((HOME, "/whatsappapi/status/")):
            yield path


def test_every_route_is_for_administrators_only(boss: Desk, other: Desk) -> None:
    approval = waiting(other)
    said = Announcement.objects.create(text="Read me", starts_at=timezone.now())
    ids = {"users": other.user.public_id, "approvals": approval.public_id, "announcements": said.public_id,
           "check": other.campaign(1).public_id}  # fmt: skip
    found = list(routes())
    assert len(found) >= 22
    before = snapshot()
    for route in found:
        place = route.split("/")[3]
        path = route.replace("<uuid:public_id>", str(ids.get(place, uuid.uuid4()))).replace("<slug:slug>", "basic")
        for method in ("get", "post"):
            assert getattr(other.client, method)(path).status_code in (404, 405), path
            assert getattr(Client(), method)(path).status_code in (302, 405), path
    assert snapshot() == before
    for route in found:
        place = route.split("/")[3]
        path = route.replace("<uuid:public_id>", str(ids.get(place, ""))).replace("<slug:slug>", "basic")
        assert boss.client.get(path).status_code in (200, 404, 405), path
        if "<uuid" in route:
            strange = route.replace("<uuid:public_id>", str(uuid.uuid4()))
            assert boss.client.get(strange).status_code in (404, 405), strange
    opened = [path for path in found if "<" not in path and boss.client.get(path).status_code == 200]
    assert len(opened) >= 7


def snapshot() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values())
        for model in (Plan, Subscription, Announcement, Approval, Installation, OneTimeLink)
    ] + [list(User.objects.order_by("pk").values("email", "is_active", "is_superuser"))]


def test_nobody_can_be_impersonated(boss: Desk, other: Desk, settings: Settings) -> None:
    """With mail there is no link that an administrator could use; without it the person is told of it."""
    settings.EMAIL_URL = ""
    made = boss.client.post(page(boss, other.user, "link/"))
    assert made.status_code == 200 and "shown again" in made.text
    told = Alert.objects.get(user=other.user, key__startswith="loginlink")
    assert "ask them why" in told.text
    settings.EMAIL_URL = "smtp://mail.example"
    assert boss.client.post(page(boss, other.user, "link/")).status_code == 302
    assert OneTimeLink.objects.filter(user=other.user).count() == 1
    assert boss.client.get("/admin/").status_code == 404


def test_figures_without_texts_or_numbers(boss: Desk, other: Desk) -> None:
    secret = other.campaign(3, name="Secret sale")
    Campaign.objects.filter(pk=secret.pk).update(body="Very private words")
    today = timezone.localdate()
    OwnerDay.objects.create(user=other.user, date=today, sent=1200, delivered=1100, failed=80, opted_out=40)
    OwnerDay.objects.create(user=other.user, date=today - timedelta(days=90), sent=7)
    OwnerDay.objects.create(user=boss.user, date=today, sent=987_654)
    own = boss.client.get(page(boss, other.user)).text
    assert "987,654" not in own
    shown = boss.client.get(HOME).text + own
    assert "1,200" in shown and "6.3" in shown.replace("6.25", "6.3") and "3.3" in shown
    assert "7 sent" not in shown
    for hidden in ("Very private", "Secret sale", "+1646", "+1212"):
        assert hidden not in shown
    assert boss.client.get(page(boss, other.user)).text.count("<title>") == 31  # a bar a day, and the page's own


def test_thousands_of_people_ask_as_much_as_five(boss: Desk, make_desk: Callable[[str], Desk]) -> None:
    def asked(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert boss.client.get(path).status_code == 200
        return len(queries)

    paths = [HOME, f"{HOME}?q=crowd", f"{HOME}?look=ending&plan=free", f"{HOME}plans/"]
    crowd(5, "small")
    before = [asked(path) for path in paths]
    crowd(2000, "large")
    assert [asked(path) for path in paths] == before
    found = boss.client.get(f"{HOME}?q=LARGE-crowd-17&look=").context
    assert found["page"].paginator.count == 111
    assert boss.client.get(f"{HOME}?q=nobody-at-all").context["rows"] == []


def crowd(n: int, tag: str) -> None:
    rows = User.objects.bulk_create(User(email=f"{tag}-crowd-{i}@example.org", name=f"N {i}") for i in range(n))
    plan = Plan.objects.get(slug="free")
    Subscription.objects.bulk_create(Subscription(user=one, plan=plan) for one in rows)
    OwnerDay.objects.bulk_create(OwnerDay(user=one, date=timezone.localdate(), sent=3) for one in rows)


# --- the last administrator -----------------------------------------------------------------------------------------


def test_the_last_administrator_stays(boss: Desk) -> None:
    for verb, to in (("switch/", "off"), ("rights/", "ordinary")):
        answer = boss.client.post(page(boss, boss.user, verb), {"to": to}, follow=True)
        assert "last administrator" in answer.text
    boss.user.refresh_from_db()
    assert boss.user.is_active and boss.user.is_superuser
    for change in ({"is_active": False}, {"is_superuser": False}):
        with pytest.raises(IntegrityError, match="last administrator"), transaction.atomic():
            User.objects.filter(pk=boss.user.pk).update(**change)
    with pytest.raises(IntegrityError, match="last administrator"), transaction.atomic():
        User.objects.filter(pk=boss.user.pk).delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by_service", [True, False])
def test_sixteen_at_once_leave_one(make_desk: Callable[[str], Desk], by_service: bool) -> None:
    rows = [User.objects.create_superuser(f"boss{i}@example.org") for i in range(16)]
    ready, refused = threading.Barrier(16), []

    def resign(user: User) -> None:
        try:
            ready.wait(30)
            if by_service:
                administration.set_administrator(actor=user, user=user, is_one=False)
            else:
                User.objects.filter(pk=user.pk).update(is_active=False)
        except (ServiceError, IntegrityError) as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=resign, args=[one]) for one in rows]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert User.objects.filter(is_superuser=True, is_active=True).count() == 1
    assert len(refused) == 1


@pytest.mark.django_db(transaction=True)
def test_who_goes_second_waits_and_is_refused(plans: None) -> None:
    """The trigger alone: without its lock both would see the other one still there."""
    first, second = (User.objects.create_superuser(f"boss{i}@example.org") for i in range(2))
    answer: list[str] = []

    def resign() -> None:
        try:
            User.objects.filter(pk=second.pk).update(is_active=False)
            answer.append("gone")
        except IntegrityError as error:
            answer.append(str(error))
        finally:
            connection.close()

    other = threading.Thread(target=resign)
    with transaction.atomic():
        User.objects.filter(pk=first.pk).update(is_active=False)
        other.start()
        wait_for(lambda: answer or is_waiting(), 30)
    other.join(30)
    assert "last administrator" in answer[0]


def is_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
        return bool(cursor.fetchone()[0])


# --- what they do ---------------------------------------------------------------------------------------------------


def test_switching_off_ends_everything(boss: Desk, other: Desk) -> None:
    running, draft = other.campaign(2, name="A"), other.campaign(1, state="draft", name="B")
    later = other.campaign(1, state="scheduled", name="C")
    _, text = create_token(actor=other.user, name="Shop", scope="write", days=None)
    link = make_link(purpose=OneTimeLink.Purpose.LOGIN, user=other.user)
    assert other.client.get("/whatsappapi/").status_code == 200
    boss.client.post(page(boss, other.user, "switch/"), {"to": "off"})
    assert other.client.get("/whatsappapi/").status_code == 302
    assert find_token(text) is None and find_link(link) is None
    for one, state in ((running, "paused"), (draft, "draft"), (later, "paused")):
        one.refresh_from_db()
        assert one.state == state
    assert "switched off by an administrator" in Campaign.objects.get(pk=running.pk).pause_reason
    boss.client.post(page(boss, other.user, "switch/"), {"to": "on"})
    assert other.client.get("/whatsappapi/").status_code == 302, "an old login must not come back to life"
    assert find_token(text) is None and find_link(link) is None
    assert Campaign.objects.get(pk=running.pk).state == "paused"
    assert [one for one in verbs() if one.startswith("user.")] == ["user.switched_off", "user.switched_on"]


def test_a_plan_with_its_end(boss: Desk, other: Desk) -> None:
    for _ in range(3):
        other.session()
    free, until = Plan.objects.get(slug="free"), timezone.localdate() + timedelta(days=5)
    past = {"plan": free.pk, "expires_at": "2020-01-01"}
    assert boss.client.post(page(boss, other.user, "plan/"), past).status_code == 422
    pro = Plan.objects.get(slug="pro")
    boss.client.post(page(boss, other.user, "plan/"), {"plan": pro.pk, "expires_at": until.isoformat()})
    assert "plan ends on" in other.client.get("/whatsappapi/").text
    assert subscriptions.warn() == 1 and subscriptions.warn() == 0
    before = Alert.objects.get(user=other.user, key__startswith="planends")
    assert "2 of your sessions then rest; nothing is deleted" in before.text
    assert subscriptions.expire() == 0
    Subscription.objects.filter(user=other.user).update(expires_at=timezone.now())
    assert subscriptions.expire() == 1 and subscriptions.expire() == 0
    own = Subscription.objects.get(user=other.user)
    assert (own.plan.slug, own.expires_at) == ("free", None)
    assert sorted(other.user.wa_sessions.values_list("is_surplus", flat=True)) == [False, True, True]
    assert Alert.objects.get(pk=before.pk).closed_at
    after = Alert.objects.get(user=other.user, key=f"plan:{other.user.pk}")
    assert "Your Pro plan is over" in after.text and "2 sessions rest" in after.text
    assert [one for one in verbs() if "plan" in one] == ["user.plan_changed", "user.plan_ended"]


def test_a_smaller_plan_deletes_nothing(boss: Desk, other: Desk) -> None:
    kept = [other.session().pk for _ in range(3)]
    boss.client.post(page(boss, other.user, "plan/"), {"plan": Plan.objects.get(slug="free").pk, "expires_at": ""})
    assert list(other.user.wa_sessions.order_by("pk").values_list("pk", flat=True)) == kept
    assert other.user.wa_sessions.filter(is_surplus=True).count() == 2
    assert "2 sessions rest" in Alert.objects.get(user=other.user).text
    boss.client.post(page(boss, other.user, "plan/"), {"plan": Plan.objects.get(slug="basic").pk, "expires_at": ""})
    assert not other.user.wa_sessions.filter(is_surplus=True).exists()


def test_a_plans_change_is_shown_before_it_is_made(boss: Desk, other: Desk) -> None:
    for _ in range(3):
        other.session()
    url = f"{HOME}plans/enterprise/"
    less = {"name": "Enterprise", "max_sessions": 1, "daily_limit": 500, "position": 3}
    asked = boss.client.post(url, less).text
    assert "Nothing is saved yet" in asked and "1 of them has more sessions" in asked and "2 sessions will not" in asked
    assert Plan.objects.get(slug="enterprise").max_sessions == 10
    assert boss.client.post(url, less | {"sure": "1"}).status_code == 302
    assert Plan.objects.get(slug="enterprise").daily_limit == 500
    assert other.user.wa_sessions.filter(is_surplus=True).count() == 2
    new = {"name": "Tiny", "slug": "tiny", "max_sessions": 1, "daily_limit": "", "position": 9}
    boss.client.post(f"{HOME}plans/add/", new)
    assert boss.client.post(f"{HOME}plans/add/", new).status_code == 422
    for slug, is_left in (("tiny", False), ("free", True), ("enterprise", True)):
        boss.client.post(f"{HOME}plans/{slug}/delete/")
        assert Plan.objects.filter(slug=slug).exists() == is_left, slug
    assert [one for one in verbs() if one.startswith("plan.")] == ["plan.changed", "plan.created", "plan.deleted"]


def test_another_address(boss: Desk, other: Desk) -> None:
    url = page(boss, other.user, "address/")
    assert boss.client.post(url, {"email": "nonsense"}).status_code == 422
    boss.client.post(url, {"email": boss.user.email.upper()})
    other.user.refresh_from_db()
    assert other.user.email == "charlie@example.org"
    boss.client.post(url, {"email": "New@example.org"})
    other.user.refresh_from_db()
    assert other.user.email == "new@example.org"
    assert "new@example" not in json.dumps(list(Event.objects.values("label", "data", "changes")))


def test_an_invitation_and_a_mail(boss: Desk, other: Desk, settings: Settings, mailoutbox: list[Any]) -> None:
    made = boss.client.post(f"{HOME}invite/", {"email": "ben@example.org"})
    link = re.search(r'value="(http[^"]+/accounts/link/[^"]+)"', made.text)
    assert link and link[1] not in boss.client.get(HOME).text
    assert "Waiting for: ben@example.org" in boss.client.get(HOME).text
    url = page(boss, other.user, "mail/")
    settings.EMAIL_URL = ""
    assert boss.client.post(url, {"what": "reset"}).status_code == 404
    settings.EMAIL_URL = "smtp://mail.example"
    boss.client.post(url, {"what": "reset"})
    assert [mail.to for mail in mailoutbox] == [[other.user.email]]
    other.user.emailaddress_set.update_or_create(email=other.user.email, defaults={"verified": False})
    assert "verification again" in boss.client.get(page(boss, other.user)).text
    boss.client.post(url, {"what": "verify"})
    assert "confirm-email" in mailoutbox[-1].body


# --- announcements and settings -------------------------------------------------------------------------------------


def test_announcements(boss: Desk, other: Desk) -> None:
    url, now = f"{HOME}announcements/", timezone.localtime()
    assert boss.client.post(url, {"text": "x", "level": "loud"}).status_code == 422
    wrong = {"text": "Over", "level": "info", "ends_at": "2020-01-01T10:00"}
    assert boss.client.post(url, wrong).status_code == 422
    boss.client.post(url, {"text": "Maintenance <b>tonight</b>", "level": "warning"})
    boss.client.post(url, {"text": "Not yet", "level": "info", "starts_at": f"{now.year + 1}-01-01T10:00"})
    home = other.client.get("/whatsappapi/").text
    assert "Maintenance &lt;b&gt;tonight" in home and "Not yet" not in home
    said = Announcement.objects.get(level="warning")
    other.client.post(reverse("whatsappapi:announcement_dismiss", args=[said.public_id]))
    other.client.post(reverse("whatsappapi:announcement_dismiss", args=[said.public_id]))
    assert "Maintenance" not in other.client.get("/whatsappapi/").text
    assert "Maintenance" in boss.client.get("/whatsappapi/").text
    boss.client.post(f"{url}{said.public_id}/take-back/")
    assert "Maintenance" not in boss.client.get("/whatsappapi/").text


def test_settings_tell_no_secret(boss: Desk, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    for name in settings_report.SECRET:
        monkeypatch.setenv(name, f"canary-{name.lower()}-value")
    settings.METRICS_TOKEN = "canary-metrics"
    settings.WASENDER_URL = "https://me:canary-in-url@gateway.example/api"
    shown = boss.client.get(f"{HOME}settings/").text
    assert "canary" not in shown and "SECRET_KEY" in shown and "from the environment" in shown
    assert settings.SECRET_KEY not in shown
    boss.client.post(f"{HOME}settings/", {"above": "500"})
    assert Installation.objects.get().approval_above == 500
    boss.client.post(f"{HOME}settings/", {"above": ""})
    assert Installation.objects.get().approval_above is None


def test_the_page_has_every_setting_of_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.M)) - {"XDG_DATA_HOME"}
    shown = {one.name for _, rows in settings_report.report() for one in rows}
    assert shown == documented


def test_who_stopped_everything(boss: Desk) -> None:
    Installation.objects.update_or_create(pk=1, defaults={"is_stopped": False})
    boss.client.post("/whatsappapi/status/stop/", {"typed": "STOP", "reason": "A leak"})
    shown = boss.client.get(f"{HOME}settings/").text
    assert "A leak" in shown and f"by {boss.user.name}" in shown


def waiting(desk: Desk) -> Approval:
    campaign = desk.campaign(2, state="paused", name="Waits")
    now = timezone.now()
    return Approval.objects.create(campaign=campaign, user=desk.user, version=0, people=2, asked_at=now)
