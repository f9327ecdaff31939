"""Sessions: the pages' verbs, one address each."""

from __future__ import annotations

import io
import uuid
import zoneinfo
from typing import Any

import segno
from django.db.models import Count, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Lower
from django.urls import reverse
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.auth import MayWrite
from phonebank.whatsappapi.api.base import ApiViewSet, FlagFilter, Readable, Strict, TextFilter, as_time, flag, own_one
from phonebank.whatsappapi.api.errors import Problem
from phonebank.whatsappapi.models import GatewayAccount, SessionGroup, SessionShare, WaSenderSession
from phonebank.whatsappapi.services import sessions as service
from phonebank.whatsappapi.services import sharing
from phonebank.whatsappapi.services.capabilities import As, check
from phonebank.whatsappapi.services.gateways import accounts_for
from phonebank.whatsappapi.services.health import health, resets_at, with_light

Status = WaSenderSession.Status
LIGHTS = ("red", "yellow", "green")
QR_SECONDS = 15  # how long a code is good for (contract 2.2)
MOST_A_DAY = 2_147_483_647
LINKING = (Status.NEED_SCAN, Status.CONNECTING, Status.NEED_PASSKEY)


def zone_of(request: Request) -> zoneinfo.ZoneInfo:
    """The owner's: a day of sending begins at their midnight."""
    return zoneinfo.ZoneInfo(request.user.time_zone)


AT_GATEWAY = OpenApiParameter(
    "at_gateway",
    str,
    enum=["true", "false"],
    description="At the gateway too. Left out: yes, except for sessions taken over from there.",
)


class HealthOut(serializers.Serializer):
    light = serializers.ChoiceField(LIGHTS)
    word = serializers.CharField()
    reason = serializers.CharField()


LENT: dict[str, Any] = {
    "is_default": False, "daily_limit": None, "account": None, "groups": [], "account_protection": None,
    "log_messages": None,
}  # fmt: skip


class SessionOut(serializers.Serializer):
    """A session as everybody may see it who may see it at all: no key, no secret, no code to scan. Settings are null
    where it is somebody else's."""

    id = serializers.UUIDField(source="public_id")
    session_name = serializers.CharField()
    phone_number = serializers.CharField(help_text="E.164, as entered")
    linked_number = serializers.CharField(help_text="E.164 of the phone that scanned; empty until known")
    status = serializers.ChoiceField(Status.choices)
    status_since = serializers.DateTimeField()
    status_reason = serializers.CharField()
    health = serializers.SerializerMethodField()
    is_default = serializers.BooleanField()
    is_active = serializers.BooleanField()
    is_simulated = serializers.BooleanField(source="account.is_sandbox")
    daily_limit = serializers.IntegerField(allow_null=True, help_text="Set for this session; null: the plan's")
    effective_limit = serializers.IntegerField(allow_null=True, help_text="What holds today; null: none")
    messages_sent_today = serializers.IntegerField(source="used_today")
    resets_at = serializers.SerializerMethodField(help_text="When today's count starts anew")
    account = serializers.UUIDField(source="account.public_id", allow_null=True, help_text="The gateway account")
    groups = serializers.SerializerMethodField()
    account_protection = serializers.BooleanField(allow_null=True)
    log_messages = serializers.BooleanField(allow_null=True)
    created_at = serializers.DateTimeField()
    last_active_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    role = serializers.SerializerMethodField(help_text="What the person who asks is to it")
    shared_by = serializers.SerializerMethodField(help_text="Whose it is, where it is not one's own")

    def to_representation(self, row: WaSenderSession) -> dict[str, Any]:
        """To whom it is lent: nothing of its owner's settings (`LENT`)."""
        found = super().to_representation(row)
        return found if row.user_id == self.context["request"].user.pk else found | LENT

    @extend_schema_field(serializers.ChoiceField([As.OWNER.value, *SessionShare.Role.values]))
    def get_role(self, row: WaSenderSession) -> str:
        return getattr(row, "lent_as", None) or As.OWNER.value

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_shared_by(self, row: WaSenderSession) -> str | None:
        is_own = row.user_id == self.context["request"].user.pk
        return None if is_own else row.user.name or row.user.email

    @extend_schema_field(HealthOut)
    def get_health(self, row: WaSenderSession) -> dict[str, str]:
        row.messages_sent_today = row.used_today
        found = health(row, timezone.now())
        return {"light": found.light, "word": found.word, "reason": found.reason}

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_resets_at(self, row: WaSenderSession) -> str:
        return as_time(resets_at(row, timezone.now(), zoneinfo.ZoneInfo(row.user.time_zone)))

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_groups(self, row: WaSenderSession) -> list[str]:
        return [str(group.public_id) for group in row.groups.all()]


