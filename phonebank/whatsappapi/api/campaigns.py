"""Campaigns: made as drafts, launched, steered, looked at."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Readable, Strict, TextFilter, as_time, own_one
from phonebank.whatsappapi.api.campaign_shapes import RULES, CampaignChange, CampaignIn, CampaignOut
from phonebank.whatsappapi.api.carried import read_media
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignSession,
    ContactList,
    Message,
    WaSenderSession,
)
from phonebank.whatsappapi.models.messages import WORDS, has_word
from phonebank.whatsappapi.services import audience, drafts, runs, senders
from phonebank.whatsappapi.services import campaigns as service
from phonebank.whatsappapi.services.campaigns import progress
from phonebank.whatsappapi.services.media import NO_MEDIA
from phonebank.whatsappapi.services.senders import noting_refusals


class ScheduleIn(Strict):
    at = serializers.DateTimeField()


class LaneIn(Strict):
    session = serializers.UUIDField()


class LaneOut(serializers.Serializer):
    session = serializers.UUIDField(source="wa_session.public_id")
    session_name = serializers.CharField(source="wa_session.session_name")
    total = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField())


class ProgressOut(serializers.Serializer):
    state = serializers.ChoiceField(Campaign.State.choices)
    total = serializers.IntegerField()
    open = serializers.IntegerField(help_text="Not at an end yet")
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="By state; they add up to the total")
    per_minute = serializers.FloatField(source="rate")
    eta = serializers.DateTimeField(allow_null=True)
    why = serializers.CharField(allow_null=True, help_text="What holds it up now, in a sentence")
    sessions = LaneOut(many=True)


class RecipientOut(serializers.Serializer):
    phone = serializers.CharField()
    contact = serializers.SerializerMethodField()
    name = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField()
    reason = serializers.CharField(help_text="Why it was skipped, failed or waits")
    session = serializers.SerializerMethodField(help_text="The session that sent it, or will")
    attempts = serializers.IntegerField(source="tries")
    last_attempt_at = serializers.SerializerMethodField()

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_contact(self, row: Message) -> str | None:
        return str(row.contact.public_id) if row.contact else None

    def get_name(self, row: Message) -> str:
        return row.contact.name if row.contact else ""

    @extend_schema_field(serializers.ChoiceField(WORDS))
    def get_state(self, row: Message) -> str:
        return row.word

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_session(self, row: Message) -> str | None:
        return str(row.session.public_id) if row.session else None

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_last_attempt_at(self, row: Message) -> str | None:
        return as_time(max((attempt.started_at for attempt in row.attempts.all()), default=None))


class CampaignFilter(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=Campaign.State.choices)
    session = filters.UUIDFilter(method="over")
    search = TextFilter(field_name="name", lookup_expr="icontains", max_length=120)

    def over(self, rows: QuerySet[Campaign], name: str, value: uuid.UUID) -> QuerySet[Campaign]:
        return rows.filter(lanes__session=own_one(WaSenderSession.objects.usable_by(self.request.user), value))


class RecipientFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=[(word, word) for word in WORDS], method="in_state")
    session = filters.UUIDFilter(method="by")
    phone = TextFilter(max_length=20)

    def in_state(self, rows: QuerySet[Message], name: str, value: str) -> QuerySet[Message]:
        return rows.filter(has_word(value))

    def by(self, rows: QuerySet[Message], name: str, value: uuid.UUID) -> QuerySet[Message]:
        return rows.filter(session=own_one(WaSenderSession.objects.usable_by(self.request.user), value))


class Campaigns(ApiViewSet, Readable):
    """One message to a list of people over one or more sessions."""

    model = Campaign
    serializer_class = CampaignOut
    filterset_class = CampaignFilter
    inputs = {
        "create": CampaignIn,
        "partial_update": CampaignChange,
        "schedule": ScheduleIn,
        "add_session": LaneIn,
        "remove_session": LaneIn,
    }
    error_statuses = {
        "surplus": 409, "not_linked": 409, "switched_off": 409, "key_refused": 409, "no_audience": 409,
        "nobody": 409, "not_ready": 409,
    }  # fmt: skip
    sorts = {"created_at": "created_at", "name": "name", "state": "state"}

    def rows(self) -> QuerySet[Campaign]:
        lanes = Prefetch("lanes", CampaignSession.objects.filter(is_active=True).select_related("session"))
        rows = Campaign.objects.visible_to(self.request.user)
        return rows.select_related("contact_list").prefetch_related(lanes)

    @property
    def error_fields(self) -> Mapping[str, str]:  # type: ignore[override]
        """Which field of a body a refusal is about."""
        rules = {name: name for name in (*RULES, "audience")}
        return rules | ({"scheduled_at": "at"} if self.action == "schedule" else {})

    @extend_schema(responses={201: CampaignOut})
    def create(self, request: Request) -> Response:
        """Makes a draft. Nothing is sent before POST launch/."""
        data = self.read()
        with noting_refusals(request.user):
            built = self._audience(data)
            chosen = senders.choose(
                actor=request.user, sessions=data.get("sessions", ()), groups=data.get("groups", ())
            )
        people = ContactList.objects.get(pk=built["lists"][0]) if "contact_list" in data else None
        made = service.create_campaign(
            actor=request.user,
            name=data.get("name", ""),
            body=data.get("body", ""),
            wa_sessions=chosen.sessions,
            groups=chosen.groups,
            contact_list=people,
            audience=built,
            **self._changes(data),
        )
        return self._made(made)

    def partial_update(self, request: Request, id: uuid.UUID) -> Response:
        """Changes a draft; of what is under way only the pace."""
        row, data = self.get_object(), self.read()
        if row.state != Campaign.State.DRAFT and set(data) == {"pace"}:
            runs.set_pace(actor=request.user, campaign=row, pace=data["pace"])
            return self.show_again()
        chosen = None
        with noting_refusals(request.user, row):
            changes = self._changes(data) | {name: data[name] for name in ("name", "body") if name in data}
            if "contact_list" in data or "audience" in data:
                changes["audience"] = self._audience(data)
            if "sessions" in data or "groups" in data:
                kept = [lane.session.public_id for lane in row.lanes.all()] if "sessions" not in data else ()
                chosen = senders.choose(
                    actor=request.user, sessions=data.get("sessions", kept), groups=data.get("groups", ())
                )
        drafts.save(actor=request.user, campaign=row, changes=changes, senders=chosen, version=data.get("version"))
        return self.show_again()

    def _audience(self, data: dict[str, Any]) -> dict[str, Any]:
        given = {"lists": [data["contact_list"]]} if "contact_list" in data else data["audience"]
        return audience.build(actor=self.request.user, **given)

    def _changes(self, data: dict[str, Any]) -> dict[str, Any]:
        changes = {name: data[name] for name in RULES if name in data}
        if "media" in data:
            carried = read_media(self.request.user, data["media"])
            changes |= carried.as_fields() if carried else NO_MEDIA
        return changes

    @action(detail=True, methods=["post"])
    def launch(self, request: Request, id: uuid.UUID) -> Response:
        """Starts a draft."""
        return self._move(request, service.launch)

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: uuid.UUID) -> Response:
        """Nothing of it leaves later than a second after the answer."""
        return self._move(request, service.pause)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: uuid.UUID) -> Response:
        """Goes on where it was paused."""
        return self._move(request, service.resume)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: uuid.UUID) -> Response:
        """Ends it for good; what is under way ends as it ends."""
        return self._move(request, service.cancel)

    @extend_schema(responses=ProgressOut)
    @action(detail=True, methods=["get"])
    def progress(self, request: Request, id: uuid.UUID) -> Response:
        """How it stands, in figures that add up."""
        row = self.get_object()
        found = progress(row)
        names = ("total", "open", "counts", "rate", "eta", "why", "sessions")
        return Response(ProgressOut({"state": row.state, **{name: getattr(found, name) for name in names}}).data)

    @extend_schema(responses=RecipientOut(many=True))
    @action(
        detail=True,
        methods=["get"],
        is_list=True,
        serializer_class=RecipientOut,
        filterset_class=RecipientFilter,
        sorts={"phone": "phone"},
        default_sort="phone",
    )
    def recipients(self, request: Request, id: uuid.UUID) -> Response:
        """Everybody of its audience, and what came of each."""
        rows = Message.objects.filter(campaign=self.get_object()).select_related("contact", "session")
        attempts = Prefetch("attempts", Attempt.objects.only("message_id", "started_at"))
        return self.show_page(rows.prefetch_related(attempts))

    @action(detail=True, methods=["post"])
    def schedule(self, request: Request, id: uuid.UUID) -> Response:
        """Starts a draft at a time."""
        row, data = self.get_object(), self.read()
        runs.schedule(actor=request.user, campaign=row, at=data["at"])
        return self.show_again()

    @action(detail=True, methods=["post"])
    def unschedule(self, request: Request, id: uuid.UUID) -> Response:
        """Makes it a draft again."""
        return self._move(request, runs.unschedule)

    @extend_schema(responses={201: CampaignOut})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, id: uuid.UUID) -> Response:
        """Makes a draft for those whom this campaign could not reach. Whom it skipped on purpose it skips again."""
        return self._copy(request, runs.retry_failed)

    @extend_schema(responses={201: CampaignOut})
    @action(detail=True, methods=["post"])
    def clone(self, request: Request, id: uuid.UUID) -> Response:
        """Makes a draft with the same audience, message, sessions and rules."""
        return self._copy(request, runs.clone)

    @action(detail=True, methods=["post"], url_path="add-session")
    def add_session(self, request: Request, id: uuid.UUID) -> Response:
        """One more session for it; while it runs, the newcomer gets its part of those not yet reached."""
        row, data = self.get_object(), self.read()
        with noting_refusals(request.user, row):
            wa_session = senders.find(actor=request.user, session=data["session"])
        runs.add_session(actor=request.user, campaign=row, wa_session=wa_session)
        return self.show_again()

    @action(detail=True, methods=["post"], url_path="remove-session")
    def remove_session(self, request: Request, id: uuid.UUID) -> Response:
        """One session less; its waiting people go to the others."""
        row, data = self.get_object(), self.read()
        wa_session = own_one(WaSenderSession.objects.filter(lanes__campaign=row), data["session"])
        runs.remove_session(actor=request.user, campaign=row, wa_session=wa_session)
        return self.show_again()

    def _copy(self, request: Request, verb: Callable[..., Any]) -> Response:
        row, _ = self.get_object(), self.read()
        return self._made(verb(actor=request.user, campaign=row))

    def _made(self, made: Campaign) -> Response:
        response = self.show(self.rows().get(pk=made.pk), 201)
        response["Location"] = reverse("api:campaigns-detail", args=[made.public_id])
        return response

    def _move(self, request: Request, verb: Callable[..., Any]) -> Response:
        row, _ = self.get_object(), self.read()
        verb(actor=request.user, campaign=row)
        return self.show_again()
