"""Groups of sessions."""

from __future__ import annotations

import uuid

from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Lower
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Readable, Strict, TextFilter, own
from phonebank.whatsappapi.models import SessionGroup, WaSenderSession
from phonebank.whatsappapi.services import groups as service


class GroupOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    colour = serializers.ChoiceField(SessionGroup.Colour.choices)
    sessions = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_sessions(self, row: SessionGroup) -> list[str]:
        return [str(one.public_id) for one in row.sessions.all()]


class GroupIn(Strict):
    name = serializers.CharField(max_length=60, min_length=1, trim_whitespace=False)
    colour = serializers.ChoiceField(SessionGroup.Colour.choices, default=SessionGroup.Colour.BLUE)
    sessions = serializers.ListField(child=serializers.UUIDField(), max_length=1000, default=list)


class GroupChange(Strict):
    name = serializers.CharField(max_length=60, min_length=1, trim_whitespace=False, required=False)
    colour = serializers.ChoiceField(SessionGroup.Colour.choices, required=False)
    sessions = serializers.ListField(
        child=serializers.UUIDField(), max_length=1000, required=False, help_text="All its members from now on"
    )


class GroupFilter(filters.FilterSet):
    search = TextFilter(field_name="name", lookup_expr="icontains", max_length=60)


class Groups(ApiViewSet, Readable):
    """Sessions under a name, to choose several at once. A session may be in several groups."""

    model = SessionGroup
    serializer_class = GroupOut
    filterset_class = GroupFilter
    inputs = {"create": GroupIn, "partial_update": GroupChange}
    sorts = {"name": Lower("name"), "created_at": "created_at"}
    default_sort = "name"

    def rows(self) -> QuerySet[SessionGroup]:
        members = WaSenderSession.objects.visible_to(self.request.user).only("public_id")
        return SessionGroup.objects.visible_to(self.request.user).prefetch_related(Prefetch("sessions", members))

    @extend_schema(responses={201: GroupOut})
    def create(self, request: Request) -> Response:
        data = self.read()
        made = service.create_group(
            actor=request.user, name=data["name"], colour=data["colour"], wa_sessions=self._members(data["sessions"])
        )
        response = self.show(self.rows().get(pk=made.pk), 201)
        response["Location"] = reverse("api:groups-detail", args=[made.public_id])
        return response

    def partial_update(self, request: Request, id: uuid.UUID) -> Response:
        """Changes what is given, and nothing else."""
        row, data = self.get_object(), self.read()
        members = self._members(data.pop("sessions")) if "sessions" in data else None
        service.update_group(actor=request.user, group=row, wa_sessions=members, **data)
        return self.show_again()

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: uuid.UUID) -> Response:
        """Ends the group. Its sessions stay."""
        service.delete_group(actor=request.user, group=self.get_object())
        return Response(status=204)

    def _members(self, ids: list[uuid.UUID]) -> list[WaSenderSession]:
        user = self.request.user
        return own(WaSenderSession.objects.visible_to(user), ids, actor=user, into="a group")
