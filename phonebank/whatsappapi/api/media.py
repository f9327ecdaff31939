"""Files that messages carry: uploaded here, then named by their id."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

from django.db.models import QuerySet
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, Readable, Strict
from phonebank.whatsappapi.models import MediaFile, MediaKind
from phonebank.whatsappapi.services import media as service


class MediaFileOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id", help_text="Give it as `file` of any `media`")
    kind = serializers.ChoiceField(MediaKind.choices)
    mime = serializers.CharField()
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes")
    url = serializers.CharField(source="ref", help_text="How messages show it: file:<id>. Nothing is served there.")
    created_at = serializers.DateTimeField()


class UploadIn(Strict):
    file = serializers.FileField(
        allow_empty_file=True, help_text="Pictures to 5 MB, videos and voice notes to 16 MB, documents to 25 MB"
    )
    kind = serializers.ChoiceField(MediaKind.choices, required=False, help_text="Left out: told by the content")
    name = serializers.CharField(
        max_length=120, required=False, allow_blank=True, help_text="What the person sees; left out: the file's own"
    )


class MediaFilter(filters.FilterSet):
    kind = filters.ChoiceFilter(choices=MediaKind.choices)


class MediaFiles(ApiViewSet, Readable):
    """Pictures, videos, documents and voice notes, told by their content. What nothing names for a day is deleted."""

    model = MediaFile
    serializer_class = MediaFileOut
    filterset_class = MediaFilter
    parser_classes = [MultiPartParser]
    inputs = {"create": UploadIn}
    error_fields = {"media": "file"}
    is_upload = True
    max_bytes = max(service.LIMITS.values()) + 64 * 1024  # and what multipart writes around it
    sorts = {"created_at": "pk"}

    def rows(self) -> QuerySet[MediaFile]:
        return MediaFile.objects.visible_to(self.request.user).defer("content")

    def fingerprint(self, request: Request) -> bytes:
        """Of what was sent, whatever boundary the client wrote between the parts."""
        digest = hashlib.sha256()
        for name in sorted(request.data):
            for value in request.data.getlist(name):
                digest.update(f"\n{name}={getattr(value, 'name', value)}\n".encode())
                for block in value.chunks() if hasattr(value, "chunks") else ():
                    digest.update(block)
        return digest.digest()

    @extend_schema(responses={201: MediaFileOut})
    def create(self, request: Request) -> Response:
        """Keeps a file. The same content again is the same file, and costs no room."""
        if any(len(values) > 1 for _, values in request.data.lists()):
            raise ValidationError({"file": ["One file in each request."]})
        data = self.read()
        file, name = data["file"], data.get("name", "")
        ending = PurePosixPath(file.name).suffix
        if name and not name.endswith(ending):
            name += ending  # it tells a text from a table
        file.seek(0)
        row = service.keep_file(actor=request.user, kind=data.get("kind", ""), name=name or file.name, file=file)
        response = self.show(self.rows().get(pk=row.pk), 201)
        response["Location"] = reverse("api:media-detail", args=[row.public_id])
        return response
