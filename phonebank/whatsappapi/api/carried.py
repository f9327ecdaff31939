"""What a message carries, in requests and answers."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound

from phonebank.accounts.models import User
from phonebank.whatsappapi.api.base import Strict, own_one
from phonebank.whatsappapi.api.errors import Problem
from phonebank.whatsappapi.models import MediaFile, MediaKind
from phonebank.whatsappapi.models.media import REF
from phonebank.whatsappapi.services import media
from phonebank.whatsappapi.services.media import Media


class MediaIn(Strict):
    file = serializers.UUIDField(required=False, help_text="An uploaded file (media/): either this or `kind` and `url`")
    kind = serializers.ChoiceField(MediaKind.choices, required=False)
    url = serializers.CharField(
        max_length=2000,
        min_length=1,
        trim_whitespace=False,
        required=False,
        help_text="https, open to the internet; or file:<id>, as answers name an uploaded file",
    )
    name = serializers.CharField(max_length=120, required=False, allow_blank=True, help_text="File name, for documents")

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if "file" in data:
            if "kind" in data or "url" in data:
                raise Problem(422, "either_or", "Give a file, or kind and url, not both. Nothing was done.", "media")
        elif not ("kind" in data and "url" in data):
            raise Problem(422, "required", "Give a file, or kind and url. Nothing was done.", "media")
        return data


class MediaOut(serializers.Serializer):
    kind = serializers.ChoiceField(MediaKind.choices)
    url = serializers.CharField(help_text="An address, or file:<id> for an uploaded file")
    name = serializers.CharField()


@extend_schema_field(MediaOut(allow_null=True))
class MediaField(serializers.Field):
    """What a campaign or template carries."""

    def __init__(self, **options: Any) -> None:
        super().__init__(source="*", read_only=True, **options)

    def to_representation(self, value: media.Carrier) -> dict[str, str] | None:
        found = media.media_of(value)
        return found.as_json() if found else None


def read_media(actor: User, data: dict[str, Any] | None) -> Media | None:
    """The media of a checked body. A file that is not there, or another person's: 404."""
    if not data:
        return None
    file, url = data.get("file"), data.get("url", "")
    if file is None and url.startswith(REF):
        try:
            file = uuid.UUID(url.removeprefix(REF))
        except ValueError:
            raise NotFound("There is no such file. Nothing was done.") from None
    if file is None:
        return media.read(actor=actor, kind=data["kind"], url=url, name=data.get("name", ""))
    row = own_one(MediaFile.objects.visible_to(actor).defer("content"), file)
    return media.read(actor=actor, kind=data.get("kind", row.kind), url=row.ref, name=data.get("name", ""))
