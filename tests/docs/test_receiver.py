"""The receiver of webhooks that the documentation shows takes what we sign, and nothing else."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from phonebank.whatsappapi.models.alerts import new_hook_secret
from phonebank.whatsappapi.services.deliveries import sign
from tests.docs.pages import DOCS, fences

BODY = b'{"type":"test"}'


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of receiver.py, as if it were imported."""
    [shown] = [one for one in fences(DOCS / "webhooks.md") if one.title == "receiver.py"]
    monkeypatch.setenv("WEBHOOK_SECRET", new_hook_secret())
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(shown.text, "receiver.py", "exec"), names)
    return names


def test_it_takes_what_we_sign(receiver: dict[str, Any]) -> None:
    headers = sign(receiver["SECRET"], uuid.uuid4(), int(time.time()), BODY)
    assert receiver["is_genuine"](headers, BODY)
    assert not receiver["is_genuine"](headers, BODY + b" ")
    assert not receiver["is_genuine"](headers | {"webhook-id": "msg_other"}, BODY)
    assert not receiver["is_genuine"]({}, BODY)


def test_a_second_signature_beside_ours_does_no_harm(receiver: dict[str, Any]) -> None:
    headers = sign(receiver["SECRET"], uuid.uuid4(), int(time.time()), BODY)
    assert receiver["is_genuine"](headers | {"webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}, BODY)


@pytest.mark.parametrize("away", [-3600, 3600])
def test_it_refuses_what_is_old_or_ahead(receiver: dict[str, Any], away: int) -> None:
    headers = sign(receiver["SECRET"], uuid.uuid4(), int(time.time()) + away, BODY)
    assert not receiver["is_genuine"](headers, BODY)


def test_it_refuses_another_secret(receiver: dict[str, Any]) -> None:
    assert not receiver["is_genuine"](sign(new_hook_secret(), uuid.uuid4(), int(time.time()), BODY), BODY)
