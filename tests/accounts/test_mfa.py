"""The second factor: no way in passes it by, its codes work once, and a lost phone locks nobody out."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from base64 import b32decode
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

import phonebank
from phonebank.accounts import services
from phonebank.accounts.api_tokens import ApiToken, create_token
from phonebank.accounts.mfa import MfaAdapter, has_factor
from phonebank.accounts.models import OneTimeLink, User
from phonebank.accounts.ring import SecretUnreadable
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import Alert
from phonebank.whatsappapi.services import administration
from phonebank.whatsappapi.services.account_export import _profile
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.key_rotation import rotate_keys
from tests.accounts.conftest import PASSWORD

HOME, PAGE = "/whatsappapi/", "/accounts/settings/"
CODE, MFA = "/accounts/mfa/authenticate/", "/accounts/mfa/"
ACTIVATE, OFF = "/accounts/mfa/totp/activate/", "/accounts/mfa/totp/deactivate/"
TOKENS = "/accounts/tokens/"
CODES, NEW_CODES = "/accounts/mfa/recovery-codes/", "/accounts/mfa/recovery-codes/generate/"


@pytest.fixture(autouse=True)
def _plain(settings: Settings) -> None:
    """No mail, unless a test says so; and passwords, which are not what this is about, cost no time."""
    settings.EMAIL_URL = ""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


class Clock:
    """The time by which codes are made, which goes on when the test says so: no code ends in the middle of one."""

    now = 1_800_000_000.0
    monotonic, sleep = staticmethod(time.monotonic), staticmethod(time.sleep)

    def time(self) -> float:
        self.now += 0.001  # limits tell one try from another by its moment
        return self.now

    def next_code(self) -> None:
        self.now += 30


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in ("allauth.mfa.totp.internal.auth", "allauth.core.internal.ratelimit"):
        monkeypatch.setattr(f"{module}.time", made)
    return made


def code_of(secret: str, clock: Clock) -> str:
    """RFC 6238 as every app has it: SHA-1, 30 seconds, six digits."""
    mac = hmac.new(b32decode(secret), int(clock.now // 30).to_bytes(8, "big"), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


def wrong(code: str) -> str:
    """Another one of as many digits: never right by chance."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def password(client: Client, user: User, **more: Any) -> Any:
    return client.post("/accounts/login/", {"login": user.email, "password": PASSWORD}, **more)


def is_in(client: Client) -> bool:
    return client.get(PAGE).status_code == 200


def opens_nothing(client: Client) -> bool:
    """No page, nor the API by the cookie."""
    pages = [client.get(path) for path in (HOME, PAGE, MFA, CODES, "/whatsappapi/campaigns/", "/audit/")]
    led = {one["Location"].split("?")[0] for one in pages if one.status_code == 302}
    return led == {"/accounts/login/"} and len(pages) == 6 and client.get("/api/sessions/").status_code == 401


def set_up(client: Client, clock: Clock) -> tuple[str, list[str]]:
    """As a person does it, by the pages: the app's key and the recovery codes."""
    if (sent := client.get(ACTIVATE)).status_code == 302:
        client.post(sent["Location"], {"password": PASSWORD})
    secret = client.get(ACTIVATE).context["form"].secret
    assert client.post(ACTIVATE, {"code": code_of(secret, clock)})["Location"] == CODES
    clock.next_code()
    shown = client.get(CODES)
    return secret, list(shown.context["unused_codes"])