class SessionIn(Strict):
    phone_number = serializers.CharField(
        max_length=40, min_length=1, trim_whitespace=False, help_text="With country code"
    )
    session_name = serializers.CharField(
        max_length=60, default="", allow_blank=True, trim_whitespace=False, help_text="Empty: “Session 2”"
    )
    is_default = serializers.BooleanField(default=False)
    daily_limit = serializers.IntegerField(
        min_value=1, max_value=MOST_A_DAY, default=None, allow_null=True, help_text="Null: the plan's"
    )
    account = serializers.UUIDField(
        default=None, allow_null=True, help_text="A gateway account; may be left out where there is only one"
    )
    account_protection = serializers.BooleanField(default=True)
    log_messages = serializers.BooleanField(default=True)


class SessionChange(Strict):
    session_name = serializers.CharField(
        max_length=60, min_length=1, trim_whitespace=False, required=False, source="name"
    )
    daily_limit = serializers.IntegerField(
        min_value=1, max_value=MOST_A_DAY, required=False, allow_null=True, help_text="Null: the plan's"
    )
    account_protection = serializers.BooleanField(required=False)
    log_messages = serializers.BooleanField(required=False)


class QrOut(serializers.Serializer):
    status = serializers.ChoiceField(Status.choices)
    qr = serializers.CharField(allow_null=True, help_text="To draw; null when there is nothing to scan")
    expires_in = serializers.IntegerField(allow_null=True, help_text="Seconds; ask again then")


class Stats(serializers.Serializer):
    total = serializers.IntegerField()
    connected = serializers.IntegerField()
    linking = serializers.IntegerField(help_text="Waiting for a phone")
    disconnected = serializers.IntegerField(help_text="All others")
    messages_sent_today = serializers.IntegerField()
    slots_used = serializers.IntegerField()
    slots_total = serializers.IntegerField()
    can_create_session = serializers.BooleanField()


class SessionFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=Status.choices)
    light = filters.ChoiceFilter(choices=[(one, one) for one in LIGHTS], method="lit")
    is_default = FlagFilter()
    is_active = FlagFilter()
    group = filters.UUIDFilter(method="in_group")
    search = TextFilter(method="named", max_length=60)
    shared = FlagFilter(method="is_shared")

    def is_shared(self, rows: QuerySet[WaSenderSession], name: str, value: bool) -> QuerySet[WaSenderSession]:
        return rows.exclude(user=self.request.user) if value else rows.filter(user=self.request.user)

    def lit(self, rows: QuerySet[WaSenderSession], name: str, value: str) -> QuerySet[WaSenderSession]:
        return rows.filter(light=LIGHTS.index(value))

    def in_group(self, rows: QuerySet[WaSenderSession], name: str, value: uuid.UUID) -> QuerySet[WaSenderSession]:
        return rows.filter(groups=own_one(SessionGroup.objects.visible_to(self.request.user), value))

    def named(self, rows: QuerySet[WaSenderSession], name: str, value: str) -> QuerySet[WaSenderSession]:
        return rows.filter(Q(session_name__icontains=value) | Q(phone_number__contains=value.lstrip("+")))


# The verbs of an address, as services/capabilities.py names them.
ACTIONS = {
    "retrieve": "see", "partial_update": "settings", "destroy": "delete", "set_default": "settings",
    "connect": "connect", "disconnect": "disconnect", "qr": "connect", "leave": "see",
}  # fmt: skip


class SvgRenderer(BaseRenderer):
    """The code as a picture, for `Accept: image/svg+xml`."""

    media_type, format, charset = "image/svg+xml", "svg", None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        picture = io.BytesIO()
        segno.make(data["qr"], error="m").save(picture, kind="svg", border=4, scale=8, light="#fff", xmldecl=False)
        return picture.getvalue()


