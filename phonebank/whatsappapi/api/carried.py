"""What a message carries, in requests and answers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from phonebank.accounts.models import User
from phonebank.whatsappapi.api.base import Strict
from phonebank.whatsappapi.models import MediaKind
from phonebank.whatsappapi.services import media
from phonebank.whatsappapi.services.media import Media


class MediaIn(Strict):
    kind = serializers.ChoiceField(MediaKind.choices)
    url = serializers.CharField(
        max_length=2000,
        min_length=1,
        trim_whitespace=False,
        help_text="https, open to the internet",
    )
    name = serializers.CharField(max_length=120, default="", allow_blank=True, help_text="File name, for documents")


class MediaOut(serializers.Serializer):
    kind = serializers.ChoiceField(MediaKind.choices)
    url = serializers.CharField(help_text="An address, or file:<id> for one that was uploaded on a page")
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
    """The media of a checked body."""
    return media.read(actor=actor, **data) if data else None