@pytest.fixture
def factor(ana: User, clock: Clock) -> tuple[str, list[str]]:
    """Ana's, with a login of hers that is over."""
    client = Client()
    client.force_login(ana)
    made = set_up(client, clock)
    client.logout()
    return made


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the end of a transaction is done at once: that of a test never ends."""
    monkeypatch.setattr(transaction, "on_commit", lambda call, **_: call())


def verbs() -> list[str]:
    return list(Event.objects.order_by("id").values_list("verb", flat=True))


# --- setting it up ----------------------------------------------------------------------------------------------------


def test_set_up_by_the_pages_then_off_again(ana: User, clock: Clock, committed: None) -> None:
    client = Client()
    client.force_login(ana)
    assert "It is off" in client.get(MFA).text and "Off: your password alone" in client.get(PAGE).text
    sent = client.get(ACTIVATE)
    assert unquote(sent["Location"]) == f"/accounts/reauthenticate/?next={ACTIVATE}"
    assert client.post(sent["Location"], {"password": "nonsense nonsense"}).status_code == 200
    assert client.get(ACTIVATE).status_code == 302
    away = "/accounts/reauthenticate/?next=https://evil.example/"
    assert client.post(away, {"password": PASSWORD})["Location"] == HOME
    assert client.get(ACTIVATE).status_code == 200
    assert client.post(sent["Location"], {"password": PASSWORD})["Location"] == ACTIVATE
    page = client.get(ACTIVATE)
    secret = page.context["form"].secret
    assert 'src="data:image/svg+xml;base64,' in page.text and secret in page.text
    refused = client.post(ACTIVATE, {"code": wrong(code_of(secret, clock))})
    assert "This code is not right" in refused.text and not has_factor(ana)
    assert client.post(ACTIVATE, {"code": code_of(secret, clock)})["Location"] == CODES
    codes = client.get(CODES)
    assert len(set(codes.context["unused_codes"])) == 10 and "no-store" in codes["Cache-Control"]
    assert "It is on" in client.get(MFA).text and "10 codes are left" in client.get(MFA).text
    assert 'href="/whatsappapi/account/logins/"' in client.get(MFA).text  # the other browsers stay as they are
    assert _profile(ana)["second_factor"] is True
    clock.next_code()
    assert client.get(OFF).status_code == 200 and client.post(OFF)["Location"] == MFA  # the password was asked just now
    assert not has_factor(ana) and not Authenticator.objects.filter(user=ana).exists()
    assert [one for one in verbs() if "factor" in one] == ["login.factor_added", "login.factor_removed"]


def test_the_picture_holds_what_apps_read(ana: User, clock: Clock) -> None:
    url = MfaAdapter().build_totp_url(ana, "ABC")
    assert url == "otpauth://totp/ana%40example.org?secret=ABC&issuer=Phonebank"
    picture = MfaAdapter().build_totp_svg(url)
    assert picture.startswith("<svg xmlns=") and "style" not in picture and 'fill="#fff"' in picture


def test_the_codes_are_shown_once(factor: tuple[str, list[str]], ana: User, clock: Clock, committed: None) -> None:
    secret, codes = factor
    client = Client()
    password(client, ana)
    client.post(CODE, {"code": code_of(secret, clock)})
    clock.next_code()
    sent = client.get(CODES)
    assert unquote(sent["Location"]) == f"/accounts/mfa/reauthenticate/?next={CODES}"
    client.post(sent["Location"], {"code": code_of(secret, clock)})
    page = client.get(CODES)
    assert "nobody can read them back" in page.text
    assert not [one for one in codes if one in page.text or f"{one[:4]} {one[4:]}" in page.text]
    assert client.post(NEW_CODES)["Location"] == CODES
    fresh = client.get(CODES).context["unused_codes"]
    assert len(fresh) == 10 and not set(fresh) & set(codes)
    client.logout()
    password(client, ana)
    client.post(CODE, {"code": codes[0]})
    assert opens_nothing(client)
    assert "login.codes_made" in verbs()


# --- every way in -----------------------------------------------------------------------------------------------------


def test_the_password_alone_opens_nothing(factor: tuple[str, list[str]], ana: User, clock: Clock) -> None:
    client = Client()
    fields = {"login": ana.email, "password": PASSWORD, "remember": "on"}
    assert client.post("/accounts/login/", fields)["Location"] == CODE
    assert opens_nothing(client)
    assert client.post(CODE, {}).status_code == 302 and opens_nothing(client)
    assert "This code is not right" in client.post(CODE, {"code": wrong(code_of(factor[0], clock))}).text
    assert opens_nothing(client)
    before = client.session.session_key
    assert client.post(CODE, {"code": code_of(factor[0], clock)})["Location"] == HOME
    assert is_in(client) and client.session.session_key != before
    assert not client.session.get_expire_at_browser_close()  # they had chosen to stay logged in
    assert [one for one in verbs() if one.startswith("login.")][-2:] == ["login.factor_refused", "login.done"]


def test_a_one_time_link_asks_for_it(factor: tuple[str, list[str]], ana: User, boss: User, clock: Clock) -> None:
    """Whoever is logged in there, too; and a forgotten password is set after the code only."""
    new = {"new_password1": "another horse 10", "new_password2": "another horse 10"}
    for guest in (None, boss, ana):
        client = Client()
        if guest:
            client.force_login(guest)
        token = services.make_link(purpose=OneTimeLink.Purpose.LOGIN, user=ana)
        assert client.post(f"/accounts/link/{token}/")["Location"] == CODE
        assert opens_nothing(client)
        assert client.post("/accounts/password/", new).status_code == 302
        assert client.post(CODE, {"code": code_of(factor[0], clock)})["Location"] == HOME
        clock.next_code()
        assert client.session["_auth_user_id"] == str(ana.pk) and "For 30 minutes" in client.get(HOME).text
    ana.refresh_from_db()
    assert ana.check_password(PASSWORD)
    assert client.post("/accounts/password/", new).status_code == 302
    ana.refresh_from_db()
    assert ana.check_password("another horse 10")
    assert verbs().count("link.login.opened") == 3 and "link.login.used" not in verbs()


def test_a_reset_mail_asks_for_it(
    factor: tuple[str, list[str]], ana: User, settings: Settings, mailoutbox: list[Any], clock: Clock
) -> None:
    settings.EMAIL_URL = "smtp://mail.example"
    EmailAddress.objects.create(user=ana, email=ana.email, primary=True, verified=True)
    client = Client()
    client.post("/accounts/password/reset/", {"email": ana.email})
    link = re.search(r"http://testserver(\S+)", mailoutbox[0].body)
    assert link
    form = client.get(link[1])["Location"]
    client.post(form, {"password1": "another horse 10", "password2": "another horse 10"})
    ana.refresh_from_db()
    assert ana.check_password("another horse 10") and opens_nothing(client)
    login = client.post("/accounts/login/", {"login": ana.email, "password": "another horse 10"})
    assert login["Location"] == CODE and opens_nothing(client)


def test_an_invitation_to_the_address_lets_nobody_in(factor: tuple[str, list[str]], ana: User) -> None:
    client = Client()
    token = services.make_link(purpose=OneTimeLink.Purpose.INVITE, email=ana.email)
    form = {"password": "another horse 10", "time_zone": "UTC", "name": "Ana"}
    assert client.post(f"/accounts/link/{token}/", form).status_code in (410, 422)
    ana.refresh_from_db()
    assert opens_nothing(client) and ana.check_password(PASSWORD)


def test_a_token_of_a_program_opens_no_page(factor: tuple[str, list[str]], ana: User) -> None:
    _, token = create_token(actor=ana, name="Till", scope="write", days=1)
    client = Client(headers={"Authorization": f"Bearer {token}"})
    assert client.get("/api/sessions/").status_code == 200
    pages = [client.get(path) for path in (HOME, PAGE, MFA, CODES)]
    assert [one["Location"].split("?")[0] for one in pages] == ["/accounts/login/"] * 4
    assert "sessionid" not in client.cookies


def test_every_login_goes_through_the_stages() -> None:
    """Django's own login() knows no second factor: none of ours calls it, and what we call instead is public."""
    for file in Path(phonebank.__file__).parent.rglob("*.py"):
        text = file.read_text()
        assert not re.search(r"(?<![\w.])(?:auth\.|auth_)?login\(\s*request", text), file
        assert not re.search(r"from django\.contrib\.auth import [^\n]*\blogin\b", text), file
        if "sandbox" not in file.parts:
            assert "allauth.account.internal" not in text and "allauth.mfa.internal" not in text, file
    stages = [one.rsplit(".", 1)[1] for one in _adapter().get_login_stages()]
    assert "AuthenticateStage" in stages


