"""Session templates, and sessions made with them."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Readable, Strict, TextFilter, own
from phonebank.whatsappapi.api.sessions import MOST_A_DAY, _account
from phonebank.whatsappapi.models import SessionGroup, SessionTemplate, WaSenderSession
from phonebank.whatsappapi.services import session_templates as service


class SessionTemplateOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    naming = serializers.CharField(help_text="Of its sessions; {n} becomes the next free number")
    daily_limit = serializers.IntegerField(allow_null=True)
    account_protection = serializers.BooleanField()
    log_messages = serializers.BooleanField()
    groups = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_groups(self, row: SessionTemplate) -> list[str]:
        return [str(one.public_id) for one in row.groups.all()]


class SessionTemplateIn(Strict):
    name = serializers.CharField(max_length=60, min_length=1, trim_whitespace=False)
    naming = serializers.CharField(max_length=50, default="", allow_blank=True, trim_whitespace=False)
    daily_limit = serializers.IntegerField(min_value=1, max_value=MOST_A_DAY, default=None, allow_null=True)
    account_protection = serializers.BooleanField(default=True)
    log_messages = serializers.BooleanField(default=True)
    groups = serializers.ListField(child=serializers.UUIDField(), max_length=200, default=list)


class SessionTemplateChange(Strict):
    name = serializers.CharField(max_length=60, min_length=1, trim_whitespace=False, required=False)
    naming = serializers.CharField(max_length=50, required=False, allow_blank=True, trim_whitespace=False)
    daily_limit = serializers.IntegerField(min_value=1, max_value=MOST_A_DAY, required=False, allow_null=True)
    account_protection = serializers.BooleanField(required=False)
    log_messages = serializers.BooleanField(required=False)
    groups = serializers.ListField(child=serializers.UUIDField(), max_length=200, required=False)


class NumbersIn(Strict):
    phone_numbers = serializers.ListField(
        child=serializers.CharField(max_length=40), min_length=1, max_length=service.AT_ONCE
    )
    account = serializers.UUIDField(required=False, help_text="Needed where there are several")


class MadeOut(serializers.Serializer):
    phone_number = serializers.CharField(source="number")
    session = serializers.UUIDField(source="wa_session.public_id", allow_null=True, default=None)
    error = serializers.CharField(help_text="Why none was made; else empty")


class FollowIn(Strict):
    sessions = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=1000)


class SessionTemplateFilter(filters.FilterSet):
    search = TextFilter(field_name="name", lookup_expr="icontains", max_length=60)


class SessionTemplates(ApiViewSet, Readable):
    """Saved settings of sessions. A change here changes no session until it is told to follow."""

    model = SessionTemplate
    serializer_class = SessionTemplateOut
    filterset_class = SessionTemplateFilter
    inputs = {
        "create": SessionTemplateIn,
        "partial_update": SessionTemplateChange,
        "create_sessions": NumbersIn,
        "follow": FollowIn,
    }
    error_fields = {"naming": "naming"}
    sorts = {"name": Lower("name"), "created_at": "created_at"}
    default_sort = "name"

    def rows(self) -> QuerySet[SessionTemplate]:
        return SessionTemplate.objects.visible_to(self.request.user).prefetch_related("groups")

    def _groups(self, data: dict[str, Any]) -> dict[str, Any]:
        if "groups" in data:
            mine = SessionGroup.objects.visible_to(self.request.user)
            data["groups"] = own(mine, data["groups"], actor=self.request.user, into="a session template")
        return data

    @extend_schema(responses={201: SessionTemplateOut})
    def create(self, request: Request) -> Response:
        made = service.create(actor=request.user, **self._groups(self.read()))
        response = self.show(self.rows().get(pk=made.pk), 201)
        response["Location"] = reverse("api:session-templates-detail", args=[made.public_id])
        return response

    def partial_update(self, request: Request, id: uuid.UUID) -> Response:
        """Changes what is given, and nothing else."""
        row, data = self.get_object(), self._groups(self.read())
        service.update(actor=request.user, template=row, **data)
        return self.show_again()

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: uuid.UUID) -> Response:
        """Ends the template. The sessions made with it stay as they are."""
        service.delete(actor=request.user, template=self.get_object())
        return Response(status=204)

    @extend_schema(responses={200: MadeOut(many=True)}, filters=False)
    @action(detail=True, methods=["post"], url_path="create-sessions", pagination_class=None)
    def create_sessions(self, request: Request, id: uuid.UUID) -> Response:
        """A session for each number. One that cannot be made is told with its reason; the others are made."""
        row, data = self.get_object(), self.read()
        account = _account(request, data.get("account"))
        made = service.create_sessions(actor=request.user, template=row, account=account, numbers=data["phone_numbers"])
        return Response(MadeOut(made, many=True).data)

    @action(detail=True, methods=["post"])
    def follow(self, request: Request, id: uuid.UUID) -> Response:
        """Has sessions made with it take its settings over; more than a few do so within moments."""
        row, data = self.get_object(), self.read()
        mine = WaSenderSession.objects.visible_to(request.user)
        chosen = own(mine, data["sessions"], actor=request.user, into="a session template")
        service.follow(actor=request.user, template=row, wa_sessions=chosen)
        return self.show_again()
