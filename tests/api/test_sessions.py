"""A session's life over the API, with the sandbox as gateway."""

from __future__ import annotations

import pytest

from phonebank.audit.models import Event
from phonebank.whatsappapi.models import GatewayAccount, SessionGroup, WaSenderSession
from tests.api.conftest import Owner
from tests.services.conftest import Sandbox, wait_for


@pytest.fixture
def boxed(owner: Owner, sandbox: Sandbox) -> Owner:
    """An owner whose account is at the sandbox."""
    GatewayAccount.objects.update(base_url=f"{sandbox.url}/api", token=sandbox.token)
    return owner


def test_from_creation_to_deletion(boxed: Owner, sandbox: Sandbox) -> None:
    api = boxed.api
    made = api.post("sessions/", {"phone_number": "+1 212 555 0150", "daily_limit": 50})
    assert made.status_code == 201
    one = made.json()
    assert (one["session_name"], one["phone_number"], one["is_default"]) == ("Session 1", "+12125550150", True)
    assert made["Location"] == f"/api/sessions/{one['id']}/"
    path = f"sessions/{one['id']}/"

    assert api.get(f"{path}qr/").json() == {"status": "disconnected", "qr": None, "expires_in": None}
    assert api.get(f"{path}qr/", Accept="image/svg+xml").status_code == 409
    assert api.post(f"{path}connect/").json()["status"] == "need_scan"
    code = api.get(f"{path}qr/").json()
    assert (code["status"], code["expires_in"]) == ("need_scan", 15) and code["qr"].startswith("2@")
    picture = api.get(f"{path}qr/", Accept="image/svg+xml")
    assert picture["Content-Type"] == "image/svg+xml" and picture.content.startswith(b"<svg")
    assert picture["Cache-Control"] == "no-store"
    assert boxed.reader.get(f"{path}qr/").status_code == 403

    row = WaSenderSession.objects.get()
    sandbox.pull("POST", f"/sessions/{row.wasender_id}/scan", {})
    wait_for(lambda: sandbox.sessions()[0]["status"].lower() == "connected")
    assert api.post(f"{path}connect/").json()["status"] == "connected"
    assert api.get("sessions/stats/").json()["connected"] == 1
    changed = api("PATCH", path, {"session_name": "Shop", "daily_limit": None, "log_messages": False}).json()
    assert (changed["session_name"], changed["daily_limit"], changed["log_messages"]) == ("Shop", None, False)
    assert api.post(f"{path}disconnect/").json()["status"] == "disconnected"
    assert api("DELETE", path).status_code == 204
    assert api.get(path).status_code == 404
    assert sandbox.sessions() == []
    assert not Event.objects.exclude(actor=boxed.user).filter(target_id=one["id"]).exists()


def test_no_code_to_scan_is_kept_anywhere(boxed: Owner) -> None:
    """Not in the answer that an Idempotency-Key repeats, and not in the audit log."""
    path = f"sessions/{boxed.api.post('sessions/', {'phone_number': '+12125550150'}).json()['id']}/"
    key = {"Idempotency_Key": "k"}
    first, again = boxed.api.post(f"{path}connect/", **key), boxed.api.post(f"{path}connect/", **key)
    assert again["Idempotency-Replayed"] == "true"
    assert "2@" not in first.text + again.text
    assert not any("2@" in str(event.data) for event in Event.objects.all())


def test_a_created_session_is_not_created_twice(boxed: Owner, sandbox: Sandbox) -> None:
    body, key = {"phone_number": "+12125550150"}, {"Idempotency_Key": "k"}
    first = boxed.api.post("sessions/", body, **key)
    again = boxed.api.post("sessions/", body, **key)
    assert first.json() == again.json() and again.status_code == 201
    assert len(sandbox.sessions()) == 1


def test_deleted_here_only(boxed: Owner, sandbox: Sandbox) -> None:
    made = boxed.api.post("sessions/", {"phone_number": "+12125550150"}).json()
    assert boxed.api("DELETE", f"sessions/{made['id']}/?at_gateway=maybe").status_code == 400
    assert boxed.api("DELETE", f"sessions/{made['id']}/?at_gateway=false").status_code == 204
    assert len(sandbox.sessions()) == 1


def test_exactly_one_default(boxed: Owner) -> None:
    one, two = boxed.session(is_default=True), boxed.session()
    assert boxed.api.post(f"sessions/{two.public_id}/set-default/").json()["is_default"]
    assert not boxed.api.get(f"sessions/{one.public_id}/").json()["is_default"]


def test_which_account(owner: Owner) -> None:
    GatewayAccount.objects.create(user=owner.user, name="Second", base_url="http://127.0.0.1:9/api", token="t")
    answer = owner.api.post("sessions/", {"phone_number": "+12125550150"})
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (422, "account")


def test_groups(owner: Owner) -> None:
    one, two = (str(owner.session().public_id) for _ in range(2))
    made = owner.api.post("groups/", {"name": "Team", "sessions": [one, two, one]})
    assert made.status_code == 201 and set(made.json()["sessions"]) == {one, two}
    path = f"groups/{made.json()['id']}/"
    assert owner.api("PATCH", path, {"name": "Crew"}).json()["sessions"] == made.json()["sessions"]
    assert owner.api("PATCH", path, {"sessions": []}).json()["sessions"] == []
    assert owner.api("DELETE", path).status_code == 204
    assert not SessionGroup.objects.exists() and WaSenderSession.objects.count() == 2


def test_a_deleted_session_is_in_no_group(owner: Owner) -> None:
    row = owner.session()
    made = owner.api.post("groups/", {"name": "Team", "sessions": [str(row.public_id)]}).json()
    WaSenderSession.objects.update(deleted_at="2026-11-01T00:00Z")
    assert owner.api.get(f"groups/{made['id']}/").json()["sessions"] == []