def _adapter() -> Any:
    from allauth.account.adapter import get_adapter

    return get_adapter()


def test_back_to_the_login_form(factor: tuple[str, list[str]], ana: User) -> None:
    client = Client()
    password(client, ana)
    assert client.get("/accounts/login/")["Location"] == CODE
    assert client.post("/accounts/logout/", {"next": "/accounts/login/"})["Location"] == "/accounts/login/"
    assert client.get("/accounts/login/").status_code == 200
    assert client.get(CODE)["Location"] == "/accounts/login/"


# --- codes ------------------------------------------------------------------------------------------------------------


def test_a_code_works_once_and_for_its_thirty_seconds(factor: tuple[str, list[str]], ana: User, clock: Clock) -> None:
    secret, _ = factor
    old = code_of(secret, clock)
    clock.next_code()
    code = code_of(secret, clock)
    first, second = Client(), Client()
    for client in (first, second):
        password(client, ana)
    assert "This code is not right" in first.post(CODE, {"code": old}).text
    first.post(CODE, {"code": f"{code[:3]} {code[3:]}"})
    assert is_in(first)
    second.post(CODE, {"code": code})
    assert opens_nothing(second)


def test_a_recovery_code_works_once(factor: tuple[str, list[str]], ana: User) -> None:
    _, codes = factor
    for n, (code, lets_in) in enumerate([(codes[3], True), (codes[3], False), (codes[4], True)]):
        client = Client()
        password(client, ana, REMOTE_ADDR=f"192.0.2.{n}")
        client.post(CODE, {"code": f"{code[:4]} {code[4:]}"})
        assert is_in(client) == lets_in
    assert "8 codes are left" in client.get(MFA).text
    assert verbs().count("login.recovery_code_used") == 2


