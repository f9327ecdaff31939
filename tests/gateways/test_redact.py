from __future__ import annotations

import pytest

from phonebank.gateways.redact import redact
from tests.gateways.server import KEY, TOKEN


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"key {KEY}.", "key ***."),
        (f"key {KEY.upper()}.", "key ***."),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer ***"),
        ("bearer abc,", "Bearer ***,"),
        (f"token {TOKEN}", "token ***"),
        (f"token {TOKEN.partition('|')[2]}", "token ***"),
        (f"17%7C{'Ab3' * 14}", "17%***"),
        ("secret fedcba9876543210fedcba9876543210", "secret ***"),
        ("to +12125550123 failed", "to ***0123 failed"),
        ("to 12125550123@s.whatsapp.net", "to ***0123@s.whatsapp.net"),
        ("to +1 (212) 555-0123", "to ***0123"),
        ("to (212) 555-0123", "to ***0123"),
        ("to %2B12125550123", "to %2B***0123"),
        ("at 2026-08-21 10:11:12 HTTP 422", "at 2026-08-21 10:11:12 HTTP 422"),
        ("wait 3600 s", "wait 3600 s"),
        ("", ""),
    ],
)
def test_redacting(text, clean):
    assert redact(text) == clean


def test_named_secrets_and_length():
    assert redact("the word is swordfish", "swordfish", None, "") == "the word is ***"
    assert len(redact("x " * 5000)) == 500
    assert len(redact("+12125550123 " * 5000)) <= 500
