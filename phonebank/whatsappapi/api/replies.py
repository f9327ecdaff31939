"""What people write, and answers to it."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, FlagFilter, Readable, Strict, TextFilter
from phonebank.whatsappapi.api.carried import MediaIn, read_media
from phonebank.whatsappapi.api.errors import Problem
from phonebank.whatsappapi.api.messages import MessageOut
from phonebank.whatsappapi.models import ApiMessage, Conversation, InboundMessage
from phonebank.whatsappapi.services import replies as service
from phonebank.whatsappapi.services.media import LONGEST


class ReplyOut(serializers.Serializer):
    id = serializers.SerializerMethodField()
    conversation = serializers.UUIDField(source="conversation.public_id")
    session = serializers.UUIDField(source="session.public_id")
    contact = serializers.UUIDField(source="contact.public_id", default=None, allow_null=True)
    campaign = serializers.UUIDField(
        source="campaign.public_id", default=None, allow_null=True, help_text="What this session last wrote to them in"
    )
    phone = serializers.CharField(help_text="Empty while WhatsApp hides it")
    name = serializers.CharField(help_text="As they call themselves")
    text = serializers.CharField()
    media = serializers.CharField(help_text="What came with it, in a word; empty for nothing")
    written_at = serializers.DateTimeField(source="at")

    @extend_schema_field(serializers.UUIDField())
    def get_id(self, row: InboundMessage) -> str:
        return str(uuid.uuid5(row.session.public_id, row.key_id))


class ReplyFilter(filters.FilterSet):
    session = filters.UUIDFilter(field_name="session__public_id")
    campaign = filters.UUIDFilter(field_name="campaign__public_id")
    phone = TextFilter(field_name="phone", max_length=20)


class Replies(ApiViewSet):
    """What people wrote, the latest first."""

    model = InboundMessage
    serializer_class = ReplyOut
    filterset_class = ReplyFilter
    sorts = {"received_at": "received_at"}
    default_sort = "-received_at"

    def rows(self) -> QuerySet[InboundMessage]:
        rows = InboundMessage.objects.filter(user=self.request.user, conversation__isnull=False)
        rows = rows.filter(session__deleted_at=None).annotate(at=Coalesce("sent_at", "received_at"))
        return rows.select_related("conversation", "session", "contact", "campaign")


class ConversationOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    session = serializers.UUIDField(source="session.public_id")
    contact = serializers.UUIDField(source="contact.public_id", default=None, allow_null=True)
    campaign = serializers.UUIDField(source="campaign_ref", allow_null=True, help_text="Of their last message")
    phone = serializers.CharField(help_text="Empty while WhatsApp hides it: then it cannot be answered")
    name = serializers.CharField()
    unread = serializers.IntegerField()
    last_text = serializers.CharField(help_text="Its first 200 characters")
    last_media = serializers.CharField()
    last_at = serializers.DateTimeField()


class ConversationFilter(filters.FilterSet):
    session = filters.UUIDFilter(field_name="session__public_id")
    phone = TextFilter(field_name="phone", max_length=20)
    unread = FlagFilter(method="is_unread")

    def is_unread(self, rows: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        return rows.filter(unread__gt=0) if value else rows.filter(unread=0)


class EntryOut(serializers.Serializer):
    at = serializers.DateTimeField()
    is_ours = serializers.BooleanField()
    text = serializers.CharField()
    media = serializers.CharField(source="carried", help_text="In a word; empty for nothing")
    state = serializers.CharField(source="word.word", default=None, allow_null=True, help_text="Of ours, in a word")
    kind = serializers.CharField(help_text="Of ours")
    campaign = serializers.UUIDField(source="campaign.public_id", default=None, allow_null=True)


class ThreadOut(serializers.Serializer):
    earlier = serializers.DateTimeField(allow_null=True, help_text="As `before` it brings what is older")
    results = EntryOut(many=True, source="entries")


class AnswerIn(Strict):
    body = serializers.CharField(
        max_length=LONGEST, default="", allow_blank=True, trim_whitespace=False, help_text="Empty only beside media"
    )
    media = MediaIn(required=False)


BEFORE = OpenApiParameter("before", {"type": "string", "minLength": 1}, description="See `earlier`.")


class Conversations(ApiViewSet, Readable):
    """A person with one of the sessions. Answers leave from that session, and only to who wrote first."""

    model = Conversation
    serializer_class = ConversationOut
    filterset_class = ConversationFilter
    inputs = {"answer": AnswerIn}
    queries = {"messages": frozenset({"before"})}
    error_fields = {"body": "body", "media": "media"}
    # Refused here, before any gateway was asked.
    error_statuses = {"not_connected": 409, "limit_reached": 409}
    sorts = {"last_at": "last_at"}
    default_sort = "-last_at"

    def rows(self) -> QuerySet[Conversation]:
        return service.find_conversations(self.request.user)

    @extend_schema(responses=ThreadOut, parameters=[BEFORE])
    @action(detail=True, methods=["get"], filterset_class=None)
    def messages(self, request: Request, id: uuid.UUID) -> Response:
        """What was written both ways, the last fifty in time order. Does not count as reading it."""
        text = request.query_params.get("before")
        before = _moment(text) if text is not None else None
        return Response(ThreadOut(service.thread(self.get_object(), self.request.user, before)).data)

    @extend_schema(responses={201: MessageOut})
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, id: uuid.UUID) -> Response:
        """Queues an answer; what becomes of it is under messages/. What they wrote counts as read."""
        row, data = self.get_object(), self.read()
        with transaction.atomic():
            message = service.answer(
                actor=request.user,
                conversation=row,
                body=data["body"],
                media=read_media(request.user, data.get("media")),
            )
            made = ApiMessage.objects.create(user=request.user, message=message)
        response = Response(MessageOut(made).data, status=201)
        response["Location"] = reverse("api:messages-detail", args=[made.pk])
        return response

    @action(detail=True, methods=["post"], url_path="read")
    def mark_read(self, request: Request, id: uuid.UUID) -> Response:
        """Counts what they wrote as read."""
        row, _ = self.get_object(), self.read()
        service.mark_read(actor=request.user, conversation=row)
        return self.show_again()


def _moment(text: str) -> Any:
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Problem(422, "before", "A time as in `earlier`, with its zone.", "before")
    return found