def test_guessing_is_slowed_for_one_account_from_many_addresses(
    factor: tuple[str, list[str]], ana: User, clock: Clock
) -> None:
    """Five wrong ones in five minutes close its door, also for the right code; the password does not open it again."""
    secret, codes = factor
    right = code_of(secret, clock)
    for n in range(5):
        client = Client(REMOTE_ADDR=f"192.0.2.{n}")
        password(client, ana)
        client.post(CODE, {"code": wrong(right)})
    late = Client(REMOTE_ADDR="192.0.2.99")
    password(late, ana)
    for code in (right, codes[0]):
        assert "Too many wrong tries" in late.post(CODE, {"code": code}).text
    assert opens_nothing(late)
    cache.clear()  # as after five minutes
    late.post(CODE, {"code": right})
    assert is_in(late)


def test_a_crowded_cache_forgets_no_tries(factor: tuple[str, list[str]], ana: User, clock: Clock) -> None:
    """Where the tries are counted, somebody who tries many made-up accounts does not push them out."""
    client = Client()
    password(client, ana)
    for _ in range(5):
        client.post(CODE, {"code": "00000"})
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO phonebank_cache SELECT ':1:crowd' || n, '', now() + interval '1 day'"
            " FROM generate_series(1, 2000) AS n"
        )
    cache.set("more", 1)
    assert "Too many wrong tries" in client.post(CODE, {"code": code_of(factor[0], clock)}).text


def test_guessing_is_slowed_for_one_address_over_many_accounts(plans: None, clock: Clock) -> None:
    people = [User.objects.create_user(f"p{n}@example.org", PASSWORD) for n in range(3)]
    for user in people:
        client = Client()
        client.force_login(user)
        secret, _ = set_up(client, clock)
    for user in [*people[:2]] * 5:
        client = Client()
        password(client, user)
        client.post(CODE, {"code": "00000"})
    last = Client()
    password(last, people[2])
    last.post(CODE, {"code": code_of(secret, clock)})
    assert opens_nothing(last)
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    password(elsewhere, people[2])
    elsewhere.post(CODE, {"code": code_of(secret, clock)})
    assert is_in(elsewhere)


