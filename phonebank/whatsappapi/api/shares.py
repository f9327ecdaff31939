"""Sharing: who may use one's sessions, and the invitations that one got."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Readable, Strict, own_one
from phonebank.whatsappapi.models import SessionShare, WaSenderSession
from phonebank.whatsappapi.services import sharing as service
from phonebank.whatsappapi.services.deliveries import base

ROLES = SessionShare.Role.choices


class ShareOut(serializers.Serializer):
    """`is_accepted`: somebody uses it; before that it is an invitation."""

    id = serializers.UUIDField(source="public_id")
    session = serializers.UUIDField(source="session.public_id")
    email = serializers.EmailField(help_text="As invited")
    accepted_by = serializers.CharField(source="user.email", default=None, allow_null=True)
    role = serializers.ChoiceField(ROLES)
    until = serializers.DateTimeField(allow_null=True, help_text="When it ends by itself; null: never")
    is_accepted = serializers.SerializerMethodField()
    is_over = serializers.BooleanField(help_text="Its time has passed")
    invited_at = serializers.DateTimeField()
    accepted_at = serializers.DateTimeField(allow_null=True)

    def get_is_accepted(self, row: SessionShare) -> bool:
        return row.accepted_at is not None


class SharedOut(ShareOut):
    link = serializers.CharField(help_text="A one-time link to hand over; shown this once")


class ShareIn(Strict):
    session = serializers.UUIDField()
    email = serializers.CharField(max_length=254, min_length=3, trim_whitespace=False)
    role = serializers.ChoiceField(ROLES)
    until = serializers.DateTimeField(default=None, allow_null=True)


class ShareChange(Strict):
    role = serializers.ChoiceField(ROLES, required=False)
    until = serializers.DateTimeField(required=False, allow_null=True)


class ShareFilter(filters.FilterSet):
    session = filters.UUIDFilter(method="of_session")

    def of_session(self, rows: QuerySet[SessionShare], name: str, value: uuid.UUID) -> QuerySet[SessionShare]:
        return rows.filter(session=own_one(WaSenderSession.objects.visible_to(self.request.user), value))


class Shares(ApiViewSet, Readable):
    """Who may use one's own sessions (docs/sharing.md)."""

    model = SessionShare
    serializer_class = ShareOut
    filterset_class = ShareFilter
    inputs = {"create": ShareIn, "partial_update": ShareChange}
    error_fields = {"email": "email", "role": "role", "until": "until", "duplicate": "email"}
    sorts = {"invited_at": "invited_at"}
    default_sort = "-invited_at"

    def rows(self) -> QuerySet[SessionShare]:
        rows = SessionShare.objects.unended().filter(session__user=self.request.user, session__deleted_at=None)
        return rows.select_related("session", "user")

    @extend_schema(responses={201: SharedOut})
    def create(self, request: Request) -> Response:
        """Invites whoever has the address. The answer is the same whether somebody here has it or not."""
        data = self.read()
        usable = WaSenderSession.objects.usable_by(request.user)
        wa_session = own_one(usable, data["session"], actor=request.user, into="a share")
        share, token = service.invite(
            actor=request.user, wa_session=wa_session, email=data["email"], role=data["role"], until=data["until"]
        )
        share.link = base() + reverse("whatsappapi:invitation", args=[token])  # type: ignore[attr-defined]
        response = Response(SharedOut(share).data, status=201)
        response["Location"] = reverse("api:shares-detail", args=[share.public_id])
        return response

    def partial_update(self, request: Request, id: uuid.UUID) -> Response:
        """Another role or another end."""
        service.change(actor=request.user, share=self.get_object(), **self.read())
        return self.show_again()

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: uuid.UUID) -> Response:
        """Ends it. Nothing of theirs leaves over the session later than a second after the answer."""
        service.revoke(actor=request.user, share=self.get_object())
        return Response(status=204)


class InvitationOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    session_name = serializers.CharField(source="session.session_name")
    shared_by = serializers.SerializerMethodField()
    role = serializers.ChoiceField(ROLES)
    until = serializers.DateTimeField(allow_null=True)
    invited_at = serializers.DateTimeField()

    def get_shared_by(self, row: SessionShare) -> str:
        return row.session.user.name or row.session.user.email


class Invitations(ApiViewSet, Readable):
    """Sessions that others want to share with the person who asks: invitations to their verified addresses."""

    model = SessionShare
    serializer_class = InvitationOut
    filterset_class = None
    sorts = {"invited_at": "invited_at"}
    default_sort = "-invited_at"

    def rows(self) -> QuerySet[SessionShare]:
        return service.invitations_of(self.request.user)

    @extend_schema(responses={204: None})
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, id: uuid.UUID) -> Response:
        """Takes it: the session is in GET sessions/ from now on."""
        row, _ = self.get_object(), self.read()
        service.accept(actor=request.user, share=row)
        return Response(status=204)

    @extend_schema(responses={204: None})
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, id: uuid.UUID) -> Response:
        """Refuses it."""
        row, _ = self.get_object(), self.read()
        service.decline(actor=request.user, share=row)
        return Response(status=204)
