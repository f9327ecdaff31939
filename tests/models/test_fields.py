from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import WaSenderSession
from phonebank.whatsappapi.models.fields import SecretUnreadable, digest
from tests.models.conftest import make


def stored(session: WaSenderSession, column: str = "api_key") -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM whatsappapi_wasendersession WHERE id = %s", [session.pk])
        return str(cursor.fetchone()[0])


def test_the_table_holds_ciphertext_only(user: User) -> None:
    session = make(user, "Desk", api_key="wa-secret-0815", webhook_secret="hook-4711")
    for column in ("api_key", "webhook_secret", "webhook_token"):
        text = stored(session, column)
        assert text.startswith("gAAAA") and "secret-0815" not in text and "hook-4711" not in text
    session.refresh_from_db()
    assert (session.api_key, session.webhook_secret) == ("wa-secret-0815", "hook-4711")
    first = stored(session)
    session.save()
    assert stored(session) != first  # no two ciphertexts of one secret are alike


def test_nothing_is_kept_as_nothing(user: User) -> None:
    assert stored(make(user, "Desk", api_key="")) == ""
    assert WaSenderSession.objects.get().api_key == ""


def test_only_whether_there_is_one_can_be_asked_for(user: User) -> None:
    make(user, "Desk", api_key="secret")
    assert WaSenderSession.objects.filter(api_key__isnull=False).exists()
    with pytest.raises(TypeError, match="digest"):
        WaSenderSession.objects.filter(api_key="secret")


def test_a_wrong_key_raises_and_never_hands_out_the_ciphertext(user: User, settings: Any) -> None:
    session = make(user, "Desk", api_key="secret")
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(SecretUnreadable) as caught:
        WaSenderSession.objects.get(pk=session.pk)
    assert "gAAAA" not in str(caught.value) and "FIELD_ENCRYPTION_KEYS" in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(SecretUnreadable):
        list(WaSenderSession.objects.values_list("api_key", flat=True))


def test_what_is_no_ciphertext_is_refused_too(user: User) -> None:
    session = make(user, "Desk")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE whatsappapi_wasendersession SET api_key = 'plain' WHERE id = %s", [session.pk])
    with pytest.raises(SecretUnreadable):
        WaSenderSession.objects.get(pk=session.pk)


def test_keys_rotate_with_two_of_them(user: User, settings: Any) -> None:
    old, new = settings.FIELD_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    session = make(user, "Desk", api_key="secret")
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert WaSenderSession.objects.get(pk=session.pk).api_key == "secret"
    WaSenderSession.objects.get(pk=session.pk).save()  # written with the first
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert WaSenderSession.objects.get(pk=session.pk).api_key == "secret"
    settings.FIELD_ENCRYPTION_KEYS = [old]
    with pytest.raises(SecretUnreadable):
        WaSenderSession.objects.get(pk=session.pk)


@pytest.mark.parametrize("lookup", ["api_key", "api_key__exact", "api_key__contains", "api_key__in", "api_key__gt"])
def test_it_cannot_be_filtered_by(user: User, lookup: str) -> None:
    value = ["secret"] if lookup.endswith("in") and "contain" not in lookup else "secret"
    with pytest.raises(TypeError, match="digest"):
        WaSenderSession.objects.filter(**{lookup: value}).exists()


def test_a_digest_finds_it_instead(user: User) -> None:
    session = make(user, "Desk", api_key="")
    session.set_api_key("first")
    session.save()
    assert WaSenderSession.objects.get(api_key_digest=digest("first")) == session
    assert session.key_version == 1 and session.previous_key_digest == ""
    session.set_api_key("first")
    assert session.key_version == 1
    session.set_api_key("second")
    assert session.key_version == 2 and session.previous_key_digest == digest("first") and session.previous_key_until
    assert digest("") == ""
