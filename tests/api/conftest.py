from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone

from phonebank.accounts.api_tokens import create_token
from phonebank.accounts.models import User
from phonebank.whatsappapi.models import (
    Alert,
    ApiMessage,
    BulkAction,
    BulkResult,
    Conversation,
    Delivery,
    InboundMessage,
    Incident,
    MediaFile,
    Message,
    MessageTemplate,
    SessionGroup,
    SessionShare,
    SessionTemplate,
    Suppression,
    TemplatedSession,
    WaSenderSession,
)
from phonebank.whatsappapi.services import channels
from phonebank.whatsappapi.services.channels import settings_of
from tests.accounts.conftest import plans
from tests.services.conftest import _sandbox, sandbox
from tests.views.conftest import Desk

__all__ = ["_sandbox", "plans", "sandbox"]
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40


class Form(bytes):
    """A body of parts: `Form.of(file=("a.png", b"..."), kind="image")`."""

    kind = "multipart/form-data; boundary=part"

    @classmethod
    def of(cls, **parts: str | tuple[str, bytes]) -> Form:
        out = b""
        for name, value in parts.items():
            file, content = value if isinstance(value, tuple) else ("", value.encode())
            head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file else "")
            out += f"--part\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
        return cls(out + b"--part--\r\n")


class Api:
    """A program that asks: by token, by login, or as nobody."""

    def __init__(self, token: str = "", user: User | None = None) -> None:
        self.client = Client(raise_request_exception=True)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        if user is not None:
            self.client.force_login(user)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """`path` below /api/. The answer, which is JSON or nothing."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = named.pop("Content-Type", getattr(body, "kind", "application/json"))
        answer = self.client.generic(method, f"/api/{path}", data, kind, headers=self.headers | named)
        if answer.status_code != 204 and method != "HEAD":
            assert answer["Content-Type"] in ("application/json", "image/svg+xml"), answer.content[:200]
        return answer

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, body, **headers)


def token_of(user: User, scope: str = "write") -> str:
    return create_token(actor=user, name=scope, scope=scope, days=None)[1]


class Owner(Desk):
    """A desk with one of everything, and a program with its tokens."""

    def __init__(self, email: str) -> None:
        super().__init__(email)
        self.api = Api(token_of(self.user))
        self.reader = Api(token_of(self.user, "read"))

    def message(self, wa_session: WaSenderSession) -> ApiMessage:
        """A single message that a program sent."""
        sent = Message.objects.create(
            user=self.user, session=wa_session, phone="+12125550198", kind="transactional", state="queued", body="Hi"
        )
        return ApiMessage.objects.create(user=self.user, message=sent)

    def conversation(self, wa_session: WaSenderSession) -> Conversation:
        """Somebody wrote to the session."""
        found = Conversation.objects.create(
            user=self.user, session=wa_session, person="+12125550197", phone="+12125550197", last_at=timezone.now()
        )
        InboundMessage.objects.create(
            user=self.user, session=wa_session, key_id="3EB0", phone=found.phone, text="Hello", conversation=found
        )
        return found

    def invitation(self) -> SessionShare:
        """Somebody else wants to share a session."""
        EmailAddress.objects.create(user=self.user, email=self.user.email, verified=True)
        theirs = Desk(f"lends.{self.user.email}").session("Lent")
        return SessionShare.objects.create(session=theirs, email=self.user.email)

    def alarmed(self, wa_session: WaSenderSession) -> dict[str, Any]:
        """An incident that was told on a channel as a rule says."""
        settings_of(self.user)
        channel = channels.add(actor=self.user, kind="mail", name="Desk", address="desk@example.org")
        now = timezone.now()
        incident = Incident.objects.create(user=self.user, kind="lost", size=1, opened_at=now, last_at=now)
        Alert.objects.create(user=self.user, session=wa_session, key="lost:0", text="Down.", incident=incident)
        delivery = Delivery.objects.create(channel=channel, incident=incident, event="opened", state="sent", due_at=now)
        rule = channels.save_rule(actor=self.user, rule=None, name="R", kinds=["lost"], channels=[channel])
        return {"incidents": incident, "channels": channel, "deliveries": delivery, "alert-rules": rule}

    def furnish(self) -> dict[str, Any]:
        """One of each thing that an address may name, by the first word of the address."""
        campaign = self.campaign(2, state="draft")
        wa_session = self.session()
        group = SessionGroup.objects.create(user=self.user, name="Team")
        group.sessions.add(wa_session)
        template = SessionTemplate.objects.create(user=self.user, name="Shops")
        TemplatedSession.objects.create(session=wa_session, template=template)
        bulk = BulkAction.objects.create(user=self.user, verb="connect", total=1)
        BulkResult.objects.create(action=bulk, session=wa_session, name="Desk", position=0)
        return {
            "sessions": wa_session,
            "accounts": self.account,
            "groups": group,
            "bulk-actions": bulk,
            "campaigns": campaign,
            "lists": campaign.contact_list,
            "contacts": campaign.contact_list.contacts.first(),
            "messages": self.message(wa_session),
            "conversations": self.conversation(wa_session),
            "session-templates": template,
            "templates": MessageTemplate.objects.create(user=self.user, name="Opening", body="We are open"),
            "media": MediaFile.objects.create(
                user=self.user, kind="image", mime="image/png", name="a.png", size=8, digest=b"d" * 32, content=PNG
            ),
            "suppressions": Suppression.objects.create(user=self.user, phone="+12125550199"),
            "shares": SessionShare.objects.create(session=wa_session, email="friend@example.org"),
            "invitations": self.invitation(),
            **self.alarmed(wa_session),
        }


@pytest.fixture
def make_owner(plans: None) -> Callable[[str], Owner]:
    return Owner


@pytest.fixture
def owner(plans: None) -> Owner:
    return Owner("ana@example.org")


@pytest.fixture
def other(plans: None) -> Owner:
    return Owner("charlie@example.org")


@pytest.fixture
def nobody() -> Api:
    return Api()