def test_who_has_one_is_told_to_nobody_without_the_password(
    factor: tuple[str, list[str]], ana: User, boss: User
) -> None:
    answers = []
    for email in (ana.email, boss.email, "nobody@example.org"):
        client = Client()
        answer = client.post("/accounts/login/", {"login": email, "password": "nonsense nonsense"})
        page = re.sub(r'value="[^"]*"', "", answer.text)  # what was typed, and the form's token
        answers.append((answer.status_code, page, client.get(CODE)["Location"]))
    assert answers[0] == answers[1] == answers[2]


def test_the_password_does_not_take_it_away(factor: tuple[str, list[str]], ana: User, clock: Clock) -> None:
    """Nor do new codes come of it: an open browser and the password are not enough."""
    client = Client()
    password(client, ana)
    client.post(CODE, {"code": code_of(factor[0], clock)})
    clock.next_code()
    for path in (OFF, NEW_CODES):
        assert client.post(path)["Location"].startswith("/accounts/mfa/reauthenticate/")
    other = client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert other["Location"].startswith("/accounts/mfa/reauthenticate/")
    assert client.post(OFF).status_code == 302 and has_factor(ana)
    client.post("/accounts/mfa/reauthenticate/", {"code": code_of(factor[0], clock)})
    client.post(OFF)
    assert not has_factor(ana)


def test_a_token_is_made_after_the_code_only(factor: tuple[str, list[str]], ana: User, clock: Clock) -> None:
    client = Client()
    password(client, ana)
    client.post(CODE, {"code": code_of(factor[0], clock)})
    clock.next_code()
    assert client.get(TOKENS).status_code == 200
    asked = client.post(TOKENS, {"name": "Till", "scope": "write", "days": "30"})
    assert unquote(asked["Location"]) == f"/accounts/mfa/reauthenticate/?next={TOKENS}"
    assert not ApiToken.objects.exists()
    client.post(asked["Location"], {"code": wrong(code_of(factor[0], clock))})
    assert not ApiToken.objects.exists()
    made = client.post(asked["Location"], {"code": code_of(factor[0], clock)})
    token = ApiToken.objects.get(user=ana)
    assert token.name == "Till" and re.search(rf'value="{token.token_key}\w+"', made.text)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_the_table_holds_ciphertext_only(
    factor: tuple[str, list[str]], ana: User, clock: Clock, settings: Settings
) -> None:
    secret, codes = factor
    stored = str(list(Authenticator.objects.values()))
    assert not [one for one in (secret, *codes) if one in stored]
    adapter = MfaAdapter()
    assert adapter.decrypt(Authenticator.objects.get(type="totp").data["secret"]) == secret
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(SecretUnreadable):
        adapter.decrypt(Authenticator.objects.get(type="totp").data["secret"])
    client = Client()
    password(client, ana)
    assert "cannot be checked" in client.post(CODE, {"code": code_of(secret, clock)}, follow=True).text
    assert opens_nothing(client)


def test_changing_the_keys_covers_it(
    factor: tuple[str, list[str]], ana: User, clock: Clock, settings: Settings
) -> None:
    secret, codes = factor
    new = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, *settings.FIELD_ENCRYPTION_KEYS]
    before = {one.type: one.data for one in Authenticator.objects.all()}
    told = {one.table: (one.rewritten, one.kept, one.unreadable) for one in rotate_keys()}
    assert told["mfa_authenticator"] == (2, 0, 0)
    again = {one.table: (one.rewritten, one.kept, one.unreadable) for one in rotate_keys()}
    assert again["mfa_authenticator"] == (0, 2, 0)
    settings.FIELD_ENCRYPTION_KEYS = [new]
    for one in Authenticator.objects.all():  # nothing else of it changed
        assert {**one.data, "secret": "", "seed": ""} == {**before[one.type], "secret": "", "seed": ""}
    for code in (code_of(secret, clock), codes[0]):
        client = Client()
        password(client, ana)
        client.post(CODE, {"code": code})
        assert is_in(client)


