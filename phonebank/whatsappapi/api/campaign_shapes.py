"""What a campaign looks like in requests and answers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from phonebank.whatsappapi.api.base import Strict
from phonebank.whatsappapi.api.carried import MediaField, MediaIn
from phonebank.whatsappapi.api.errors import Problem
from phonebank.whatsappapi.models import Campaign, ContactList, ContactTag
from phonebank.whatsappapi.services.audience import MOST_FILTERS, MOST_NAMED, TESTS
from phonebank.whatsappapi.services.media import LONGEST

RULES = (
    "policy", "is_sticky", "pace", "windows", "quiet_start", "quiet_end", "cap_day", "cap_month", "scheduled_at",
    "expires_at",
)  # fmt: skip


class FilterShape(Strict):
    field = serializers.CharField(max_length=60, help_text="name, phone, or a column that came with the people")
    test = serializers.ChoiceField(list(TESTS))
    value = serializers.CharField(max_length=200)


class AudienceIn(Strict):
    """People of one of the lists, who carry one of the tags, pass all filters, and are on no list of `without`."""

    lists = serializers.ListField(child=serializers.UUIDField(), max_length=MOST_NAMED, default=list)
    tags = serializers.ListField(child=serializers.CharField(max_length=40), max_length=MOST_NAMED, default=list)
    filters = serializers.ListField(child=FilterShape(), max_length=MOST_FILTERS, default=list)
    without = serializers.ListField(child=serializers.UUIDField(), max_length=MOST_NAMED, default=list)


class AudienceOut(serializers.Serializer):
    lists = serializers.ListField(child=serializers.UUIDField())
    tags = serializers.ListField(child=serializers.CharField())
    filters = serializers.ListField(child=FilterShape())
    without = serializers.ListField(child=serializers.UUIDField())


class CampaignOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    state = serializers.ChoiceField(Campaign.State.choices)
    pause_reason = serializers.CharField()
    body = serializers.CharField()
    media = MediaField()
    contact_list = serializers.SerializerMethodField(help_text="Where the audience is one list")
    audience = serializers.SerializerMethodField()
    sessions = serializers.SerializerMethodField()
    policy = serializers.ChoiceField(Campaign.Policy.choices)
    is_sticky = serializers.BooleanField()
    pace = serializers.IntegerField(allow_null=True, help_text="Messages a minute and session at most")
    windows = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), allow_null=True), allow_null=True
    )
    quiet_start = serializers.TimeField(allow_null=True)
    quiet_end = serializers.TimeField(allow_null=True)
    cap_day = serializers.IntegerField(allow_null=True)
    cap_month = serializers.IntegerField(allow_null=True)
    scheduled_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    version = serializers.IntegerField(help_text="Counts the times the draft was saved")
    saved_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_contact_list(self, row: Campaign) -> str | None:
        return str(row.contact_list.public_id) if row.contact_list else None

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_sessions(self, row: Campaign) -> list[str]:
        return [str(lane.session.public_id) for lane in row.lanes.all()]

    @extend_schema_field(AudienceOut)
    def get_audience(self, row: Campaign) -> dict[str, Any]:
        lists, tags = self._named()
        stored = row.audience or ({"lists": [row.contact_list_id]} if row.contact_list_id else {})
        return {
            "lists": [str(lists[pk]) for pk in stored.get("lists", ()) if pk in lists],
            "tags": [tags[pk] for pk in stored.get("tags", ()) if pk in tags],
            "filters": stored.get("filters", []),
            "without": [str(lists[pk]) for pk in stored.get("without", ()) if pk in lists],
        }

    def _named(self) -> tuple[dict[int, Any], dict[int, str]]:
        """Public ids of the lists and names of the tags of all rows that are shown, in two queries."""
        if not hasattr(self, "_found"):
            whole = self.parent.instance if self.parent is not None else [self.instance]
            lists, tags = set(), set()
            for row in whole:
                lists |= {*row.audience.get("lists", ()), *row.audience.get("without", ()), row.contact_list_id}
                tags |= set(row.audience.get("tags", ()))
            self._found = (
                dict(ContactList.objects.filter(pk__in=lists - {None}).values_list("pk", "public_id")),
                dict(ContactTag.objects.filter(pk__in=tags).values_list("pk", "name")),
            )
        return self._found


class CampaignFields(Strict):
    """What a draft's maker may say, all of it optional."""

    name = serializers.CharField(max_length=120, allow_blank=True, trim_whitespace=False, required=False)
    body = serializers.CharField(
        min_length=1,
        max_length=LONGEST,
        trim_whitespace=False,
        required=False,
        help_text="Merge tags: {{ name|there }}",
    )
    media = MediaIn(required=False, allow_null=True)
    contact_list = serializers.UUIDField(required=False, help_text="The same as an audience of one list")
    audience = AudienceIn(required=False)
    sessions = serializers.ListField(child=serializers.UUIDField(), max_length=100, required=False)
    groups = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=100,
        required=False,
        help_text="Their members of now are added; those that cannot send are left out",
    )
    policy = serializers.ChoiceField(Campaign.Policy.choices, required=False)
    is_sticky = serializers.BooleanField(required=False, help_text="People stay with the session they talk with")
    pace = serializers.IntegerField(
        min_value=1, max_value=6000, allow_null=True, required=False, help_text="Null: what the sessions may"
    )
    windows = serializers.ListField(
        child=serializers.ListField(
            child=serializers.IntegerField(min_value=0, max_value=1440), min_length=2, max_length=2, allow_null=True
        ),
        min_length=7,
        max_length=7,
        allow_null=True,
        required=False,
        help_text="By weekday from Monday: first and last minute of your day, null for a day without sending",
    )
    quiet_start = serializers.TimeField(allow_null=True, required=False, help_text="By each person's own clock")
    quiet_end = serializers.TimeField(allow_null=True, required=False)
    cap_day = serializers.IntegerField(min_value=1, max_value=20, allow_null=True, required=False)
    cap_month = serializers.IntegerField(min_value=1, max_value=200, allow_null=True, required=False)
    scheduled_at = serializers.DateTimeField(
        allow_null=True, required=False, help_text="Planned; POST schedule/ is what makes it start"
    )
    expires_at = serializers.DateTimeField(allow_null=True, required=False)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if "contact_list" in data and "audience" in data:
            raise Problem(422, "either_or", "Give a list or an audience, not both. Nothing was saved.", "audience")
        return data


class CampaignIn(CampaignFields):
    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if "contact_list" not in data and "audience" not in data:
            raise Problem(422, "required", "Give a list or an audience. Nothing was saved.", "contact_list")
        if not data.get("sessions") and not data.get("groups"):
            raise Problem(422, "required", "Give at least one session or group. Nothing was saved.", "sessions")
        if "body" not in data and not data.get("media"):
            raise Problem(422, "required", "Give a text or media. Nothing was saved.", "body")
        return super().validate(data)


class CampaignChange(CampaignFields):
    version = serializers.IntegerField(
        min_value=0, required=False, help_text="The one you read. 409 if the draft was changed since"
    )
