"""Incidents, who is told of them and how, and what came of telling them."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, FlagFilter, Readable, Strict, own, own_one
from phonebank.whatsappapi.models import (
    AlertKind,
    AlertRule,
    AlertSettings,
    Channel,
    Delivery,
    Incident,
    SessionGroup,
    WaSenderSession,
)
from phonebank.whatsappapi.services import channels as service
from phonebank.whatsappapi.services import incidents

KINDS = [*AlertKind.values]
LONGEST_WAIT, LONGEST_PAUSE = 86_400, 10_080  # seconds; minutes
MEMBERS = 200  # of an incident, shown with it


# --- incidents --------------------------------------------------------------------------------------------------------


class IncidentOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    kind = serializers.ChoiceField(KINDS)
    title = serializers.SerializerMethodField(help_text="What happened, for people")
    size = serializers.IntegerField(help_text="Alerts of one cause in it")
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    acknowledged_at = serializers.DateTimeField(allow_null=True)

    def get_title(self, row: Incident) -> str:
        """Of a page they are made together (`Incidents.list`)."""
        titles: dict[int, str] = self.context.get("titles", {})
        return titles.get(row.pk) or incidents.in_words([row])[0].title


class AlertOut(serializers.Serializer):
    session = serializers.UUIDField(source="session.public_id", allow_null=True, default=None)
    text = serializers.CharField()
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


class IncidentWhole(IncidentOut):
    alerts = serializers.SerializerMethodField(help_text=f"The {MEMBERS} that last first")

    @extend_schema_field(AlertOut(many=True))
    def get_alerts(self, row: Incident) -> Any:
        return AlertOut(incidents.members(row)[:MEMBERS], many=True).data


class IncidentFilter(filters.FilterSet):
    kind = filters.MultipleChoiceFilter(choices=AlertKind.choices)
    open = FlagFilter(method="by_open", help_text="Whether it lasts")

    def by_open(self, rows: QuerySet[Incident], name: str, value: bool) -> QuerySet[Incident]:
        return rows.filter(closed_at__isnull=value)


class Incidents(ApiViewSet):
    """What went wrong, one for one cause however many sessions it hit."""

    model = Incident
    serializer_class = IncidentOut
    filterset_class = IncidentFilter
    sorts = {"opened_at": "opened_at"}
    default_sort = "-opened_at"

    def rows(self) -> QuerySet[Incident]:
        return Incident.objects.visible_to(self.request.user)

    def show_page(self, rows: QuerySet[Incident]) -> Response:
        page = self.paginate_queryset(self.filter_queryset(rows))
        titles = {one.incident.pk: one.title for one in incidents.in_words(page)}
        shown = IncidentOut(page, many=True, context={"titles": titles})
        return self.get_paginated_response(shown.data)

    @extend_schema(responses=IncidentWhole)
    def retrieve(self, request: Request, id: uuid.UUID) -> Response:
        return Response(IncidentWhole(self.get_object()).data)

    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, id: uuid.UUID) -> Response:
        """You look after it: it leaves the bell, and nobody else is told of it any more."""
        self.read()
        incidents.acknowledge(actor=request.user, incident=self.get_object())
        return self.show_again()


def _furnish(view: ApiViewSet) -> None:
    """Whoever asks for the first time finds the channel and the rule that everybody begins with."""
    if view.action == "list":
        service.settings_of(view.request.user)


# --- channels ---------------------------------------------------------------------------------------------------------


class ChannelOut(serializers.Serializer):
    """Its address is never shown again."""

    id = serializers.UUIDField(source="public_id")
    kind = serializers.ChoiceField(Channel.Kind.choices)
    name = serializers.CharField()
    hint = serializers.CharField(help_text="What of its address may be shown")
    is_first = serializers.BooleanField(help_text="Your own e-mail; it cannot be removed")
    is_active = serializers.BooleanField()
    failures = serializers.IntegerField(help_text="Messages given up in a row")
    created_at = serializers.DateTimeField()


class ChannelMade(ChannelOut):
    secret = serializers.CharField(help_text="Signs a webhook; shown this once. Empty for other kinds")


class ChannelIn(Strict):
    kind = serializers.ChoiceField(Channel.Kind.choices)
    name = serializers.CharField(max_length=60, default="", allow_blank=True, trim_whitespace=False)
    address = serializers.CharField(
        max_length=1000, min_length=1, trim_whitespace=False,
        help_text="An e-mail address, the address of a chat or push service, or of your webhook",
    )  # fmt: skip


class ChannelChange(Strict):
    is_active = serializers.BooleanField(required=False)


class DeliveryOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id", help_text="What a webhook's receiver sees as webhook-id")
    channel = serializers.UUIDField(source="channel.public_id")
    incident = serializers.UUIDField(source="incident.public_id", allow_null=True, default=None)
    event = serializers.ChoiceField(Delivery.Event.choices)
    state = serializers.ChoiceField(Delivery.State.choices)
    subject = serializers.CharField()
    outcome = serializers.CharField(help_text="In words")
    tries = serializers.IntegerField()
    due_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)


class Channels(ApiViewSet, Readable):
    """Ways to be told: mail, chats and push services, and signed webhooks. The bell rings always."""

    model = Channel
    serializer_class = ChannelOut
    filterset_class = None
    inputs = {"create": ChannelIn, "partial_update": ChannelChange}
    error_fields = {"address": "address"}

    def rows(self) -> QuerySet[Channel]:
        _furnish(self)
        return Channel.objects.visible_to(self.request.user)

    @extend_schema(responses={201: ChannelMade})
    def create(self, request: Request) -> Response:
        made = service.add(actor=request.user, **self.read())
        row = self.rows().get(pk=made.pk)
        response = Response(ChannelMade(row).data, status=201)
        response["Location"] = reverse("api:channels-detail", args=[row.public_id])
        return response

    def partial_update(self, request: Request, id: uuid.UUID) -> Response:
        """Takes it out of use, or into use again."""
        row, data = self.get_object(), self.read()
        if "is_active" in data:
            service.switch(actor=request.user, channel=row, is_active=data["is_active"])
        return self.show_again()

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: uuid.UUID) -> Response:
        """Ends it, with its address and its log."""
        service.remove(actor=request.user, channel=self.get_object())
        return Response(status=204)

    @extend_schema(responses={202: DeliveryOut})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: uuid.UUID) -> Response:
        """Sends a test message within moments; what came of it stands in the delivery."""
        row = self.get_object()
        self.read()
        made = service.test(actor=request.user, channel=row)
        return Response(DeliveryOut(Delivery.objects.select_related("channel").get(pk=made.pk)).data, status=202)


class DeliveryFilter(filters.FilterSet):
    channel = filters.UUIDFilter(method="by_channel")
    incident = filters.UUIDFilter(method="by_incident")
    state = filters.MultipleChoiceFilter(choices=Delivery.State.choices)

    def by_channel(self, rows: QuerySet[Delivery], name: str, value: uuid.UUID) -> QuerySet[Delivery]:
        return rows.filter(channel=own_one(Channel.objects.visible_to(self.request.user), value))

    def by_incident(self, rows: QuerySet[Delivery], name: str, value: uuid.UUID) -> QuerySet[Delivery]:
        return rows.filter(incident=own_one(Incident.objects.visible_to(self.request.user), value))


class Deliveries(ApiViewSet, Readable):
    """The log of what was told, on which channel, and what came of it."""

    model = Delivery
    serializer_class = DeliveryOut
    filterset_class = DeliveryFilter

    def rows(self) -> QuerySet[Delivery]:
        return Delivery.objects.visible_to(self.request.user).select_related("channel", "incident")

    @extend_schema(responses={202: DeliveryOut})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: uuid.UUID) -> Response:
        """Sends it once more, under the same id."""
        row = self.get_object()
        self.read()
        service.replay(actor=request.user, delivery=row)
        return self.show_again(202)


# --- rules ------------------------------------------------------------------------------------------------------------


class RuleOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    kinds = serializers.ListField(child=serializers.ChoiceField(KINDS))
    session = serializers.UUIDField(source="session.public_id", allow_null=True, default=None)
    group = serializers.UUIDField(source="group.public_id", allow_null=True, default=None)
    channels = serializers.SerializerMethodField()
    delay = serializers.IntegerField(help_text="Seconds that it must last before anybody is told")
    cool_down = serializers.IntegerField(help_text="Minutes without a second message about the like")
    tells_recovery = serializers.BooleanField()
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_channels(self, row: AlertRule) -> list[str]:
        return [str(one.public_id) for one in row.channels.all()]


class RuleChange(Strict):
    name = serializers.CharField(max_length=60, min_length=1, trim_whitespace=False, required=False)
    kinds = serializers.ListField(child=serializers.ChoiceField(KINDS), min_length=1, max_length=20, required=False)
    session = serializers.UUIDField(required=False, allow_null=True, help_text="About this one only")
    group = serializers.UUIDField(required=False, allow_null=True, help_text="About this one's sessions only")
    channels = serializers.ListField(child=serializers.UUIDField(), max_length=service.MOST, required=False)
    delay = serializers.IntegerField(min_value=0, max_value=LONGEST_WAIT, required=False)
    cool_down = serializers.IntegerField(min_value=0, max_value=LONGEST_PAUSE, required=False)
    tells_recovery = serializers.BooleanField(required=False)
    is_active = serializers.BooleanField(required=False)


class RuleIn(RuleChange):
    name = serializers.CharField(max_length=60, min_length=1, trim_whitespace=False)
    kinds = serializers.ListField(child=serializers.ChoiceField(KINDS), min_length=1, max_length=20)


class Rules(ApiViewSet, Readable):
    """Which incidents are told on which channels. Without session and group a rule is about all of yours."""

    model = AlertRule
    serializer_class = RuleOut
    filterset_class = None
    inputs = {"create": RuleIn, "partial_update": RuleChange}
    error_fields = {"scope": "group"}

    def rows(self) -> QuerySet[AlertRule]:
        _furnish(self)
        return service.rules_of(self.request.user)

    def _resolved(self, data: dict[str, Any]) -> dict[str, Any]:
        """The things that the ids of a body name."""
        user, into = self.request.user, "an alert rule"
        for name, rows in (
            ("session", WaSenderSession.objects.visible_to(user)), ("group", SessionGroup.objects.visible_to(user)),
        ):  # fmt: skip
            if data.get(name) is not None:
                data[name] = own_one(rows, data[name], actor=user, into=into)
        if "channels" in data:
            data["channels"] = own(Channel.objects.visible_to(user), data["channels"], actor=user, into=into)
        return data

    @extend_schema(responses={201: RuleOut})
    def create(self, request: Request) -> Response:
        data = {"channels": []} | self._resolved(self.read())
        made = service.save_rule(actor=request.user, rule=None, **data)
        response = self.show(self.rows().get(pk=made.pk), 201)
        response["Location"] = reverse("api:alert-rules-detail", args=[made.public_id])
        return response

    def partial_update(self, request: Request, id: uuid.UUID) -> Response:
        """Changes what is given, and nothing else."""
        row, data = self.get_object(), self._resolved(self.read())
        names = ("name", "kinds", "session", "group", "delay", "cool_down", "tells_recovery", "is_active")
        kept = {name: getattr(row, name) for name in names} | {"channels": list(row.channels.all())}
        service.save_rule(actor=request.user, rule=row, **kept | data)
        return self.show_again()

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: uuid.UUID) -> Response:
        """Ends the rule. Its channels stay."""
        service.remove_rule(actor=request.user, rule=self.get_object())
        return Response(status=204)


class AlertSettingsOut(serializers.Serializer):
    quiet_from = serializers.IntegerField(allow_null=True, help_text="Hour of the day in your zone; null: no quiet")
    quiet_until = serializers.IntegerField(allow_null=True)
    wants_digest = serializers.BooleanField(help_text="The morning's mail about the day before")


class AlertSettingsIn(Strict):
    quiet_from = serializers.IntegerField(min_value=0, max_value=23, required=False, allow_null=True)
    quiet_until = serializers.IntegerField(min_value=0, max_value=23, required=False, allow_null=True)
    wants_digest = serializers.BooleanField(required=False)


class Settings(ApiViewSet):
    """Quiet hours and the morning's mail."""

    model = AlertSettings
    serializer_class = AlertSettingsOut
    filterset_class = None
    inputs = {"partial_update": AlertSettingsIn}
    error_fields = {"quiet": "quiet_until"}

    def get_object(self) -> AlertSettings:
        service.settings_of(self.request.user)
        return AlertSettings.objects.get(user=self.request.user)

    def retrieve(self, request: Request) -> Response:
        return self.show_again()

    def partial_update(self, request: Request) -> Response:
        """Changes what is given, and nothing else."""
        row, data = self.get_object(), self.read()
        hours = {name: data.get(name, getattr(row, name)) for name in ("quiet_from", "quiet_until")}
        service.change_settings(actor=request.user, **hours, wants_digest=data.get("wants_digest"))
        return self.show_again()
