"""No page shows English to somebody who reads another language.

Every sentence that the catalogues know is put between marks; what stands on a page outside of marks is untranslated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.models import (
    Alert,
    Campaign,
    ConsentRecord,
    Contact,
    Conversation,
    InboundMessage,
    Incident,
    MessageTemplate,
    SessionGroup,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services.brakes import WHY_LOST
from phonebank.whatsappapi.services.contacts import MERGED, NUMBER_CHANGED
from phonebank.whatsappapi.services.inbound import MESSAGE_TO
from phonebank.whatsappapi.services.reviews import READ_BY
from tests.i18n.catalogues import read
from tests.views.conftest import Desk

NAME = "Ωμέγα"  # what people have written themselves is in no language that is looked for
# Names of our own and of others, units, and what is no language.
ALLOWED = {
    "Phonebank", "WaSender", "WhatsApp", "API", "CSV", "XLSX", "STOP", "START", "PUBLIC_URL", "HTTP", "JSON",
    "URL", "QR", "UTC", "MB", "LID", "OpenAPI", "Enterprise", "Free", "Pro", "Basic", "Europe", "Madrid", "ntfy", 
    "DELETE", "CONFIRM", "localhost", "testserver", "https",
}  # fmt: skip
# Values of settings, as they stand in the environment.
VALUES = {"/whatsappapi/administration/settings/": {"free", "invite", "line"}}
ADDRESS = re.compile(r"\S+@\S+|https?://\S+|/[\w/-]+|\{\{.*?\}\}|\+?[\d\s().-]{6,}")
WORD = re.compile(r"[A-Za-z_]{2,}")
PLACE = re.compile(r"(%\(\w+\)[sd]|%[sd]|\{\w*\})")
SILENT = {"script", "style", "code", "kbd", "pre"}
LISTS = {"language", "locale", "time_zone", "country"}  # languages by their own names; places
SHOWN = {
    "title", "aria-label", "placeholder", "alt", "data-label", "aria-description", "aria-roledescription", "label",
    "aria-valuetext", "hx-confirm",
}  # fmt: skip


class Texts(HTMLParser):
    """What a reader sees, in order, and what they hear or are shown besides (attributes)."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.besides: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in SILENT or (tag == "select" and values.get("name") in LISTS):
            self.silent.append(tag)
        if not self.silent:
            self.besides += [values[name] or "" for name in SHOWN & values.keys()]
            if tag == "input" and values.get("type") in {"submit", "button", "reset"}:
                self.besides.append(values.get("value") or "")

    def handle_endtag(self, tag: str) -> None:
        if self.silent and self.silent[-1] == tag:
            self.silent.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(data)


def outside(text: str) -> str:
    """Without what stands between marks; a sentence may go on over several pieces of text."""
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", " ", text)) != text:
        text = shorter
    return text


def untranslated(html: str) -> set[str]:
    reader = Texts()
    reader.feed(html)
    pieces = [*outside("\0".join(reader.texts)).split("\0"), *map(outside, reader.besides)]
    found = {" ".join(piece.split()) for piece in pieces}
    return {piece for piece in found if set(WORD.findall(ADDRESS.sub(" ", piece))) - ALLOWED}


def mark(text: str) -> str:
    """What is filled in later stays outside: it has to be translated by itself."""
    return "".join(
        part if PLACE.fullmatch(part) else f"⟦{part}⟧" for part in PLACE.split(text) if part.strip() or part == " "
    )


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sentence that translators are given, and each that Django's own have translated, between marks."""
    ours = {one.key for one in read("ar")}
    real = {name: getattr(translation._trans, name) for name in ("gettext", "ngettext", "pgettext", "npgettext")}

    def gettext(message: str) -> str:
        is_known = bool(message) and (message in ours or real["gettext"](message) != message)
        return mark(str(message)) if is_known else message

    def ngettext(one: str, many: str, n: int) -> str:
        text = one if n == 1 else many
        return mark(text) if one in ours or real["ngettext"](one, many, n) != text else text

    def pgettext(context: str, message: str) -> str:
        is_known = f"{context}\x04{message}" in ours or real["pgettext"](context, message) != message
        return mark(message) if is_known else message

    def npgettext(context: str, one: str, many: str, n: int) -> str:
        text = one if n == 1 else many
        return mark(text) if f"{context}\x04{one}" in ours else text

    for name, fake in {"gettext": gettext, "ngettext": ngettext, "pgettext": pgettext, "npgettext": npgettext}.items():
        monkeypatch.setattr(translation._trans, name, fake)


