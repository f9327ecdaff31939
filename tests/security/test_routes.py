"""What holds on every address, from the URL conf itself: a new one is tried without being listed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client
from rest_framework.permissions import AllowAny

from phonebank.accounts.models import User
from phonebank.whatsappapi.api import urls as api
from phonebank.whatsappapi.api.auth import LoginAuthentication, TokenAuthentication
from phonebank.whatsappapi.api.handler import NoSuchAddress
from phonebank.whatsappapi.services.channels import settings_of
from tests.accounts.conftest import PASSWORD
from tests.security.conftest import Owner
from tests.security.world import changes, furnish, routes, snapshot

# What needs no CSRF token: who calls knows a secret and is known by no cookie.
EXEMPT = {
    "whatsappapi/webhook/<uuid:user_id>/", "whatsappapi/webhook/<uuid:user_id>",
    "whatsappapi/webhook/<uuid:user_id>/<str:token>/", "whatsappapi/webhook/<uuid:user_id>/<str:token>",
    "link/<str:token>/",
}  # fmt: skip
UNSAFE = ["POST", "PUT", "PATCH", "DELETE"]
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE_REFERRER = {"same-origin", "no-referrer", "strict-origin"}


@pytest.fixture
def things(owner: Owner) -> dict[str, str]:
    return furnish(owner)


def as_user(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def test_no_unsafe_request_passes_without_the_forms_token(things: dict[str, str], boss: User) -> None:
    """Of an administrator, for whom every page is there."""
    assert {one.path for one in routes() if one.is_exempt} == EXEMPT
    client, passed = as_user(boss, enforce_csrf_checks=True), []
    before = snapshot()
    for n, route in enumerate(routes()):
        for method in [] if route.is_exempt else UNSAFE[: 4 if n < 10 else 1]:
            answer = client.generic(method, route.address(things), b"")
            if answer.status_code != 403 or "form" not in answer.text or faults(answer):
                passed.append((method, route.path, answer.status_code, faults(answer)))
    assert passed == [] and changes(before) == {}


def test_the_api_asks_for_it_wherever_a_cookie_counts() -> None:
    for pattern in api.urlpatterns:
        view = pattern.callback.cls
        if view is NoSuchAddress or AllowAny in view.permission_classes:
            assert view is NoSuchAddress or not {"post", "put", "patch", "delete"} & set(dir(view)), view
        else:
            assert set(view.authentication_classes) == {TokenAuthentication, LoginAuthentication}, view


def test_somebody_elses_things_are_not_there(owner: Owner, things: dict[str, str], other: Any, boss: User) -> None:
    """On any page, for anybody, by any method; and nothing changes."""
    gone = User.objects.create_user("gone@example.org", is_active=False)
    strangers = [as_user(other.user), as_user(boss)]
    for one in (other.user, boss):
        settings_of(one)  # made with the first look at their own alerts
    outside = [Client(), as_user(gone)]
    before, wrong = snapshot(), []
    found = [one for one in routes() if one.is_somebodys]
    assert len(found) > 70
    for route in found:
        address = route.address(things)
        taken = methods(address, owner.client)
        for method in ("GET", "POST"):
            statuses = [one.generic(method, address, b"").status_code for one in strangers]
            if statuses != [404 if method in taken else 405] * 2:
                wrong.append((method, route.path, statuses))
            sent = [one.generic(method, address, b"") for one in outside]
            if [one.status_code for one in sent] != [302, 302] or "/accounts/login/" not in sent[0]["Location"]:
                wrong.append((method, route.path, "anonymous"))
    assert wrong == [] and changes(before) == {}


def methods(address: str, client: Client) -> set[str]:
    """Which a page takes: asked by one that none takes."""
    answer = client.generic("PROPFIND", address)
    assert answer.status_code == 405, f"{address} names no methods (require_http_methods)"
    return set(answer["Allow"].split(", "))


def faults(answer: Any) -> list[str]:
    """What is wrong with the headers of an answer."""
    policy = answer.get("Content-Security-Policy", "")
    found = [name for name, value in EVERYWHERE.items() if answer.get(name) != value]
    if "default-src 'none'" not in policy or "unsafe" in policy:
        found.append(f"policy: {policy}")
    found += [one for one in ("frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'") if one not in policy]
    if answer.get("Referrer-Policy") not in SAFE_REFERRER:
        found.append("referrer")
    if "camera=()" not in answer.get("Permissions-Policy", ""):
        found.append("permissions")
    if "no-store" not in answer.get("Cache-Control", "") and not answer.get("Cache-Control", "").startswith("max-age="):
        found.append("cache")
    return found


def test_looking_changes_nothing(owner: Owner, things: dict[str, str], settings: Any) -> None:
    """Every page by its owner, an administrator too, and by nobody: none breaks, and each answer has its headers."""
    settings.SECURE_HSTS_SECONDS = 31_536_000
    User.objects.filter(pk=owner.user.pk).update(is_superuser=True, is_staff=True)
    clients = [owner.client, Client()]
    before, shown = snapshot(), 0
    wrong: dict[str, list[str]] = {}
    for client in clients:
        for route in routes():
            answer = client.get(route.address(things), secure=True)
            shown += answer.status_code == 200
            found = faults(answer)
            if "max-age=31536000" not in answer.get("Strict-Transport-Security", ""):
                found.append("hsts")
            if "no-store" not in answer["Cache-Control"]:
                found.append("may be kept")
            if answer.status_code == 500 or answer.has_header("Access-Control-Allow-Origin"):
                found.append("breaks, or is open to other sites")
            if found:
                wrong[f"{route.path} {answer.status_code}"] = found
    assert wrong == {} and changes(before) == {} and shown > 80


def test_headers_of_errors_files_and_the_api(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*args: object) -> None:
        raise RuntimeError("secret detail")

    client = Client(raise_request_exception=False)
    client.force_login(owner.user)
    answers = {
        "not there": client.get("/nowhere/"),
        "not there in the API": client.get("/api/nowhere/"),
        "a strange host": client.get("/", headers={"Host": "evil.example"}),
        "by token": owner.api.get("sessions/"),
        "wrong token": client.get("/api/sessions/", headers={"Authorization": "Bearer pbk_x"}),
        "a file": client.get("/static/whatsappapi/app.css"),
        "no such file": client.get("/static/whatsappapi/nothing.css"),
        "up a folder": client.get("/static/../../config/settings.py"),
    }
    monkeypatch.setattr("phonebank.whatsappapi.views.dashboard.slots", breaks)
    answers["broken"] = client.get("/whatsappapi/")
    assert {name: faults(one) for name, one in answers.items() if faults(one)} == {}
    assert [answers[one].status_code for one in ("broken", "a file", "up a folder")] == [500, 200, 404]
    assert "no-store" in answers["by token"]["Cache-Control"]
    for one in answers.values():
        text = b"".join(one.streaming_content) if one.streaming else one.content
        assert b"secret detail" not in text and b"Traceback" not in text and b"Django" not in text


def test_trace_is_refused(owner: Owner) -> None:
    for path in ("/whatsappapi/", "/accounts/login/", "/api/sessions/"):
        answer = owner.client.generic("TRACE", path, headers={"X-Canary": "echo-me"})
        assert answer.status_code in (302, 403, 405) and "echo-me" not in answer.text


def test_a_program_is_not_sent_on_to_https(owner: Owner, settings: Any) -> None:
    """Its token has crossed the net in clear, and nobody would notice; a person's browser is sent on."""
    settings.SECURE_SSL_REDIRECT = True
    refused = owner.api.get("sessions/")
    assert refused.status_code == 403 and refused.json()["errors"][0]["code"] == "https_only"
    assert faults(refused) == []
    assert Client().get("/whatsappapi/")["Location"] == "https://testserver/whatsappapi/"
    assert Client().get("/api/docs/")["Location"].startswith("https://")
    assert owner.api.client.get("/api/sessions/", headers=owner.api.headers, secure=True).status_code == 200


