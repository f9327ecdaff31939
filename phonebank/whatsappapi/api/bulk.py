"""One verb on many sessions: all of them are one's own, or nothing is done."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Readable, Strict, own
from phonebank.whatsappapi.models import BulkAction, BulkResult, WaSenderSession
from phonebank.whatsappapi.services import bulk as service
from phonebank.whatsappapi.services.capabilities import check


class BulkOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    verb = serializers.ChoiceField(BulkAction.Verb.choices)
    state = serializers.ChoiceField(BulkAction.State.choices)
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    note = serializers.CharField(help_text="What it waits for")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class BulkIn(Strict):
    verb = serializers.ChoiceField(BulkAction.Verb.choices)
    sessions = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=1000)
    at_gateway = serializers.BooleanField(default=False, help_text="Of delete: there too, except what was taken over")


class BulkResultOut(serializers.Serializer):
    session = serializers.SerializerMethodField(help_text="Null once it is gone for good")
    name = serializers.CharField()
    outcome = serializers.ChoiceField([("", "to come"), *BulkResult.Outcome.choices])
    text = serializers.CharField()

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_session(self, row: BulkResult) -> str | None:
        return str(row.session.public_id) if row.session else None


class BulkActions(ApiViewSet, Readable):
    """Connect, disconnect or delete many sessions. A job does it, one after another, and notes each one's result."""

    model = BulkAction
    serializer_class = BulkOut
    filterset_class = None
    inputs = {"create": BulkIn}

    def rows(self) -> QuerySet[BulkAction]:
        return BulkAction.objects.visible_to(self.request.user)

    @extend_schema(responses={202: BulkOut})
    def create(self, request: Request) -> Response:
        """Puts the sessions in line."""
        data = self.read()
        mine = WaSenderSession.objects.usable_by(request.user)
        for one in own(mine, data["sessions"], actor=request.user, into="a bulk action"):
            check(request.user, one, "delete")
        made = service.start(
            actor=request.user, verb=data["verb"], public_ids=data["sessions"], at_gateway=data["at_gateway"]
        )
        return self.show(self.rows().get(pk=made.pk), 202)

    @action(detail=True, methods=["post"])
    def stop(self, request: Request, id: uuid.UUID) -> Response:
        """Leaves out whoever is still to come."""
        row, _ = self.get_object(), self.read()
        service.stop(actor=request.user, action=row)
        return self.show_again()

    @extend_schema(responses=BulkResultOut(many=True))
    @action(
        detail=True,
        methods=["get"],
        is_list=True,
        serializer_class=BulkResultOut,
        sorts={"position": "position"},
        default_sort="position",
    )
    def results(self, request: Request, id: uuid.UUID) -> Response:
        """What came of each."""
        return self.show_page(BulkResult.objects.filter(action=self.get_object()).select_related("session"))
