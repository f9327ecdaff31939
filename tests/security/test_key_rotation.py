"""All stored secrets move to the first key while everything goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from phonebank.accounts.mfa import MfaAdapter
from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.management.commands import restore
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services import key_rotation
from phonebank.whatsappapi.services.key_rotation import encrypted_fields, rotate_keys
from tests.services.conftest import account, plans, user

__all__ = ["account", "plans", "user"]


@pytest.fixture
def keys(settings: Any) -> tuple[str, str]:
    """Of before and of now."""
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings.FIELD_ENCRYPTION_KEYS = [old]
    return old, new


def fill(user: User, account: GatewayAccount, n: int) -> None:
    WaSenderSession.objects.bulk_create(
        WaSenderSession(
            user=user, account=account, wasender_id=i, session_name=f"S {i}", phone_number=f"+1212556{i:04d}",
            api_key=f"key-{i}", webhook_secret=f"secret-{i}",
        )
        for i in range(n)
    )  # fmt: skip


def stored() -> list[str]:
    """Every ciphertext that there is."""
    found = []
    for model, fields in encrypted_fields():
        with connection.cursor() as cursor:
            for one in fields:
                cursor.execute(f"SELECT {one.column} FROM {model._meta.db_table} WHERE {one.column} <> ''")
                found += [row[0] for row in cursor.fetchall()]
    return found


def under(key: str) -> int:
    """How many of them this key opens."""
    return sum(_opens(Fernet(key), one) for one in stored())


def _opens(fernet: Fernet, text: str) -> bool:
    try:
        fernet.decrypt(text.encode())
    except Exception:
        return False
    return True


def test_every_encrypted_column_is_known() -> None:
    found = {f"{model._meta.model_name}.{one.name}" for model, fields in encrypted_fields() for one in fields}
    assert found >= {
        "wasendersession.api_key", "wasendersession.webhook_secret", "wasendersession.webhook_token",
        "wasendersession.adopted_webhook", "gatewayaccount.token", "channel.address", "channel.secret",
        "digestkey.key", "apianswer.body",
    }  # fmt: skip
    assert {model._meta.pk.get_internal_type() for model, _ in encrypted_fields()} == {"BigAutoField"}


def test_stopped_anywhere_the_next_run_does_the_rest(
    user: User, account: GatewayAccount, keys: tuple[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = keys
    account.save()
    fill(user, account, 25)
    whole = len(stored())
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    monkeypatch.setattr(key_rotation, "BATCH", 10)
    real, batches = key_rotation._batch, 0

    def dies(*args: Any) -> int | None:
        nonlocal batches
        batches += 1
        if batches == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(key_rotation, "_batch", dies)
    with pytest.raises(KeyboardInterrupt):
        rotate_keys()
    assert 0 < under(new) < whole
    monkeypatch.setattr(key_rotation, "_batch", real)
    done = rotate_keys()
    assert sum(one.kept for one in done) > 0
    assert under(new) == whole == len(stored())
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert WaSenderSession.objects.get(session_name="S 7").api_key == "key-7"
    assert sum(one.rewritten for one in rotate_keys()) == 0
    assert Event.objects.filter(verb="installation.keys_rotated").count() == 1


def test_what_no_key_opens_is_left_and_told(
    user: User, account: GatewayAccount, keys: tuple[str, str], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [keys[1]]
    before = stored()
    with pytest.raises(CommandError, match="1 stored secrets fit no key"):
        call_command("rotate_keys")
    assert stored() == before
    call_command("rotate_keys", "--new-key")
    Fernet(capsys.readouterr().out.split()[-1])


def test_what_was_written_by_the_old_key_meanwhile_is_told_by_the_next_run(
    user: User, account: GatewayAccount, keys: tuple[str, str], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a process that was not restarted: whoever looks for zeros does not lock the secret away."""
    old, new = keys
    account.save()
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    call_command("rotate_keys")
    assert "run this again" in capsys.readouterr().out
    settings.FIELD_ENCRYPTION_KEYS = [old]
    Authenticator.objects.create(user=user, type="totp", data={"secret": MfaAdapter().encrypt("ABC")})
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    call_command("rotate_keys")
    told = capsys.readouterr().out
    assert "mfa_authenticator: 1 written anew" in told and "run this again" in told
    call_command("rotate_keys")
    told = capsys.readouterr().out
    assert "1 written anew" not in told and "run this again" not in told
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert MfaAdapter().decrypt(Authenticator.objects.get().data["secret"]) == "ABC"


def test_a_backup_from_the_midst_of_it_needs_both_keys(
    user: User, account: GatewayAccount, keys: tuple[str, str], settings: Any
) -> None:
    """A restore says so before anybody is let in."""
    old, new = keys
    account.save()
    fill(user, account, 3)
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    WaSenderSession.objects.get(wasender_id=2).save(update_fields=["api_key"])
    assert under(old) and under(new) and restore._keys_fit()
    for alone in (old, new):
        settings.FIELD_ENCRYPTION_KEYS = [alone]
        assert not restore._keys_fit()
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    rotate_keys()
    Authenticator.objects.create(user=user, type="totp", data={"secret": Fernet(old).encrypt(b"ABC").decode()})
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert not restore._keys_fit()


@pytest.mark.django_db(transaction=True)
def test_nobody_notices_while_it_runs(
    user: User, account: GatewayAccount, keys: tuple[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else reads and changes secrets all the time, and no reading fails, no change is lost."""
    old, new = keys
    account.save()
    fill(user, account, 300)
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    monkeypatch.setattr(key_rotation, "BATCH", 20)
    wrong: list[str] = []
    over, began = threading.Event(), threading.Event()

    def live() -> None:
        turn = 0
        try:
            while not over.is_set() or turn < 20:
                one = WaSenderSession.objects.get(session_name=f"S {turn * 7 % 300}")
                if one.webhook_secret != f"secret-{one.wasender_id}":
                    wrong.append(one.session_name)
                one.set_api_key(f"turn-{turn}")
                one.save(update_fields=["api_key", "api_key_digest"])
                if WaSenderSession.objects.get(pk=one.pk).api_key != f"turn-{turn}":
                    wrong.append(f"lost {turn}")
                turn += 1
                began.set()
        except Exception as error:
            wrong.append(repr(error))
        finally:
            began.set()
            connection.close()

    thread = threading.Thread(target=live)
    thread.start()
    assert began.wait(20)
    rotate_keys()
    over.set()
    thread.join(20)
    assert wrong == [] and not thread.is_alive()
    assert under(new) == len(stored())
