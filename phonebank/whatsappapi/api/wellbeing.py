"""A session's health, what brings it back, and links for whoever holds its phone."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Strict, own_one
from phonebank.whatsappapi.models import PhoneLink, Probe, SessionEvent, WaSenderSession
from phonebank.whatsappapi.services import links, probes, reconnect
from phonebank.whatsappapi.services.capabilities import check
from phonebank.whatsappapi.services.deliveries import base

EVENTS, NOTES = 100, 3000  # shown at most
DAYS = 90


class HealthNoteOut(serializers.Serializer):
    at = serializers.DateTimeField()
    score = serializers.IntegerField(help_text="0 to 100")
    reasons = serializers.CharField()


class HealthHistoryOut(serializers.Serializer):
    score = serializers.IntegerField(allow_null=True, help_text="As last written down; null before the first time")
    reasons = serializers.CharField()
    history = HealthNoteOut(many=True)


class DaysIn(serializers.Serializer):
    days = serializers.IntegerField(min_value=1, max_value=DAYS, required=False, default=7)


class ReconnectOut(serializers.Serializer):
    at = serializers.DateTimeField()
    status = serializers.ChoiceField(WaSenderSession.Status.choices)
    what = serializers.CharField(source="reason")


class ReconnectsOut(serializers.Serializer):
    is_on = serializers.BooleanField(help_text="Whether a dropped link is brought back by itself")
    history = ReconnectOut(many=True, help_text=f"The last {EVENTS}, newest first")


class ReconnectsIn(Strict):
    is_on = serializers.BooleanField()


class PhoneLinkOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    is_of_an_alert = serializers.SerializerMethodField(help_text="Made for an alert's message, not by a person")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    opened_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    end = serializers.ChoiceField([("", "Open, or run out"), *PhoneLink.End.choices])

    def get_is_of_an_alert(self, row: PhoneLink) -> bool:
        return row.made_by_id is None


class PhoneLinkIn(Strict):
    hours = serializers.IntegerField(min_value=1, max_value=24, default=24, help_text="How long it works")


class PhoneLinkMade(serializers.Serializer):
    url = serializers.URLField(help_text="Shown this once. Whoever has it can link a phone")


class SelfCheckOne(serializers.Serializer):
    at = serializers.DateTimeField()
    sender = serializers.UUIDField(source="sender.public_id")
    receiver = serializers.UUIDField(source="receiver.public_id")
    outcome = serializers.ChoiceField(Probe.Outcome.choices)
    reason = serializers.CharField()
    sent_after = serializers.FloatField(allow_null=True, help_text="Seconds until WhatsApp confirmed it")
    delivered_after = serializers.FloatField(allow_null=True)
    arrived_after = serializers.FloatField(allow_null=True, help_text="Until the other session's webhook brought it")


class SelfCheckOut(serializers.Serializer):
    partner = serializers.UUIDField(source="partner.public_id", allow_null=True, default=None)
    history = SelfCheckOne(many=True)


class SelfCheckIn(Strict):
    partner = serializers.UUIDField(allow_null=True, help_text="Another of your linked sessions; null: off")


DAYS_PARAMETER = OpenApiParameter(
    "days", {"type": "integer", "minimum": 1, "maximum": DAYS}, description="7 when left out"
)


class Care(ApiViewSet):
    """What is known of how a session fares, and what is done for it."""

    model = WaSenderSession
    serializer_class = HealthHistoryOut
    filterset_class = pagination_class = None
    inputs = {"switch": ReconnectsIn, "make_link": PhoneLinkIn, "switch_check": SelfCheckIn}
    queries = {"health": frozenset({"days"})}

    def rows(self) -> QuerySet[WaSenderSession]:
        return WaSenderSession.objects.usable_by(self.request.user)

    def _row(self, action: str) -> WaSenderSession:
        """The session of the address, if the person may do `action` with it (services/capabilities.py)."""
        row = self.get_object()
        check(self.request.user, row, action)
        return row

    @extend_schema(responses=HealthHistoryOut, parameters=[DAYS_PARAMETER], filters=False)
    def health(self, request: Request, id: uuid.UUID) -> Response:
        """Its score with reasons, and how it went."""
        row = self._row("see")
        asked = DaysIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        since = timezone.now() - timedelta(days=asked.validated_data["days"])
        notes = list(row.health_notes.filter(at__gt=since).order_by("-at")[:NOTES])
        last = row.health_notes.order_by("-at").first()
        found = {"score": last.score if last else None, "reasons": last.reasons if last else "", "history": notes}
        return Response(HealthHistoryOut(found).data)

    @extend_schema(responses=ReconnectsOut, filters=False)
    def reconnects(self, request: Request, id: uuid.UUID) -> Response:
        """Each try to bring it back, and each look that found it back."""
        return self._reconnects(self._row("see"))

    @extend_schema(responses=ReconnectsOut)
    def switch(self, request: Request, id: uuid.UUID) -> Response:
        """Whether it is reconnected by itself."""
        row, data = self._row("settings"), self.read()
        if "is_on" in data:
            reconnect.switch(actor=request.user, wa_session=row, is_on=data["is_on"])
        return self._reconnects(row)

    def _reconnects(self, row: WaSenderSession) -> Response:
        tries = row.events.filter(kind=SessionEvent.Kind.RECONNECT).order_by("-at", "-pk")[:EVENTS]
        return Response(ReconnectsOut({"is_on": reconnect.is_on(row), "history": tries}).data)

    @extend_schema(responses=PhoneLinkOut(many=True), filters=False)
    def links(self, request: Request, id: uuid.UUID) -> Response:
        """Its one-time links, newest first, at most 100; never their addresses."""
        return Response(PhoneLinkOut(self._row("link").phone_links.all()[:EVENTS], many=True).data)

    @extend_schema(responses={201: PhoneLinkMade})
    def make_link(self, request: Request, id: uuid.UUID) -> Response:
        """A page for whoever holds the phone: they scan its code without an account. It replaces the one before."""
        row, data = self._row("link"), self.read()
        token = links.make(actor=request.user, wa_session=row, **data)
        return Response({"url": f"{base()}{reverse('phone_link', args=[token])}"}, status=201)

    @extend_schema(responses={204: None})
    def revoke_links(self, request: Request, id: uuid.UUID) -> Response:
        """Ends all of its links at once."""
        links.revoke(actor=request.user, wa_session=self._row("link"))
        return Response(status=204)

    @extend_schema(responses=SelfCheckOut, filters=False)
    def check(self, request: Request, id: uuid.UUID) -> Response:
        """Whether it exchanges messages with another of your sessions, and what came of the last ones."""
        return self._check(self._row("settings"))

    @extend_schema(responses=SelfCheckOut)
    def switch_check(self, request: Request, id: uuid.UUID) -> Response:
        """Switches the self-check on, with another session, or off."""
        row, data = self._row("settings"), self.read()
        if "partner" in data:
            partner = None
            if data["partner"] is not None:
                mine = WaSenderSession.objects.visible_to(request.user)
                partner = own_one(mine, data["partner"], actor=request.user, into="a self-check")
            probes.switch(actor=request.user, wa_session=row, partner=partner)
        return self._check(row)

    def _check(self, row: WaSenderSession) -> Response:
        found: dict[str, Any] = {"partner": probes.pair_of(row), "history": probes.history(row)}
        return Response(SelfCheckOut(found).data)
