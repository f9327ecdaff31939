from __future__ import annotations

import io
import json
import uuid
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.db import OperationalError
from django.test import RequestFactory

from phonebank.accounts.models import Plan, User
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession, WebhookEvent
from phonebank.whatsappapi.services import intake
from phonebank.whatsappapi.views import webhook as module
from phonebank.whatsappapi.views.webhook import webhook

pytestmark = pytest.mark.django_db
SECRET = "c0ffee" * 5 + "00"
BODY = json.dumps({"event": "session.status", "data": {"status": "need_scan"}, "timestamp": 1_790_000_000_000}).encode()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gate", module._Gate())
    monkeypatch.setattr(intake, "_backlog", intake._Backlog())


@pytest.fixture
def row() -> WaSenderSession:
    Plan.objects.get_or_create(slug="free", defaults={"name": "Free", "max_sessions": 1})
    user = User.objects.create_user("owner@example.org", plan="free")
    account = GatewayAccount.objects.create(user=user, name="Box", base_url="http://127.0.0.1:9/api", token="1|x")
    session = WaSenderSession(user=user, account=account, session_name="Desk", phone_number="+12125550101")
    session.set_webhook_secret(SECRET)
    session.save()
    return session


def post(row: WaSenderSession, body: bytes = BODY, *, method: str = "post", token: str = "", **meta: Any) -> Any:
    meta = {"HTTP_X_WEBHOOK_SIGNATURE": SECRET, "content_type": "application/json"} | meta
    if method in ("get", "head"):
        meta.pop("content_type")
        request = getattr(RequestFactory(), method)("/", **meta)
    else:
        request = getattr(RequestFactory(), method)("/", body, **meta)
    return webhook(request, user_id=meta.get("user_id", row.user.public_id), token=token)


def test_a_good_delivery_is_kept_and_answered_with_an_empty_object(row: WaSenderSession) -> None:
    for _ in range(2):
        answer = post(row)
        assert answer.status_code == 200 and answer.content == b"{}"
    assert WebhookEvent.objects.get().session == row
    assert post(row, token=row.webhook_token).status_code == 200
    assert post(row, token="wrong").status_code == 401


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
def test_only_post(row: WaSenderSession, method: str) -> None:
    answer = post(row, method=method)
    assert answer.status_code == 405 and answer["Allow"] == "POST" and not WebhookEvent.objects.exists()


def test_the_wrong_secret_and_an_unknown_user_look_alike(row: WaSenderSession) -> None:
    answers = [post(row, HTTP_X_WEBHOOK_SIGNATURE="x"), post(row, user_id=uuid.uuid4()), post(row, token="x")]
    assert {(one.status_code, one.content) for one in answers} == {(401, answers[0].content)}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"CONTENT_LENGTH": str(1024 * 1024 + 1)}, 413),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "multipart/form-data; boundary=x"}, 415),
        ({"content_type": "text/plain"}, 200),
        ({"content_type": ""}, 200),
        ({"HTTP_CONTENT_ENCODING": "identity"}, 200),
    ],
)
def test_what_cannot_be_read_is_refused_unread(row: WaSenderSession, change: dict[str, Any], status: int) -> None:
    assert post(row, **change).status_code == status
    assert WebhookEvent.objects.count() == (status == 200)


def test_a_longer_body_than_announced_is_not_swallowed(row: WaSenderSession, settings: Any) -> None:
    settings.WEBHOOK_MAX_BYTES = 10
    assert post(row).status_code == 413


def test_an_empty_body_is_never_answered_200(row: WaSenderSession) -> None:
    assert post(row, b"").status_code == 400


def test_a_chunked_body_is_read_to_its_end_or_refused(row: WaSenderSession, settings: Any) -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    assert post(row, b"", **chunked).status_code == 411
    ended = chunked | {"wsgi.input_terminated": True}
    assert post(row, b"", **ended | {"wsgi.input": Drip(BODY)}).status_code == 200
    assert json.loads(bytes(WebhookEvent.objects.get().body)) == json.loads(BODY)
    assert post(row, b"", **ended | {"wsgi.input": Drip(b"")}).status_code == 400
    settings.WEBHOOK_MAX_BYTES = 10
    assert post(row, b"", **ended | {"wsgi.input": Drip(BODY)}).status_code == 413