def test_cookies_over_https_belong_to_this_host_alone() -> None:
    """Read by a process of its own: settings are made once."""
    code = (
        "from phonebank.config import settings as s;"
        "print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE,"
        "s.SESSION_COOKIE_HTTPONLY, s.CSRF_COOKIE_HTTPONLY, s.SESSION_COOKIE_SAMESITE, s.DEBUG,"
        "s.SECURE_HSTS_SECONDS, s.SECURE_HSTS_INCLUDE_SUBDOMAINS)"
    )
    env = os.environ | {"PUBLIC_URL": "https://phonebank.example"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "__Host-sessionid", "__Host-csrftoken", "True", "True", "True", "True", "Lax", "False", "31536000", "True",
    ]  # fmt: skip


STRANGE = [
    "https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example", "http:evil.example",
    "https:/evil.example", "javascript:alert(1)", "\t//evil.example", "https://testserver@evil.example/",
    "https://testserver.evil.example/", "/%0d%0aLocation:https://evil.example/", "%2f%2fevil.example",
]  # fmt: skip


def lands(location: str) -> str | None:
    """The host that a browser goes to: it drops tabs and line breaks, and takes \\ for /."""
    assert not {"\r", "\n"} & set(location)
    seen = urlsplit(urljoin("https://testserver/here/", location.strip().replace("\t", "").replace("\\", "/")))
    return seen.hostname if seen.scheme == "https" else None


def test_no_redirect_leads_away(owner: Owner, boss: User) -> None:
    """Every place that takes `next`: the login, the theme, the language, and the buttons that lead back."""
    session = owner.session()
    posts = ["/accounts/theme/", "/accounts/language/", f"/whatsappapi/sessions/{session.public_id}/set-default/"]
    for target in STRANGE:
        answers = [owner.client.post(path, {"theme": "dark", "language": "en", "next": target}) for path in posts]
        if target in STRANGE[::4]:  # a login is dear, and Django's check is the same
            person = Client()
            answers.append(person.post("/accounts/login/", {"login": boss.email, "password": PASSWORD, "next": target}))
            answers.append(person.post("/accounts/logout/", {"next": target}))
        for answer in answers:
            assert answer.status_code == 302 and lands(answer["Location"]) == "testserver", (target, answer)
