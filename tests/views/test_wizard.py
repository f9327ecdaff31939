"""A campaign from its first step to its start, by the pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    Campaign,
    Contact,
    ContactTag,
    GatewayAccount,
    MessageTemplate,
    SessionGroup,
    Suppression,
)
from phonebank.whatsappapi.templatetags.whatsapp import whatsapp
from tests.views.conftest import Desk

START = "/whatsappapi/send-campaign/"


class Wizard:
    """A draft, and somebody who goes through its pages."""

    def __init__(self, desk: Desk, **first: Any) -> None:
        self.desk = desk
        answer = desk.client.post(START, first)
        assert answer.status_code == 302, answer.text
        self.url = answer["Location"].removesuffix("audience/")
        self.draft = Campaign.objects.get(public_id=self.url.split("/")[-2])

    def get(self, step: str) -> Any:
        return self.desk.client.get(f"{self.url}{step}/")

    def post(self, step: str, **fields: Any) -> Any:
        """Saves a step as the page shows it, with some fields changed."""
        self.draft.refresh_from_db()
        base = {"version": self.draft.version, "go": "next", **DEFAULTS.get(step, {})}
        if step == "audience":
            base["name"] = self.draft.name
        if step == "schedule":
            rules = ("quiet_start", "quiet_end", "cap_day", "cap_month")
            base |= {name: "" if (value := getattr(self.draft, name)) is None else value for name in rules}
        return self.desk.client.post(f"{self.url}{step}/", base | fields)

    def fill(self, **senders: Any) -> None:
        """All that a start needs."""
        people = self.desk.user.contact_lists.first()
        assert self.post("audience", lists=[people.public_id])["Location"].endswith("/message/")
        assert self.post("message", body="Hi {{ name|there }}, reply STOP to end this")["Location"].endswith(
            "/senders/"
        )
        chosen = senders or {"wa_sessions": [one.public_id for one in self.desk.user.wa_sessions.all()]}
        assert self.post("senders", **chosen)["Location"].endswith("/schedule/")
        assert self.post("schedule")["Location"].endswith("/review/")
        self.draft.refresh_from_db()

    def start(self, **fields: Any) -> Any:
        self.draft.refresh_from_db()
        return self.desk.client.post(f"{self.url}review/", {"version": self.draft.version} | fields)


DEFAULTS: dict[str, dict[str, Any]] = {
    "senders": {"policy": "next", "is_sticky": "on"},
    "schedule": {"when": "now", "hours": "any"},
}


@pytest.fixture
def wizard(desk: Desk) -> Wizard:
    desk.contact_list(300)
    for _ in range(3):
        desk.session()
    return Wizard(desk)


def test_from_the_first_step_to_the_start(wizard: Wizard) -> None:
    wizard.fill()
    review = wizard.get("review")
    assert "Start - 300 people" in review.text and "Hi P 0, reply STOP" in review.text
    assert [share.total for _, share in review.context["cards"]] == [100] * 3 and review.context["problems"] == []
    assert wizard.draft.state == "draft" and wizard.draft.contact_list
    assert wizard.start()["Location"].endswith(f"/campaigns/{wizard.draft.public_id}/")
    wizard.draft.refresh_from_db()
    assert wizard.draft.state == "dealing"
    verbs = set(Event.objects.filter(target_id=str(wizard.draft.public_id)).values_list("verb", flat=True))
    assert {"campaign.create", "campaign.saved", "campaign.launch"} <= verbs
    # Its steps lead to the run by now, and what a forgotten tab posts changes nothing.
    assert wizard.get("message")["Location"].endswith(f"/campaigns/{wizard.draft.public_id}/")
    late = wizard.post("message", body="Late")
    assert late.status_code == 409 and "nothing was changed" in late.text and "Late" in late.text
    wizard.draft.refresh_from_db()
    assert wizard.draft.body.startswith("Hi")


def test_leaving_and_coming_back_keeps_everything(wizard: Wizard, desk: Desk) -> None:
    wizard.post("audience", name="Spring", go="review")
    there = wizard.post("message", body="Half a thou", go="schedule")
    assert there["Location"].endswith("/schedule/")
    assert "Half a thou" in wizard.get("message").text
    listed = desk.client.get(START)
    assert "Spring" in listed.text and f"{wizard.url}review/" in listed.text
    blocked = wizard.get("review")
    assert "Nobody is chosen yet" in blocked.text and "Choose at least one session" in blocked.text
    assert wizard.start().status_code == 409
    assert desk.client.get(f"/whatsappapi/campaigns/{wizard.draft.public_id}/")["Location"] == f"{wizard.url}review/"
    assert wizard.post("message", body="Half a thou", go="back")["Location"].endswith("/audience/")
    assert desk.client.post(f"{wizard.url}delete/").status_code == 302
    assert not Campaign.objects.exists()
    assert Event.objects.filter(verb="campaign.discarded").exists()


def test_mistakes_stay_in_the_form(wizard: Wizard) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("message", {"body": "x" * 4097}, "4096"),
        ("message", {"body": "x", "media_kind": "image", "media_link": "ftp://nowhere"}, "https"),
        ("senders", {"pace": 0}, "greater than or equal to 1"),
        ("schedule", {"when": "later"}, "Say when it starts"),
        ("schedule", {"when": "later", "at": "2020-01-01T10:00"}, "This time has passed"),
        ("schedule", {"when": "later", "at": "2099-01-02T10:00", "expires_at": "2099-01-01T10:00"}, "end before it"),
        ("schedule", {"quiet_start": "21:00"}, "a beginning and an end"),
        ("schedule", {"hours": "some", "day-0": "on", "from-0": "18:00", "to-0": "09:00"}, "must end after"),
        ("schedule", {"hours": "some"}, "at least one day"),
        ("audience", {"filter-field": "city", "filter-test": "is", "filter-value": ""}, "Say what city has to be"),
    ]
    for step, fields, words in cases:
        answer = wizard.post(step, go="review", **fields)
        assert (answer.status_code, words in answer.text) == (422, True), (step, fields, answer.status_code)
        assert f"{wizard.url}review/" in answer.text, "one may leave without saving"
    assert Campaign.objects.get().version == 0


def test_next_waits_until_the_step_has_what_it_needs(wizard: Wizard) -> None:
    for step in ("audience", "message", "senders"):
        answer = wizard.post(step)
        assert answer.status_code == 422 and "Saved. " in answer.text, step


def test_times_are_the_owners(wizard: Wizard) -> None:
    wizard.fill()
    days = {"day-0": "on", "from-0": "09:30", "to-0": "00:00"}
    wizard.post("schedule", when="later", at="2099-06-01T10:31", hours="some", **days, cap_day=2, cap_month=9)
    wizard.draft.refresh_from_db()
    assert wizard.draft.scheduled_at.isoformat() == "2099-06-01T08:31:00+00:00"  # Madrid in summer
    assert wizard.draft.windows == [[570, 1440], *[None] * 6]
    page = wizard.get("schedule")
    assert 'value="2099-06-01T10:31"' in page.text and "Europe/Madrid" in page.text
    assert [day["is_on"] for day in page.context["form"].days] == [True, *[False] * 6]
    assert "Schedule for " in wizard.get("review").text
    wizard.start()
    wizard.draft.refresh_from_db()
    assert wizard.draft.state == "scheduled"


def test_who_is_counted(wizard: Wizard, desk: Desk) -> None:
    people = list(desk.user.contacts.order_by("pk"))
    tag = ContactTag.objects.create(user=desk.user, name="vip")
    tag.contacts.set(people[:10])
    Contact.objects.filter(pk__in=[one.pk for one in people[:8]]).update(attributes={"city": "Boston"})
    Contact.objects.filter(pk=people[0].pk).update(consent="unknown")
    Contact.objects.filter(pk=people[1].pk).update(lid="7@lid")
    Suppression.objects.create(user=desk.user, lid="7@lid")
    Suppression.objects.create(user=desk.user, phone=people[2].phone, reason="review")
    staff = desk.contact_list(0, "Staff")
    staff.contacts.set(people[6:9])
    chosen = {
        "tags": ["vip"], "without": [staff.public_id], "filter-field": ["city"], "filter-test": ["is"],
        "filter-value": ["BOSTON"], "name": "Sale",
    }  # fmt: skip
    partial = desk.client.post(f"{wizard.url}count/", chosen)
    counted = partial.context["count"]
    assert (counted.people, counted.sendable) == (6, 3)
    assert counted.skipped == {"unknown": 1, "stopped": 1, "review": 1}
    assert partial.text.lstrip().startswith('<div id="count"')
    assert "no consent on record" in partial.text
    assert Campaign.objects.get().version == 0, "counting saves nothing"
    wizard.post("audience", **chosen)
    wizard.draft.refresh_from_db()
    assert wizard.draft.audience.keys() == {"tags", "without", "filters"}
    assert "P 0" in wizard.get("review").text, "the first of those left out are named"
    assert wizard.get("audience").context["count"].sendable == 3


def test_groups_bring_their_members_of_now(wizard: Wizard, desk: Desk) -> None:
    first, second, third = desk.user.wa_sessions.order_by("pk")
    group = SessionGroup.objects.create(user=desk.user, name="Team")
    group.sessions.set([second, third, desk.session("Unscanned", "need_scan")])
    answer = wizard.post(
        "senders", wa_sessions=[first.public_id, second.public_id], groups=[group.public_id],
        **{f"order-{first.public_id}": 2, f"order-{second.public_id}": 1},
    )  # fmt: skip
    assert answer.status_code == 302
    lanes = list(wizard.draft.lanes.order_by("position").values_list("session", flat=True))
    assert lanes == [second.pk, first.pk, third.pk]
    assert "Unscanned is not linked to a phone" in wizard.get("schedule").text
    data = Event.objects.filter(verb="campaign.saved").latest("id").data
    assert data["groups"] == [str(group.public_id)] and len(data["sessions"]) == 3
    group.sessions.clear()
    assert wizard.draft.lanes.count() == 3


def test_the_default_session_is_chosen_already(desk: Desk) -> None:
    desk.session()
    default = desk.session(is_default=True)
    draft = Wizard(desk).draft
    assert list(draft.lanes.values_list("session", flat=True)) == [default.pk]


@pytest.mark.parametrize(
    ("status", "fields", "words"),
    [
        ("need_scan", {}, "not linked"),
        ("logged_out", {}, "not linked"),
        ("connected", {"is_surplus": True}, "more than the plan"),
        ("disconnected", {"wasender_id": None}, "still being created"),
    ],
)
def test_a_session_that_may_not_send_is_refused_and_noted(
    status: str, fields: dict[str, Any], words: str, wizard: Wizard, desk: Desk
) -> None:
    row = desk.session("Odd", status, **fields)
    answer = wizard.post("senders", wa_sessions=[row.public_id])
    assert answer.status_code == 422 and words in answer.text
    assert not wizard.draft.lanes.exists()
    event = Event.objects.get(verb="campaign.refused")
    assert event.actor == desk.user and "Odd" in event.data["why"]


def test_what_is_somebody_elses_is_not_there_and_noted(wizard: Wizard, desk: Desk, other: Desk) -> None:
    theirs, their_list, mine = other.session(), other.contact_list(2), desk.user.wa_sessions.first()
    group = SessionGroup.objects.create(user=other.user, name="Theirs")
    gone = desk.session(deleted_at=timezone.now())
    ContactTag.objects.create(user=other.user, name="theirs")
    text = MessageTemplate.objects.create(user=other.user, name="Theirs", body="Secret")
    before = Campaign.objects.values().get()
    posts: list[tuple[str, dict[str, Any]]] = [
        ("senders", {"wa_sessions": [mine.public_id, theirs.public_id]}),
        ("senders", {"wa_sessions": [gone.public_id]}),
        ("senders", {"wa_sessions": ["nonsense"]}),
        ("senders", {"groups": [group.public_id]}),
        ("audience", {"lists": [their_list.public_id]}),
        ("audience", {"without": [their_list.public_id]}),
        ("audience", {"tags": ["theirs"]}),
    ]
    for step, fields in posts:
        assert wizard.post(step, **fields).status_code == 404, fields
    assert Event.objects.filter(verb="campaign.refused", actor=desk.user).count() == len(posts)
    assert wizard.post("message", go="template", template=text.public_id).status_code == 404
    assert Campaign.objects.values().get() == before and not wizard.draft.lanes.exists()
    # And the draft is nobody else's.
    for step in ("audience", "message", "senders", "schedule", "review"):
        assert other.client.get(f"{wizard.url}{step}/").status_code == 404
        assert other.client.post(f"{wizard.url}{step}/", {"version": 0}).status_code == 404
    for path in ("delete/", "count/"):
        assert other.client.post(f"{wizard.url}{path}").status_code == 404
    assert other.client.post(START, {"list": desk.user.contact_lists.get().public_id}).status_code == 404
    assert Campaign.objects.count() == 1


def test_a_session_no_event_of_which_came_in_stops_the_start(wizard: Wizard, desk: Desk) -> None:
    real = GatewayAccount.objects.create(user=desk.user, name="Real", base_url="http://127.0.0.1:9/api", token="t")
    desk.user.wa_sessions.update(account=real)
    wizard.fill()
    assert (wizard.draft.quiet_start.hour, wizard.draft.cap_day, wizard.draft.cap_month) == (21, 1, 4)
    page = wizard.get("review")
    assert "Replies and STOP cannot reach us" in page.text and page.context["is_blocked"]
    assert wizard.start().status_code == 409
    desk.user.wa_sessions.update(webhook_proven_at=timezone.now())
    assert not wizard.get("review").context["is_blocked"]
    wizard.post("schedule", cap_day=5, quiet_start="", quiet_end="")
    spared = [one.words for one in wizard.get("review").context["problems"] if one.severity == "warn"]
    assert len(spared) == 2 and "no quiet hours" in spared[0]


def test_gaps_in_the_text_are_named_before_the_start(wizard: Wizard, desk: Desk) -> None:
    wizard.fill()
    some = desk.user.contacts.order_by("pk")[:290]
    Contact.objects.filter(pk__in=some).update(attributes={"city": "Boston"})
    wizard.post("message", body="{{ city }} {{ name|you }} {{ city|town }}: STOP ends it")
    [problem] = wizard.get("review").context["problems"]
    assert problem.words.startswith("10 people have no city") and problem.severity == "warn"


def test_a_template_takes_the_place_of_the_text_but_not_of_what_was_saved(wizard: Wizard, desk: Desk) -> None:
    text = MessageTemplate.objects.create(user=desk.user, name="Thanks", body="Thank you, {{ name }}")
    page = wizard.post("message", body="Mine", go="template", template=text.public_id)
    assert page.status_code == 200 and "Thank you, {{ name }}</textarea>" in page.text
    assert "Your text before" in page.text and "Mine" in page.text
    assert Campaign.objects.get().body == ""


def test_media_is_kept_with_the_draft(wizard: Wizard) -> None:
    wizard.post("message", body="Look", media_kind="document", media_link="https://files.example.com/menu.pdf")
    wizard.draft.refresh_from_db()
    assert (wizard.draft.media_kind, wizard.draft.media_name) == ("document", "menu.pdf")
    assert "menu.pdf" in wizard.get("message").text
    text = SimpleUploadedFile("a.txt", b"Price list", "text/plain")
    wizard.post("message", body="Look", media_kind="document", media_file=text)
    wizard.draft.refresh_from_db()
    assert wizard.draft.media_url.startswith("file:")
    wizard.post("message", body="Look", media_kind="")
    wizard.draft.refresh_from_db()
    assert wizard.draft.media_url == ""


def test_a_test_message_goes_to_ones_own_phone(wizard: Wizard, desk: Desk) -> None:
    row = desk.user.wa_sessions.first()
    type(row).objects.filter(pk=row.pk).update(linked_number="+12125550177")
    people = desk.user.contact_lists.get()
    wizard.post("audience", lists=[people.public_id])
    person = people.contacts.first()
    answer = wizard.post("message", body="Hi {{ name }}", go="test", to="+12125550177", as_contact=person.public_id)
    assert answer["Location"].endswith("/message/")
    sent = desk.user._meta.apps.get_model("whatsappapi", "Message").objects.get(kind="test")
    assert (sent.phone, sent.body) == ("+12125550177", f"Hi {person.name}")
    page = desk.client.post(
        f"{wizard.url}message/", {"version": 2, "body": "Hi", "go": "test", "to": "+12125550199"}, follow=True
    )
    assert "your own linked sessions only" in page.text


def test_what_a_step_asks_of_the_database_does_not_grow(wizard: Wizard, desk: Desk) -> None:
    def queries() -> list[int]:
        found = []
        for step in ("audience", "message", "senders", "schedule", "review"):
            with CaptureQueriesContext(connection) as asked:
                assert wizard.get(step).status_code == 200
            found.append(len(asked))
        return found

    wizard.fill()
    SessionGroup.objects.create(user=desk.user, name="G").sessions.set(desk.user.wa_sessions.all())
    ContactTag.objects.create(user=desk.user, name="t").contacts.set(desk.user.contacts.all()[:9])
    wizard.post("audience", lists=[desk.user.contact_lists.get().public_id], tags=["t"])
    before = queries()
    for n in range(5):
        desk.contact_list(20, f"More {n}")
        group = SessionGroup.objects.create(user=desk.user, name=f"G {n}")
        group.sessions.set([desk.session() for _ in range(4)])
        ContactTag.objects.create(user=desk.user, name=f"t{n}").contacts.set(desk.user.contacts.all()[:9])
    everything = {
        "lists": [one.public_id for one in desk.user.contact_lists.all()],
        "tags": list(desk.user.contact_tags.values_list("name", flat=True)),
    }
    wizard.post("audience", **everything)
    wizard.post("senders", wa_sessions=[one.public_id for one in desk.user.wa_sessions.all()])
    assert queries() == before


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* _italic_ ~gone~", "<strong>bold</strong> <em>italic</em> <s>gone</s>"),
        ("*_both_*", "<strong><em>both</em></strong>"),
        ("```a *b* c```", "<code>a *b* c</code>"),
        ("3*4*5 snake_case_name * no * _ no _", "3*4*5 snake_case_name * no * _ no _"),
        ("<b>*x*</b>", "&lt;b&gt;<strong>x</strong>&lt;/b&gt;"),
        ("*two\nlines*", "*two\nlines*"),
    ],
)
def test_marks_look_as_on_the_phone(text: str, shown: str) -> None:
    assert whatsapp(text) == shown


def test_an_old_draft_of_one_list_is_shown_with_it(desk: Desk) -> None:
    old = desk.campaign(3, state="draft")
    assert not old.audience
    page = desk.client.get(f"{START}{old.public_id}/audience/")
    assert page.context["count"].sendable == 3
    assert page.context["chosen_lists"] == [str(old.contact_list.public_id)]


def test_a_start_that_is_missed_while_one_looks(wizard: Wizard) -> None:
    wizard.fill()
    Campaign.objects.update(scheduled_at=timezone.now() - timedelta(minutes=1))
    page = wizard.get("review")
    assert page.context["is_blocked"] and "has passed" in page.text
