"""Alerts and the care of sessions over the API: what is shown, what is refused, and that no secret leaves twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from phonebank.whatsappapi.models import AlertRule, Channel, Delivery, HealthNote, PhoneLink, Probe, SessionEvent
from phonebank.whatsappapi.services import links
from tests.api.conftest import Owner

pytestmark = pytest.mark.django_db(transaction=True)


def problem(answer: object, status: int) -> tuple[str, str | None]:
    assert answer.status_code == status, answer.text
    [one] = answer.json()["errors"]
    return one["code"], one["attr"]


def test_a_webhook_s_life(owner: Owner) -> None:
    address = "https://hooks.example.org/s3cret-path"
    made = owner.api.post("channels/", {"kind": "webhook", "name": "Ours", "address": address})
    assert made.status_code == 201 and made["Location"].endswith(f"/{made.json()['id']}/")
    secret, one = made.json()["secret"], f"channels/{made.json()['id']}/"
    assert secret.startswith("whsec_") and secret == Channel.objects.get(kind="webhook").secret
    shown = owner.api.get("channels/").text + owner.api.get(one).text + owner.api("PATCH", one, {}).text
    assert "s3cret" not in made.text + shown and secret not in shown
    test = owner.api.post(f"{one}test/")
    assert test.status_code == 202 and (test.json()["event"], test.json()["state"]) == ("test", "waiting")
    replay = f"deliveries/{test.json()['id']}/replay/"
    assert problem(owner.api.post(replay), 409) == ("wrong_state", None)
    Delivery.objects.update(state="failed", tries=3)
    again = owner.api.post(replay).json()
    assert (again["id"], again["state"], again["tries"]) == (test.json()["id"], "waiting", 0)
    assert len(owner.api.get(f"deliveries/?channel={made.json()['id']}&state=waiting").json()["results"]) == 1
    assert owner.api("PATCH", one, {"is_active": False}).json()["is_active"] is False
    assert owner.api("DELETE", one).status_code == 204 and owner.api.get(one).status_code == 404
    [first] = owner.api.get("channels/").json()["results"]
    assert first["is_first"] and problem(owner.api("DELETE", f"channels/{first['id']}/"), 422)[0] == "first"
    for bad in ("http://hooks.example.org/", "https://127.0.0.1/", "https://[::1]/", "nonsense"):
        wrong = owner.api.post("channels/", {"kind": "webhook", "address": bad})
        assert problem(wrong, 422) == ("address", "address"), bad


def test_rules_and_settings(owner: Owner) -> None:
    things = owner.furnish()
    session, group = str(things["sessions"].public_id), str(things["groups"].public_id)
    body = {"name": "Night", "kinds": ["scan", "slowed"], "session": session, "delay": 30}
    made = owner.api.post("alert-rules/", body).json()
    assert made["kinds"] == ["scan", "slowed"] and (made["session"], made["group"]) == (session, None)
    one = f"alert-rules/{made['id']}/"
    changed = owner.api("PATCH", one, {"session": None, "group": group}).json()
    assert changed == made | {"session": None, "group": group}
    assert problem(owner.api("PATCH", one, {"session": session}), 422) == ("scope", "group")
    for bad in ({"kinds": []}, {"kinds": ["nonsense"]}, {"delay": -1}, {"delay": 90_000}, {"cool_down": "5"}, {"x": 1}):
        assert owner.api("PATCH", one, bad).status_code == 400, bad
    assert owner.api.get(one).json() == changed
    assert owner.api("DELETE", one).status_code == 204 and AlertRule.objects.filter(user=owner.user).count() == 2
    assert owner.api.get("alert-settings/").json() == {
        "quiet_from": None, "quiet_until": None, "wants_digest": False,
    }  # fmt: skip
    assert problem(owner.api("PATCH", "alert-settings/", {"quiet_from": 22}), 422) == ("quiet", "quiet_until")
    wanted = {"quiet_from": 22, "quiet_until": 6, "wants_digest": True}
    assert owner.api("PATCH", "alert-settings/", wanted).json() == wanted
    assert owner.api("PATCH", "alert-settings/", {"wants_digest": False}).json() == wanted | {"wants_digest": False}


def test_incidents(owner: Owner) -> None:
    things = owner.furnish()
    [row] = owner.api.get("incidents/?open=true&kind=lost").json()["results"]
    assert row["title"] == f"“{things['sessions'].session_name}” lost its link" and row["acknowledged_at"] is None
    whole = owner.api.get(f"incidents/{row['id']}/").json()
    assert whole["alerts"][0]["session"] == str(things["sessions"].public_id)
    assert owner.api.get("incidents/?open=false").json()["results"] == []
    assert owner.api.get("incidents/?open=maybe").status_code == 400
    taken = owner.api.post(f"incidents/{row['id']}/acknowledge/").json()
    assert taken["acknowledged_at"] and owner.api.post(f"incidents/{row['id']}/acknowledge/").json() == taken


def test_the_care_of_a_session(owner: Owner) -> None:
    row, now = owner.session(status="logged_out", linked_number="+12125550171"), timezone.now()
    one = f"sessions/{row.public_id}/"
    assert owner.api.get(f"{one}health/").json() == {"score": None, "reasons": "", "history": []}
    for days, score in ((1, 80), (20, 60)):
        HealthNote.objects.create(session=row, at=now - timedelta(days=days), score=score, reasons="Why.")
    shown = owner.api.get(f"{one}health/").json()
    assert (shown["score"], shown["reasons"], len(shown["history"])) == (80, "Why.", 1)
    assert len(owner.api.get(f"{one}health/?days=30").json()["history"]) == 2
    assert [owner.api.get(f"{one}health/?days={days}").status_code for days in ("0", "91", "x")] == [400] * 3

    SessionEvent.objects.create(session=row, kind="reconnect", status="connecting", reason="Reconnecting.")
    assert [owner.api.get(f"{one}reconnects/").json()[key] for key in ("is_on",)] == [True]
    off = owner.api("PATCH", f"{one}reconnects/", {"is_on": False}).json()
    assert off["is_on"] is False and off["history"][0]["what"] == "Reconnecting."

    made = owner.api.post(f"{one}phone-links/", {"hours": 2})
    token = made.json()["url"].rstrip("/").rsplit("/", 1)[1]
    assert made.status_code == 201 and links.find(token).session == row
    [link] = owner.api.get(f"{one}phone-links/").json()
    assert link["ended_at"] is None and token not in owner.api.get(f"{one}phone-links/").text
    assert owner.api.post(f"{one}phone-links/", {"hours": 25}).status_code == 400
    assert owner.api("DELETE", f"{one}phone-links/").status_code == 204 and links.find(token) is None
    assert PhoneLink.objects.get().end == "revoked"

    other = owner.session(linked_number="+12125550172")
    on = owner.api("PATCH", f"{one}self-check/", {"partner": str(other.public_id)}).json()
    assert on == {"partner": str(other.public_id), "history": []}
    Probe.objects.create(sender=other, receiver=row, is_heard=True, outcome="good", delivered_after=1.5)
    [checked] = owner.api.get(f"{one}self-check/").json()["history"]
    assert (checked["sender"], checked["delivered_after"]) == (str(other.public_id), 1.5)
    assert problem(owner.api("PATCH", f"{one}self-check/", {"partner": str(row.public_id)}), 422)[0] == "not_own"
    assert owner.api("PATCH", f"{one}self-check/", {"partner": None}).json()["partner"] is None
