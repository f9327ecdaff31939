"""Message templates."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Readable, Strict, TextFilter
from phonebank.whatsappapi.api.carried import MediaField, MediaIn, read_media
from phonebank.whatsappapi.models import MessageTemplate
from phonebank.whatsappapi.services import message_templates as service
from phonebank.whatsappapi.services.media import LONGEST


class TemplateOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    body = serializers.CharField()
    media = MediaField()
    tags = serializers.SerializerMethodField(help_text="The names of its merge tags")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_tags(self, row: MessageTemplate) -> list[str]:
        return service.tags_of(row.body)


class TemplateIn(Strict):
    name = serializers.CharField(max_length=80, min_length=1, trim_whitespace=False)
    body = serializers.CharField(
        max_length=LONGEST, default="", allow_blank=True, trim_whitespace=False, help_text="Empty only beside media"
    )
    media = MediaIn(required=False, allow_null=True)


class TemplateChange(Strict):
    name = serializers.CharField(max_length=80, min_length=1, trim_whitespace=False, required=False)
    body = serializers.CharField(max_length=LONGEST, required=False, allow_blank=True, trim_whitespace=False)
    media = MediaIn(required=False, allow_null=True, help_text="null takes it away")


class TemplateFilter(filters.FilterSet):
    search = TextFilter(field_name="name", lookup_expr="icontains", max_length=80)


class Templates(ApiViewSet, Readable):
    """Saved texts with variables and media. A campaign takes a copy: a change here changes no campaign."""

    model = MessageTemplate
    serializer_class = TemplateOut
    filterset_class = TemplateFilter
    inputs = {"create": TemplateIn, "partial_update": TemplateChange}
    error_fields = {"body": "body", "media": "media"}
    sorts = {"name": Lower("name"), "created_at": "created_at"}
    default_sort = "name"

    def rows(self) -> QuerySet[MessageTemplate]:
        return MessageTemplate.objects.visible_to(self.request.user)

    @extend_schema(responses={201: TemplateOut})
    def create(self, request: Request) -> Response:
        data = self.read()
        made = service.create_template(
            actor=request.user,
            name=data["name"],
            body=data["body"],
            media=read_media(request.user, data.get("media")),
        )
        response = self.show(self.rows().get(pk=made.pk), 201)
        response["Location"] = reverse("api:templates-detail", args=[made.public_id])
        return response

    def partial_update(self, request: Request, id: uuid.UUID) -> Response:
        """Changes what is given, and nothing else."""
        row, data = self.get_object(), self.read()
        if "media" in data:
            data["media"] = read_media(request.user, data["media"])
        service.update_template(actor=request.user, template=row, **data)
        return self.show_again()

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: uuid.UUID) -> Response:
        """Ends the template. What began with it stays."""
        service.delete_template(actor=request.user, template=self.get_object())
        return Response(status=204)
