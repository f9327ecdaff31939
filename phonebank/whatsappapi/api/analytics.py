"""What sessions did, day by day and beside each other. To be read only; nothing here is counted when asked."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.accounts.models import User
from phonebank.whatsappapi.api.base import ApiViewSet, own_one
from phonebank.whatsappapi.api.errors import Problem
from phonebank.whatsappapi.models import SessionDay, SessionGroup, WaSenderSession
from phonebank.whatsappapi.services import analytics as service
from phonebank.whatsappapi.services.capabilities import LENT_TO
from phonebank.whatsappapi.services.errors import ServiceError

PAGE = 100  # sessions in one answer
SCOPE = [
    OpenApiParameter("from", OpenApiTypes.DATE, description="The first day, in your zone. Left out: six days ago."),
    OpenApiParameter("to", OpenApiTypes.DATE, description="The last day. Left out: today."),
    OpenApiParameter("session", OpenApiTypes.UUID, description="Of this session alone, deleted or not."),
    OpenApiParameter("group", OpenApiTypes.UUID, description="Of this group's sessions."),
]
COMPARED = [
    OpenApiParameter("sort", str, enum=list(service.ORDERS), description="Most first. Left out: sent."),
    OpenApiParameter("offset", int, description=f"Skips so many; an answer holds {PAGE}."),
]


class SumsOut(serializers.Serializer):
    sent = serializers.IntegerField()
    delivered = serializers.IntegerField()
    read = serializers.IntegerField()
    replied = serializers.IntegerField(help_text="Answered within seven days")
    failed = serializers.IntegerField()
    unclear = serializers.IntegerField(help_text="May have been sent")
    received = serializers.IntegerField()
    opted_out = serializers.IntegerField()
    connected_seconds = serializers.IntegerField(source="up")
    known_seconds = serializers.IntegerField(source="known")
    days_at_limit = serializers.IntegerField(source="at_limit")


class DayOut(SumsOut):
    date = serializers.DateField()


class ReasonOut(serializers.Serializer):
    reason = serializers.CharField()
    messages = serializers.IntegerField()


class ReportOut(serializers.Serializer):
    first = serializers.DateField()
    last = serializers.DateField()
    time_zone = serializers.CharField()
    total = SumsOut()
    days = DayOut(many=True)
    delivered_within_median = serializers.FloatField(allow_null=True, help_text="Seconds")
    delivered_within_p95 = serializers.FloatField(allow_null=True, help_text="Seconds")
    sent_by_hour = serializers.ListField(child=serializers.IntegerField())
    reasons = ReasonOut(many=True)


class LineOut(SumsOut):
    session = serializers.UUIDField()
    session_name = serializers.CharField()
    is_deleted = serializers.BooleanField()


class ComparedOut(serializers.Serializer):
    count = serializers.IntegerField()
    results = LineOut(many=True)


class ScopeIn(serializers.Serializer):
    session = serializers.UUIDField(required=False)
    group = serializers.UUIDField(required=False)
    sort = serializers.ChoiceField(service.ORDERS, required=False)
    offset = serializers.IntegerField(required=False, min_value=0, max_value=1_000_000)

    def get_fields(self) -> Mapping[str, Any]:
        days = {"from": serializers.DateField(required=False), "to": serializers.DateField(required=False)}
        return super().get_fields() | days


class Analytics(ApiViewSet):
    """Figures by day in the owner's zone, a few seconds old at most. Deleted sessions stay in them."""

    model = SessionDay
    serializer_class = ReportOut
    filterset_class = None
    queries = {
        "report": frozenset({"from", "to", "session", "group"}),
        "sessions": frozenset({"from", "to", "session", "group", "sort", "offset"}),
    }

    def rows(self) -> QuerySet[SessionDay]:
        return SessionDay.objects.filter(user=self.request.user)

    @extend_schema(responses=ReportOut, parameters=SCOPE, filters=False)
    def report(self, request: Request) -> Response:
        """The sums, and each day of the range."""
        scope, _ = self._scope(request)
        found = service.report(scope)
        return Response({
            "first": scope.first,
            "last": scope.last,
            "time_zone": service.zone_of(request.user).key,
            "total": SumsOut(found.total).data,
            "days": [{"date": one.date, **SumsOut(one.sums).data} for one in found.days],
            "delivered_within_median": found.quantile(0.5),
            "delivered_within_p95": found.quantile(0.95),
            "sent_by_hour": [sent for sent, _ in found.hours],
            "reasons": [{"reason": why, "messages": n} for why, n in found.reasons],
        })  # fmt: skip

    @extend_schema(responses=ComparedOut, parameters=[*SCOPE, *COMPARED], filters=False)
    def sessions(self, request: Request) -> Response:
        """The sessions beside each other."""
        scope, data = self._scope(request)
        order, offset = data.get("sort", "sent"), data.get("offset", 0)
        lines, total = service.compare(scope, order=order, limit=PAGE, offset=offset)
        if not lines and offset:
            total = service.compare(scope, order=order, limit=1)[1]
        return Response({
            "count": total,
            "results": [
                {"session": one.public_id, "session_name": one.name, "is_deleted": one.is_deleted,
                 **SumsOut(one.sums).data}
                for one in lines
            ],
        })  # fmt: skip

    def _scope(self, request: Request) -> tuple[service.Scope, dict[str, Any]]:
        asked = ScopeIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        data, user = asked.validated_data, request.user
        if "session" in data and "group" in data:
            raise Problem(422, "either_or", "Ask for a session or for a group, not for both.", "group")
        # Of a lent session the days are its owner's.
        session = _seen(user, data["session"]) if "session" in data else None
        group = own_one(SessionGroup.objects.visible_to(user), data["group"]) if "group" in data else None
        user = session.user if session is not None else user
        last = data.get("to") or service.today(user)
        first = data.get("from") or last - timedelta(days=6)
        try:
            service.check_range(first, last)
        except ServiceError as error:
            raise Problem(422, "range", error.message, "from") from None
        return service.Scope(user, first, last, session, group), data


def _seen(user: User, session: uuid.UUID) -> WaSenderSession:
    """The user's own, deleted ones among them, or one lent to them."""
    own = WaSenderSession.objects.filter(user=user, public_id=session).first()
    return own or own_one(WaSenderSession.objects.usable_by(user, LENT_TO["analytics"]), session)
