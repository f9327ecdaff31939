"""Every address x every method x everybody, from the URL conf itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps

from phonebank.accounts.models import User
from tests.api.conftest import Api, Owner, token_of
from tests.api.routes import ABOUT_NOTHING, ENTRIES, METHODS, Entry, address, body_of, methods_of, patterns, status_of

ROUTES = [str(one.pattern) for one in patterns()]
ALLOWED = {str(one.pattern): methods_of(one) for one in patterns()}
SAFE = {"GET", "HEAD", "OPTIONS"}


def test_every_address_has_an_entry() -> None:
    assert {route: set(ENTRIES.get(route, ())) for route in ROUTES} == ALLOWED
    assert set(ENTRIES) == set(ROUTES)


def ids(owner: Owner) -> dict[str, Any]:
    return {word: str(thing.public_id) for word, thing in owner.furnish().items()}


def entry_of(route: str, method: str) -> tuple[bool, Entry]:
    """Whether the address has the method, and its entry."""
    listed = "GET" if method == "HEAD" else method
    return listed in ALLOWED[route], ENTRIES[route].get(listed, 405)


def snapshot() -> dict[str, list[Any]]:
    """All rows of the product; not how often somebody asked."""
    models = [one for one in apps.get_app_config("whatsappapi").get_models() if one.__name__ != "ApiUsage"]
    return {one.__name__: sorted(map(repr, one.objects.values_list())) for one in models}


@pytest.mark.parametrize("route", ROUTES)
def test_who_is_refused(route: str, owner: Owner, make_owner: Any, nobody: Api) -> None:
    """By every method; and nothing changed after all of it."""
    things, stranger, gone = ids(owner), make_owner("charlie@example.org"), make_owner("gone@example.org")
    boss = User.objects.create_superuser("boss@example.org")
    User.objects.filter(pk=gone.user.pk).update(is_active=False)
    unknown = [nobody, gone.api, Api(user=gone.user)]
    foreign = [stranger.api, Api(user=stranger.user), Api(token_of(boss)), Api(user=boss)]
    is_about_one, path, before = "<uuid:id>" in route, address(route, things), snapshot()
    for method in METHODS:
        is_allowed, entry = entry_of(route, method)
        body = body_of(entry, things)
        assert [api(method, path, body).status_code for api in unknown] == [401] * 3, method
        if is_about_one or (body is not None and not (route in ABOUT_NOTHING and is_allowed)):
            expected = 404 if is_allowed else 405
            assert [api(method, path, body).status_code for api in foreign] == [expected] * 4, method
        reader = owner.reader(method, path, body).status_code
        if method not in SAFE or (path.endswith("/qr/") and is_allowed):
            assert reader == 403, method
        else:
            assert reader == (status_of(entry) if is_allowed else 405), method
    assert snapshot() == before, "who was refused changed something"


@pytest.mark.parametrize("kind", ["token", "login"])
@pytest.mark.parametrize("route", ROUTES)
def test_the_owner(route: str, kind: str, make_owner: Any) -> None:
    for n, method in enumerate(METHODS):
        is_allowed, entry = entry_of(route, method)
        if is_allowed or n == 0:
            owner = make_owner(f"{n}@example.org")
            things = ids(owner)
            api = owner.api if kind == "token" else Api(user=owner.user)
        answer = api(method, address(route, things), body_of(entry, things))
        assert answer.status_code == (status_of(entry) if is_allowed else 405), (method, answer.content)


@pytest.mark.parametrize("route", [one for one in ROUTES if "<uuid:id>" in one])
def test_an_id_that_nobody_has(route: str, owner: Owner) -> None:
    nowhere = dict.fromkeys([route.split("/")[0]], "7d4f0f6e-4a53-4b5c-9f0a-2f6f0b0f1a11")
    for method in ALLOWED[route]:
        assert owner.api(method, address(route, nowhere)).status_code == 404
    odd = dict.fromkeys([route.split("/")[0]], "1")
    assert owner.api("GET", address(route, odd)).status_code == 404


def test_a_changing_request_by_cookie_needs_the_csrf_header(owner: Owner) -> None:
    things = ids(owner)
    by_login = Api(user=owner.user)
    by_login.client.handler.enforce_csrf_checks = True
    for route, methods in ALLOWED.items():
        for method in methods - SAFE:
            answer = by_login(method, address(route, things), body_of(ENTRIES[route][method], things))
            assert answer.status_code == 403, (method, route)
            assert "CSRF" in answer.json()["errors"][0]["detail"]
    by_login.client.cookies["csrftoken"] = "a" * 32
    path = f"sessions/{things['sessions']}/set-default/"
    assert by_login.post(path, X_CSRFToken="a" * 32).status_code == 200


def test_who_sends_a_wrong_token_is_not_who_their_cookie_says(owner: Owner) -> None:
    api = Api(user=owner.user)
    assert api.get("sessions/").status_code == 200
    for header in ("Bearer pbk_wrong", "Bearer", "Bearer a b", "Basic eDp5", "Bearer " + "x" * 5000, "\xe9"):
        assert api.get("sessions/", Authorization=header).status_code == 401
