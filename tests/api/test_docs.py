"""The description, and its page."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS

from phonebank.whatsappapi.api.docs import _document
from tests.api.conftest import Api, Owner
from tests.api.routes import methods_of, patterns


def schema() -> dict[str, Any]:
    _document.cache_clear()
    with GENERATOR_STATS.silence():
        found = _document()
    assert not GENERATOR_STATS, "the generator had to guess"
    return found


def test_every_address_is_described() -> None:
    found = schema()
    assert found["openapi"].startswith("3.1")
    described = {path: set(operations) for path, operations in found["paths"].items()}
    named = {
        f"/api/{re.sub('<uuid:id>', '{id}', str(one.pattern))}": {m.lower() for m in methods_of(one)}
        for one in patterns()
    }
    assert described == named


def test_every_operation_names_its_errors() -> None:
    for path, operations in schema()["paths"].items():
        for method, operation in operations.items():
            answers = set(operation["responses"])
            assert {"400", "401", "405", "406", "429"} <= answers, (method, path)
            if method != "get":
                assert {"403", "404", "409", "413", "415", "422", "424"} <= answers, (method, path)
            elif "{" in path:
                assert "404" in answers, path
            names = {one["name"] for one in operation.get("parameters", [])}
            assert ("Idempotency-Key" in names) == (method == "post"), (method, path)
            assert operation["security"] == [{"token": []}, {"login": []}]
            assert operation.get("description"), (method, path)


def test_bodies_take_no_unknown_field() -> None:
    bodies = [one for name, one in schema()["components"]["schemas"].items() if name.endswith("Request")]
    assert bodies and all(one["additionalProperties"] is False for one in bodies)


def test_who_may_read_it(owner: Owner, nobody: Api) -> None:
    assert nobody.get("schema/").status_code == 401
    answer = owner.reader.client.get("/api/schema/", headers=owner.reader.headers)
    assert answer.status_code == 200
    assert answer.json()["info"]["title"] == "Phonebank API"


def test_the_page(owner: Owner) -> None:
    stranger = Client().get("/api/docs/")
    assert (stranger.status_code, stranger["Location"]) == (302, "/accounts/login/?next=/api/docs/")
    page = owner.client.get("/api/docs/")
    assert page.status_code == 200
    assert not re.search(r"<style|<script>|style=|https?://", page.text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        is_script = address.startswith("/api/")
        assert is_script or finders.find(address.removeprefix("/static/")), address
    script = owner.client.get("/api/docs/?script=")
    assert script["Content-Type"] == "application/javascript"
    assert 'url: "/api/schema/"' in script.text.replace("\\u002D", "-")