# --- a lost phone -----------------------------------------------------------------------------------------------------


def factor_page(user: User) -> str:
    return f"/whatsappapi/administration/users/{user.public_id}/factor/"


def test_an_administrator_removes_it_by_typing_the_address(
    factor: tuple[str, list[str]], ana: User, boss: User
) -> None:
    client = Client()
    client.force_login(boss)
    assert factor_page(ana) in client.get(factor_page(ana).removesuffix("factor/")).text
    assert client.get(factor_page(ana)).status_code == 200
    for typed in ("", "boss@example.org"):
        client.post(factor_page(ana), {"typed": typed})
        assert has_factor(ana)
    client.post(factor_page(ana), {"typed": " Ana@example.org "})
    assert not Authenticator.objects.filter(user=ana).exists()
    assert "your password alone logs you in" in Alert.objects.get(user=ana, key=f"factor:{ana.pk}").text
    event = Event.objects.get(verb="user.factor_removed")
    assert (event.actor, event.owner, event.target_id) == (boss, ana, str(ana.public_id))
    assert client.get(factor_page(ana)).status_code == 404
    person = Client()
    assert password(person, ana)["Location"] == HOME and is_in(person)


def test_it_is_no_shortcut_for_their_own_and_nobody_elses_page(
    factor: tuple[str, list[str]], ana: User, boss: User, clock: Clock
) -> None:
    mine = Client()
    mine.force_login(boss)
    set_up(mine, clock)
    assert mine.post(factor_page(boss), {"typed": boss.email}).status_code == 404
    with pytest.raises(ServiceError) as refused:
        administration.remove_factor(actor=boss, user=boss)
    assert refused.value.code == "own"
    theirs = Client()
    theirs.force_login(ana)
    assert theirs.post(factor_page(boss), {"typed": boss.email}).status_code == 404
    with pytest.raises(ServiceError):
        administration.remove_factor(actor=ana, user=boss)
    assert has_factor(boss) and has_factor(ana)


def test_the_last_administrator_comes_in_by_the_terminal(boss: User, clock: Clock) -> None:
    client = Client()
    client.force_login(boss)
    set_up(client, clock)
    told, warned = StringIO(), StringIO()
    call_command("login_link", "boss@example.org", stdout=told, stderr=warned)
    assert "--without-second-factor" in warned.getvalue() and has_factor(boss)
    asked = Client()
    assert asked.post(path_in(told))["Location"] == CODE and opens_nothing(asked)
    told, warned = StringIO(), StringIO()
    call_command("login_link", "Boss@example.org", "--without-second-factor", stdout=told, stderr=warned)
    assert "boss@example.org is removed" in warned.getvalue() and not has_factor(boss)
    assert asked.post(path_in(told))["Location"] == HOME and is_in(asked)
    event = Event.objects.get(verb="user.factor_removed")
    assert (event.actor, event.owner) == (None, boss)
    call_command("login_link", "boss@example.org", "--without-second-factor", stdout=told, stderr=warned)
    assert "has no second factor" in warned.getvalue()
    with pytest.raises(CommandError):
        call_command("login_link", "nobody@example.org", "--without-second-factor")


def path_in(told: StringIO) -> str:
    """Of the link, which is all that standard output holds."""
    found = re.fullmatch(r"https?://[^/]+(/accounts/link/\S+)\n", told.getvalue())
    assert found
    return found[1]


def test_administrators_without_one_read_that_they_should(boss: User, clock: Clock) -> None:
    client = Client()
    client.force_login(boss)
    words = "A second factor</a> keeps them out"
    assert words in client.get("/whatsappapi/administration/").text
    set_up(client, clock)
    assert words not in client.get("/whatsappapi/administration/").text