def furnish(desk: Desk) -> dict[str, Any]:
    """One of everything that the pages show."""
    desk.user.name, desk.user.locale, desk.user.is_superuser = NAME, "ar", True
    desk.user.save()
    desk.account.name = NAME
    desk.account.save()
    campaign = desk.campaign(2, name=NAME)
    session = campaign.lanes.first().session
    for n, row in enumerate(desk.user.wasender_sessions.all() if hasattr(desk.user, "wasender_sessions") else []):
        row.session_name = f"{NAME} {n}"
        row.save()
    type(session).objects.filter(pk=session.pk).update(session_name=NAME)
    paused = Campaign.objects.create(user=desk.user, name=NAME, state="paused", body=NAME, pause_reason="")
    draft = Campaign.objects.create(
        user=desk.user, name=NAME, state="draft", body=NAME, contact_list=campaign.contact_list
    )
    down = desk.session(f"{NAME} 2", status="need_scan")
    alert = Alert.objects.create(user=desk.user, session=down, key=f"lost:{down.pk}", text="Its link is down.")
    incident = Incident.objects.create(
        user=desk.user, kind="lost", opened_at=timezone.now(), last_at=timezone.now(), size=1
    )
    Alert.objects.filter(pk=alert.pk).update(incident=incident)
    campaign.contact_list.contacts.update(name=NAME)
    person = campaign.contact_list.contacts.first()
    happened(desk.user, campaign, session, person)
    return {
        "campaign": campaign.public_id, "paused": paused.public_id, "draft": draft.public_id,
        "session": down.public_id, "connected": session.public_id, "incident": incident.public_id,
        "group": SessionGroup.objects.create(user=desk.user, name=NAME).public_id,
        "template": MessageTemplate.objects.create(user=desk.user, name=NAME, body=NAME).public_id,
        "list": campaign.contact_list.public_id,
        "person": person.public_id,
    }  # fmt: skip


def happened(user: User, campaign: Campaign, session: WaSenderSession, person: Contact) -> None:
    """What rows keep in English: shown in the reader's language, with names and words of people as they are."""
    why = WHY_LOST % {"names": NAME}
    record(actor=user, verb="campaign.pause", target=campaign, reason=why)
    Campaign.objects.filter(user=user, state="paused").update(pause_reason=why)
    for source in (MERGED, NUMBER_CHANGED, MESSAGE_TO % {"name": NAME}, READ_BY % {"name": NAME}):
        ConsentRecord.objects.create(user=user, contact=person, status="granted", source=source)
    note = MESSAGE_TO % {"name": NAME}
    Suppression.objects.create(user=user, phone="+13105550177", reason="review", note=note, words=NAME)
    Suppression.objects.create(user=user, phone="+13105550178", reason="stop", note=READ_BY % {"name": NAME})
    one = Conversation.objects.create(
        user=user, session=session, person=person.phone, phone=person.phone, contact=person, name=NAME, last_text=NAME,
        last_at=timezone.now(),
    )  # fmt: skip
    InboundMessage.objects.create(
        user=user, session=session, contact=person, key_id="A", phone=person.phone, text=NAME, conversation=one
    )
    late = campaign.messages.order_by("pk").last()
    campaign.messages.filter(pk=late.pk).update(state="failed", reason="The session could not send")


PAGES = [
    "/whatsappapi/", "/whatsappapi/sessions/", "/whatsappapi/create-session/", "/whatsappapi/groups/",
    "/whatsappapi/campaigns/", "/whatsappapi/replies/", "/whatsappapi/analytics/", "/whatsappapi/alerts/",
    "/accounts/settings/", "/accounts/password/", "/accounts/tokens/", "/audit/",
]  # fmt: skip


def everywhere(made: dict[str, Any]) -> Iterator[str]:
    from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

    yield from PAGES
    prefix = "whatsappapi"
    for one in get_resolver("phonebank.whatsappapi.urls").url_patterns:
        if isinstance(one, URLPattern) and one.name and not isinstance(one, URLResolver):
            for args in [[], *[[value] for value in made.values()]]:
                try:
                    yield reverse(f"{prefix}:{one.name}", args=args)
                except NoReverseMatch:
                    continue


def pages(desk: Desk) -> Iterator[tuple[str, str]]:
    """Address and HTML of every page of somebody who has one of everything."""
    for address in dict.fromkeys(everywhere(furnish(desk))):
        answer = desk.client.get(address)
        if answer.status_code == 200 and "text/html" in answer.get("Content-Type", ""):
            yield address, answer.text


@pytest.mark.django_db
def test_no_page_shows_english(make_desk: Callable[[str], Desk], marked: None) -> None:
    desk = make_desk("ana@example.org")
    found: dict[str, list[str]] = {}
    seen = 0
    for address, html in pages(desk):
        seen += 1
        if texts := untranslated(html) - VALUES.get(address, set()):
            found[address] = sorted(texts)
    assert seen > 60
    assert not found, "\n".join(f"{address}: {texts}" for address, texts in found.items())


@pytest.mark.parametrize("address", ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"])
@pytest.mark.django_db
def test_nor_does_one_before_the_login(client: Client, plans: None, marked: None, address: str) -> None:
    assert not untranslated(client.get(address, headers={"Accept-Language": "ar"}).text)
