"""Single messages: one to one person, now."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Readable, Strict, TextFilter, as_time, own_one
from phonebank.whatsappapi.api.carried import MediaIn, MediaOut, read_media
from phonebank.whatsappapi.api.errors import Problem
from phonebank.whatsappapi.models import (
    ApiMessage,
    Attempt,
    Contact,
    Kind,
    SessionGroup,
    WaSenderSession,
)
from phonebank.whatsappapi.models.messages import WORDS, has_word
from phonebank.whatsappapi.services.media import LONGEST
from phonebank.whatsappapi.services.single import in_words, send_single

KINDS = [(Kind.TRANSACTIONAL.value, "expected by the person"), (Kind.TEST.value, "to one of your own numbers")]


class MessageOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    kind = serializers.CharField(source="message.kind")
    phone = serializers.CharField(source="message.phone")
    body = serializers.CharField(source="message.body")
    media = MediaOut(source="message.media", allow_null=True)
    state = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField(help_text="In words")
    session = serializers.SerializerMethodField(help_text="The session that sends it")
    attempts = serializers.IntegerField(source="message.tries")
    created_at = serializers.DateTimeField(source="message.created_at")
    sent_at = serializers.SerializerMethodField()
    delivered_at = serializers.SerializerMethodField()
    read_at = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ChoiceField(WORDS))
    def get_state(self, row: ApiMessage) -> str:
        return row.message.word

    def get_reason(self, row: ApiMessage) -> str:
        return in_words(row.message).reason

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_session(self, row: ApiMessage) -> str | None:
        return str(row.message.session.public_id) if row.message.session else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_sent_at(self, row: ApiMessage) -> str | None:
        return _first(row, "sent_at")

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_delivered_at(self, row: ApiMessage) -> str | None:
        return _first(row, "delivered_at")

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_read_at(self, row: ApiMessage) -> str | None:
        return _first(row, "read_at")


def _first(row: ApiMessage, what: str) -> str | None:
    times = [getattr(attempt, what) for attempt in row.message.attempts.all()]
    return as_time(min(filter(None, times), default=None))


class MessageIn(Strict):
    body = serializers.CharField(
        max_length=LONGEST, default="", allow_blank=True, trim_whitespace=False, help_text="Empty only beside media"
    )
    media = MediaIn(required=False)
    kind = serializers.ChoiceField(KINDS, default=Kind.TRANSACTIONAL.value)
    phone = serializers.CharField(
        max_length=40, required=False, min_length=1, trim_whitespace=False, help_text="Either this or `contact`"
    )
    contact = serializers.UUIDField(required=False, help_text="Either this or `phone`")
    session = serializers.UUIDField(required=False, help_text="Left out, with `group` too: the one used longest ago")
    group = serializers.UUIDField(required=False, help_text="The one of these sessions used longest ago")


class MessageFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=[(word, word) for word in WORDS], method="in_state")
    phone = TextFilter(field_name="message__phone", max_length=20)

    def in_state(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(has_word(value, "message__"))


class Messages(ApiViewSet, Readable):
    """Single messages that programs sent: orders, codes, appointments; never advertising. They need consent too."""

    model = ApiMessage
    serializer_class = MessageOut
    filterset_class = MessageFilter
    inputs = {"create": MessageIn}
    error_fields = {"phone": "phone", "body": "body", "no_consent": "phone", "opted_out": "phone", "not_own": "phone",
                    "media": "media"}  # fmt: skip
    # Refused here, before any gateway was asked.
    error_statuses = {"not_connected": 409, "limit_reached": 409, "no_session": 409}
    sorts = {"created_at": "message_id"}

    def rows(self) -> QuerySet[ApiMessage]:
        attempts = Prefetch("message__attempts", Attempt.objects.order_by("started_at"))
        rows = ApiMessage.objects.visible_to(self.request.user).select_related("message__session")
        return rows.filter(message__user=self.request.user).prefetch_related(attempts)

    @extend_schema(responses={201: MessageOut})
    def create(self, request: Request) -> Response:
        """Queues a message. Without an Idempotency-Key, whoever repeats a request may write to the person twice."""
        data, user = self.read(), request.user
        for one, other in (("phone", "contact"), ("session", "group")):
            if one in data and other in data:
                raise Problem(422, "either_or", f"Name a {one} or a {other}, not both. Nothing was sent.", other)
        if "phone" not in data and "contact" not in data:
            raise Problem(422, "nobody", "Say to whom: a phone or a contact. Nothing was sent.", "phone")
        sender = self._sender(data)
        with transaction.atomic():
            message = send_single(
                actor=user,
                kind=data["kind"],
                body=data["body"],
                phone=data.get("phone", ""),
                contact=own_one(Contact.objects.visible_to(user), data["contact"]) if "contact" in data else None,
                **sender,
                media=read_media(user, data.get("media")),
            )
            made = ApiMessage.objects.create(user=user, message=message)
        response = self.show(self.rows().get(pk=made.pk), 201)
        response["Location"] = reverse("api:messages-detail", args=[made.pk])
        return response

    def _sender(self, data: dict[str, Any]) -> dict[str, Any]:
        """Outside of the transaction: what is recorded of a refusal stays."""
        user = self.request.user
        noted = {"actor": user, "into": "a message"}
        if "session" in data:
            return {"wa_session": own_one(WaSenderSession.objects.usable_by(user), data["session"], **noted)}
        if "group" in data:
            return {"group": own_one(SessionGroup.objects.visible_to(user), data["group"], **noted)}
        return {}
