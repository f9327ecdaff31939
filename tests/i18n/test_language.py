"""Which language somebody gets, and where."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import date

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from phonebank import language
from phonebank.accounts.models import User
from phonebank.whatsappapi.models import AlertRule, Channel, ConsentRecord, Contact, Delivery
from phonebank.whatsappapi.services import deliveries, digest
from phonebank.whatsappapi.services.channels import settings_of
from phonebank.whatsappapi.services.inbound import MESSAGE_TO
from phonebank.whatsappapi.services.probes import _UNCONFIRMED
from tests.views.conftest import Desk

LOGIN, SETTINGS, SWITCH = "/accounts/login/", "/accounts/settings/", "/accounts/language/"


@pytest.fixture
def ana(plans: None) -> User:
    return User.objects.create_user("ana@example.org")


@pytest.fixture
def arabic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, str]], None]]:
    """A few sentences in another language, whatever the translators have done so far."""
    real = translation._trans.gettext
    known: dict[str, str] = {}

    def gettext(text: str) -> str:
        return known[text] if translation.get_language() == "ar" and text in known else real(text)

    monkeypatch.setattr(translation._trans, "gettext", gettext)
    with translation.override("ar"):
        yield known.update


@pytest.mark.django_db
def test_a_strangers_pages_are_in_the_browsers_language(client: Client, plans: None) -> None:
    for asked, lang in [
        ("ar", "ar"),
        ("pt-PT,pt;q=0.9", "pt-br"),
        ("en-AU", "en"),
        ("fr, hi;q=0.5", "hi"),
        ("xx", "en"),
    ]:
        page = client.get(LOGIN, headers={"Accept-Language": asked})
        assert f'<html lang="{lang}"' in page.text
        assert page["Content-Language"] == lang


@pytest.mark.django_db
def test_arabic_runs_from_right_to_left(client: Client, plans: None) -> None:
    page = client.get(LOGIN, headers={"Accept-Language": "ar"}).text
    assert 'dir="rtl"' in page
    assert "tabler.rtl.min.css" in page
    page = client.get(LOGIN, headers={"Accept-Language": "es"}).text
    assert "rtl" not in page


@pytest.mark.django_db
def test_the_switch_works_before_the_login(client: Client, plans: None) -> None:
    answer = client.post(SWITCH, {"language": "hi", "next": LOGIN})
    assert answer["Location"] == LOGIN
    assert '<html lang="hi"' in client.get(LOGIN, headers={"Accept-Language": "es"}).text
    client.post(SWITCH, {"language": "xx", "next": LOGIN})
    assert '<html lang="hi"' in client.get(LOGIN).text


@pytest.mark.django_db
def test_the_switch_goes_to_our_own_pages_only_and_asks_for_the_token(plans: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(SWITCH, {"language": "hi"}).status_code == 403
    answer = Client().post(SWITCH, {"language": "hi", "next": "https://evil.example/"})
    assert "evil" not in answer["Location"]
    assert Client().get(SWITCH).status_code == 405


@pytest.mark.django_db
def test_the_switch_is_kept_with_the_account(ana: User, client: Client) -> None:
    client.force_login(ana)
    client.post(SWITCH, {"language": "ar", "next": SETTINGS})
    ana.refresh_from_db()
    assert ana.locale == "ar"
    elsewhere = Client()
    elsewhere.force_login(ana)
    page = elsewhere.get(SETTINGS, headers={"Accept-Language": "es"})
    assert '<html lang="ar" dir="rtl"' in page.text
    assert page["Content-Language"] == "ar"


@pytest.mark.django_db
def test_the_first_login_keeps_the_language_of_its_page(ana: User, client: Client) -> None:
    assert (ana.locale, ana.language) == ("", "en")
    ana.set_password("correct horse battery")
    ana.save()
    form = {"login": ana.email, "password": "correct horse battery"}
    client.post(LOGIN, form, headers={"Accept-Language": "id"})
    ana.refresh_from_db()
    assert ana.locale == "id"
    client.post("/accounts/logout/")
    client.post(LOGIN, form, headers={"Accept-Language": "es"})
    ana.refresh_from_db()
    assert ana.locale == "id"


@pytest.mark.django_db
def test_the_api_speaks_english_to_everybody(ana: User, client: Client) -> None:
    ana.locale = "ar"
    ana.save()
    client.force_login(ana)
    answer = client.get("/api/v1/sessions/?limit=many", headers={"Accept-Language": "ar"})
    assert answer.status_code in (400, 404)
    assert answer.text.isascii() or "“" in answer.text
    assert not any("\u0600" <= char <= "\u06ff" for char in answer.text)


@pytest.mark.django_db
def test_a_mail_is_in_the_language_of_who_gets_it(make_desk: Callable[[str], Desk]) -> None:
    user = make_desk("ana@example.org").user
    user.locale = "ar"
    user.save()
    day = date(2026, 11, 23)  # a Monday
    mail = digest.compose(user, day)
    assert "الاثنين" in mail.subject
    assert "الاثنين" in mail.body
    with translation.override("hi"):  # who happens to be at work
        assert "الاثنين" in digest.compose(user, day).subject


@pytest.mark.django_db
def test_programs_are_told_in_english(ana: User, arabic: Callable[[dict[str, str]], None]) -> None:
    arabic({"Phonebank: a test": "فونبنك: تجربة"})
    ana.locale = "ar"
    ana.save()
    mail = Channel.objects.create(user=ana, kind="mail", name="Mail")
    hook = Channel.objects.create(user=ana, kind="webhook", name="Hook")
    said = [deliveries.compose(Delivery(channel=one, event=Delivery.Event.TEST)).subject for one in (mail, hook)]
    assert said == ["فونبنك: تجربة", "Phonebank: a test"]


@pytest.mark.django_db
def test_the_first_channel_has_a_name_in_its_owners_language(
    ana: User, arabic: Callable[[dict[str, str]], None]
) -> None:
    arabic({"My e-mail": "بريدي"})
    ana.locale = "ar"
    ana.save()
    with translation.override("en"):
        settings_of(ana)
    assert Channel.objects.get(user=ana).name == "بريدي"
    assert AlertRule.objects.filter(user=ana).count() == 1


def test_a_kept_sentence_is_said_in_the_readers_language(arabic: Callable[[dict[str, str]], None]) -> None:
    arabic({"Restarted.": "أعيد التشغيل.", _UNCONFIRMED: "لم تؤكد خلال %(minutes)s دقيقة."})
    assert language.said("Restarted.") == "أعيد التشغيل."
    kept = _UNCONFIRMED % {"minutes": 7}
    assert language.said(kept) == "لم تؤكد خلال 7 دقيقة."
    assert language.said(f"{kept} Restarted.") == "لم تؤكد خلال 7 دقيقة. أعيد التشغيل."
    assert language.said("Nobody has marked this") == "Nobody has marked this"
    assert language.said("") == ""
    with translation.override("en-gb"):
        assert language.said(kept) == kept


def test_names_that_people_gave_are_in_no_language(arabic: Callable[[dict[str, str]], None]) -> None:
    arabic({"Test": "تجربة", MESSAGE_TO: "رسالة إلى «%(name)s»", "Sent": "أُرسلت"})
    assert language.said(MESSAGE_TO % {"name": "Test, Sent"}) == "رسالة إلى «Test, Sent»"


@pytest.mark.django_db
def test_evidence_is_kept_in_english_and_shown_in_the_readers_language(make_desk: Callable[[str], Desk]) -> None:
    desk = make_desk("ana@example.org")
    desk.user.locale = "es"
    desk.user.save()
    person = desk.contact_list(1).contacts.get()
    source = MESSAGE_TO % {"name": "Default"}
    ConsentRecord.objects.create(user=desk.user, contact=person, status="granted", source=source)
    page = desk.client.get(reverse("whatsappapi:person", args=[person.public_id])).text
    assert "mensaje a «Default»" in page
    assert "message to" not in page


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.django_db
def test_files_are_english_whoever_takes_them(make_desk: Callable[[str], Desk], form: str) -> None:
    """They may come back as an import, which has to read the column of consent again."""
    desk = make_desk("ana@example.org")
    desk.user.locale = "es"
    desk.user.save()
    desk.contact_list(1)
    Contact.objects.filter(user=desk.user).update(consent=Contact.Consent.WITHDRAWN)
    answer = desk.client.get(reverse("whatsappapi:export_people", args=[form]), headers={"Accept-Language": "es"})
    data = b"".join(answer.streaming_content)
    if form == "xlsx":
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            data = b"".join(book.read(name) for name in book.namelist() if name.endswith(".xml"))
    assert b"withdrawn" in data
    assert b"retirado" not in data


def test_figures_follow_the_language() -> None:
    shown = {}
    for code in ("en", "es", "pt-br", "ar", "hi"):
        with translation.override(code):
            shown[code] = language.grouped(1234567)
    assert shown == {
        "en": "1,234,567", "es": "1.234.567", "pt-br": "1.234.567", "ar": "1,234,567", "hi": "12,34,567",
    }  # fmt: skip


def test_a_sentence_loses_its_stop_inside_another_one_in_each_language() -> None:
    assert language.without_stop("It has used its limit.") == "It has used its limit"
    assert language.without_stop("कुछ नहीं भेजा गया।") == "कुछ नहीं भेजा गया"
    assert language.without_stop("It waits") == "It waits"