class Sessions(ApiViewSet, Readable):
    """The WhatsApp numbers of the person who asks, and those that others share with them."""

    model = WaSenderSession
    serializer_class = SessionOut
    filterset_class = SessionFilter
    inputs = {"create": SessionIn, "partial_update": SessionChange}
    queries = {"destroy": frozenset({"at_gateway"})}
    error_fields = {"name": "session_name", "name_taken": "session_name"}
    sorts = {
        "created_at": "created_at",
        "session_name": Lower("session_name"),
        "status": "status",
        "last_active_at": Coalesce("last_active_at", "created_at"),
        "light": "light",
        "messages_sent_today": "used_today",
    }

    def rows(self) -> QuerySet[WaSenderSession]:
        rows = with_light(WaSenderSession.objects.usable_by(self.request.user), timezone.now(), zone_of(self.request))
        lent = SessionShare.objects.live().filter(user=self.request.user, session=OuterRef("pk"))
        rows = rows.annotate(lent_as=Subquery(lent.values("role")[:1])).select_related("account", "doubt", "user")
        return rows.prefetch_related(Prefetch("groups", SessionGroup.objects.all()))

    def get_object(self) -> WaSenderSession:
        """A stranger's is not there; to whom it is lent, what they may not do is forbidden."""
        row = super().get_object()
        check(self.request.user, row, ACTIONS[self.action])
        return row

    @extend_schema(responses={201: SessionOut})
    def create(self, request: Request) -> Response:
        """Makes a session here and at the gateway. Then POST connect/, and scan what GET qr/ draws."""
        data = self.read()
        made = service.create_session(
            actor=request.user,
            account=_account(request, data["account"]),
            phone_number=data["phone_number"],
            name=data["session_name"],
            is_default=data["is_default"],
            daily_limit=data["daily_limit"],
            account_protection=data["account_protection"],
            log_messages=data["log_messages"],
        )
        response = self.show(self.rows().get(pk=made.pk), 201)
        response["Location"] = reverse("api:sessions-detail", args=[made.public_id])
        return response

    def partial_update(self, request: Request, id: uuid.UUID) -> Response:
        """Changes what is given, and nothing else."""
        row, data = self.get_object(), self.read()
        service.change(actor=request.user, wa_session=row, **data)
        return self.show_again()

    @extend_schema(responses={204: None}, parameters=[AT_GATEWAY])
    def destroy(self, request: Request, id: uuid.UUID) -> Response:
        """Deletes the session. What it sent stays in the records."""
        row = self.get_object()
        at_gateway = flag(request, "at_gateway", default=row.adopted_at is None)
        service.delete(actor=request.user, wa_session=row, at_gateway=at_gateway)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="set-default")
    def set_default(self, request: Request, id: uuid.UUID) -> Response:
        """Makes it the session that is chosen when none is named."""
        row, _ = self.get_object(), self.read()
        service.set_default(actor=request.user, wa_session=row)
        return self.show_again()

    @action(detail=True, methods=["post"])
    def connect(self, request: Request, id: uuid.UUID) -> Response:
        """Begins linking. While the status is need_scan, GET qr/ holds the code."""
        row, _ = self.get_object(), self.read()
        service.connect(actor=request.user, wa_session=row)
        return self.show_again()

    @action(detail=True, methods=["post"])
    def disconnect(self, request: Request, id: uuid.UUID) -> Response:
        """Ends the link. What waits for this session goes to others or waits."""
        row, _ = self.get_object(), self.read()
        service.disconnect(actor=request.user, wa_session=row)
        return self.show_again()

    @extend_schema(responses={204: None})
    @action(detail=True, methods=["post"])
    def leave(self, request: Request, id: uuid.UUID) -> Response:
        """Gives back a session that somebody else shares. One's own cannot be left (404)."""
        row, _ = self.get_object(), self.read()
        sharing.leave(actor=request.user, wa_session=row)
        return Response(status=204)

    @extend_schema(responses={
        (200, "application/json"): QrOut, (200, "image/svg+xml"): OpenApiTypes.STR,
        403: OpenApiResponse(description="A read token: who has the code can take the number over"),
        409: OpenApiResponse(description="As a picture: there is nothing to scan"),
        424: OpenApiResponse(description="The gateway refused it"),
    })  # fmt: skip
    @action(detail=True, methods=["get"], renderer_classes=[JSONRenderer, SvgRenderer])
    def qr(self, request: Request, id: uuid.UUID) -> Response:
        """The code to scan now, as text or as a picture. It changes every few seconds; ask again when it is over."""
        row = self.get_object()
        if request.auth is not None and not request.auth.may_write:
            raise PermissionDenied(MayWrite.message, MayWrite.code)
        text = None
        if row.status == Status.NEED_SCAN:
            text = service.current_qr(actor=request.user, wa_session=row)
            row.refresh_from_db(fields=["status"])
        if text is None and request.accepted_renderer.format == "svg":
            raise Problem(409, "nothing_to_scan", f"There is no code: this session is {row.get_status_display()}.")
        return Response({"status": row.status, "qr": text, "expires_in": None if text is None else QR_SECONDS})

    @extend_schema(responses=Stats, filters=False)
    @action(detail=False, methods=["get"], filterset_class=None)
    def stats(self, request: Request) -> Response:
        """How all of them are."""
        mine = WaSenderSession.objects.visible_to(request.user)
        found = with_light(mine, timezone.now(), zone_of(request)).aggregate(
            total=Count("pk"),
            connected=Count("pk", filter=Q(status=Status.CONNECTED)),
            linking=Count("pk", filter=Q(status__in=LINKING)),
            messages_sent_today=Sum("used_today", default=0),
        )
        used, most = service.slots(request.user)
        return Response({
            **found,
            "disconnected": found["total"] - found["connected"] - found["linking"],
            "slots_used": used,
            "slots_total": most,
            "can_create_session": service.can_create_session(request.user),
        })  # fmt: skip


class AccountOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    is_simulated = serializers.BooleanField(source="is_sandbox")


class Accounts(ApiViewSet):
    """The gateway accounts that sessions can be made on. Their tokens are never shown."""

    model = GatewayAccount
    serializer_class = AccountOut
    filterset_class = None

    def rows(self) -> QuerySet[GatewayAccount]:
        return GatewayAccount.objects.usable_by(self.request.user)


def _account(request: Request, id: uuid.UUID | None) -> GatewayAccount:
    mine = accounts_for(request.user)
    if id is not None:
        return own_one(mine, id)
    found = list(mine[:2])
    if len(found) != 1:
        text = "Say which gateway account." if found else "Add a gateway account first, on the gateway page."
        raise Problem(422, "account", text, "account")
    return found[0]