class Drip(io.BytesIO):
    """Gives few bytes at a time, as a socket does."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 7, 7))


def test_a_body_that_breaks_off(row: WaSenderSession) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("reset")

    assert post(row, b"", CONTENT_LENGTH="100", **{"wsgi.input": Broken()}).status_code == 400


def test_a_body_that_is_shorter_than_announced_is_not_kept(row: WaSenderSession) -> None:
    answer = post(row, CONTENT_LENGTH=str(len(BODY) + 1), **{"wsgi.input": io.BytesIO(BODY)})
    assert answer.status_code == 400 and json.loads(answer.content) == {"error": "The body broke off."}
    assert not WebhookEvent.objects.exists()


def test_guessing_is_slowed_without_the_database(
    row: WaSenderSession, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(row).status_code == 200
    codes = [post(row, HTTP_X_WEBHOOK_SIGNATURE=f"guess {n}").status_code for n in range(20)]
    assert set(codes) == {401}
    with django_assert_num_queries(0):
        answer = post(row, HTTP_X_WEBHOOK_SIGNATURE="one more")
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 0
    assert post(row).status_code == 200  # known to be right
    assert post(row, HTTP_X_WEBHOOK_SIGNATURE="x", REMOTE_ADDR="192.0.2.7").status_code == 401
    later = module.time.monotonic() + module.WRONG_WINDOW + 1
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    assert post(row, HTTP_X_WEBHOOK_SIGNATURE="x").status_code == 401


def test_of_very_many_sources_the_oldest_are_forgotten(row: WaSenderSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOURCES_MAX", 2)
    monkeypatch.setattr(module, "WRONG_MAX", 1)

    def guess(source: int) -> int:
        return post(row, HTTP_X_WEBHOOK_SIGNATURE="x", REMOTE_ADDR=f"192.0.2.{source}").status_code

    assert [guess(source) for source in (1, 2, 2, 1)] == [401, 401, 429, 429]
    assert [guess(source) for source in (3, 3, 2, 1)] == [401, 429, 429, 401]


def test_behind_a_proxy_the_source_is_what_the_proxy_saw(row: WaSenderSession, settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    for n in range(21):
        answer = post(row, HTTP_X_WEBHOOK_SIGNATURE=f"g{n}", HTTP_X_FORWARDED_FOR=f"10.0.0.{n}, 192.0.2.9")
    assert answer.status_code == 429
    assert post(row, HTTP_X_WEBHOOK_SIGNATURE="g", HTTP_X_FORWARDED_FOR="192.0.2.10").status_code == 401


def test_a_database_in_trouble_asks_to_come_back(row: WaSenderSession, monkeypatch: pytest.MonkeyPatch) -> None:
    def receive(deliveries: list[intake.Delivery]) -> list[intake.Answer]:
        raise OperationalError("disk full")

    monkeypatch.setattr(intake, "receive", receive)
    answer = post(row)
    assert answer.status_code == 503 and int(answer["Retry-After"]) > 0


def test_a_full_inbox_asks_to_come_back(row: WaSenderSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BACKLOG_MAX", 0)
    assert post(row).status_code == 200
    monkeypatch.setattr(intake, "_backlog", intake._Backlog())
    answer = post(row, BODY + b" ")
    assert answer.status_code == 503 and int(answer["Retry-After"]) > 0


# --- the way in before Django -----------------------------------------------------------------------------------------


def environ_of(row: WaSenderSession, body: Any) -> dict[str, Any]:
    """A request as a WSGI server hands it over."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": f"/whatsappapi/webhook/{row.user.public_id}/", "wsgi.input": body,
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(BODY)), module.SIGNATURE: SECRET,
    }  # fmt: skip
    setup_testing_defaults(environ)
    return environ


def elsewhere(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return [b"not ours"]


@pytest.mark.django_db(transaction=True)  # it closes old connections
@pytest.mark.parametrize(("secret", "status", "said"), [(SECRET, "200 OK", {}), ("x", "401 Unauthorized", None)])
def test_the_door_is_a_wsgi_application(row: WaSenderSession, secret: str, status: str, said: Any) -> None:
    begun: list[Any] = []
    environ = environ_of(row, io.BytesIO(BODY)) | {module.SIGNATURE: secret}
    [body] = module.Door(elsewhere)(environ, lambda *what: begun.append(what))
    [(line, headers)] = begun
    assert line == status and dict(headers)["Content-Length"] == str(len(body))
    assert dict(headers)["Content-Type"] == "application/json" and (said is None or json.loads(body) == said)
    assert WebhookEvent.objects.count() == (secret == SECRET)
    assert module.Door(elsewhere)({"PATH_INFO": "/"}, lambda *what: begun.append(what)) == [b"not ours"]


@pytest.mark.django_db(transaction=True)
def test_when_one_request_breaks_the_door_all_that_came_with_it_come_again(
    row: WaSenderSession, caplog: pytest.LogCaptureFixture
) -> None:
    broken = io.BytesIO(BODY)
    broken.close()  # reading it is a ValueError
    told = module.Door(elsewhere).answer([environ_of(row, io.BytesIO(BODY)), environ_of(row, broken)])
    assert len(told) == 2 and not WebhookEvent.objects.exists()
    for line, headers, body in told:
        assert line == "503 Service Unavailable" and json.loads(body) == {"error": "Not stored. Try again later."}
        assert int(dict(headers)["Retry-After"]) > 0 and dict(headers)["Content-Length"] == str(len(body))
    assert "webhooks could not be taken in" in caplog.text
    [(line, _, _)] = module.Door(elsewhere).answer([environ_of(row, io.BytesIO(BODY))])
    assert line == "200 OK" and WebhookEvent.objects.count() == 1


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("with_token", [False, True])
def test_both_addresses_in_both_spellings_without_login_or_csrf(
    client: Any, row: WaSenderSession, slash: str, with_token: bool
) -> None:
    client.handler.enforce_csrf_checks = True
    path = f"/whatsappapi/webhook/{row.user.public_id}" + (f"/{row.webhook_token}" if with_token else "") + slash
    headers = {"X-Webhook-Signature": SECRET}
    assert client.post(path, BODY, content_type="application/json", headers=headers).status_code == 200
    assert client.get(path).status_code == 405
