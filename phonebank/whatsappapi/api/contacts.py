"""People, lists of them, and who must not be written to."""

from __future__ import annotations

import csv
import io
import uuid
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.whatsappapi.api.base import ApiViewSet, FlagFilter, Readable, Strict, TextFilter, own_one
from phonebank.whatsappapi.api.errors import Problem
from phonebank.whatsappapi.models import Contact, ContactList, Suppression
from phonebank.whatsappapi.services.contacts import import_csv
from phonebank.whatsappapi.services.optout import opt_out
from phonebank.whatsappapi.services.phones import to_e164

MOST = 1000  # people in one request


class ContactOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    phone = serializers.CharField(help_text="E.164")
    name = serializers.CharField()
    attributes = serializers.DictField(help_text="For merge tags")
    consent = serializers.ChoiceField(Contact.Consent.choices)
    is_suppressed = serializers.BooleanField(help_text="Must not be written to, whatever else is said")
    time_zone = serializers.CharField(help_text="From the number's prefix")
    lists = serializers.SerializerMethodField()
    tags = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_lists(self, row: Contact) -> list[str]:
        return [str(one.public_id) for one in row.lists.all()]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_tags(self, row: Contact) -> list[str]:
        return [one.name for one in row.tags.all()]


class ContactFilter(filters.FilterSet):
    consent = filters.ChoiceFilter(choices=Contact.Consent.choices)
    phone = TextFilter(max_length=20)
    list = filters.UUIDFilter(method="on_list")
    tag = TextFilter(field_name="tags__name", max_length=40)
    search = TextFilter(field_name="name", lookup_expr="icontains", max_length=120)

    def on_list(self, rows: QuerySet[Contact], name: str, value: uuid.UUID) -> QuerySet[Contact]:
        return rows.filter(lists=own_one(ContactList.objects.visible_to(self.request.user), value))


class PersonIn(Strict):
    phone = serializers.RegexField("[0-9]", max_length=40, trim_whitespace=False)
    name = serializers.CharField(max_length=120, default="", allow_blank=True, trim_whitespace=False)
    consent_source = serializers.CharField(
        max_length=200, default="", allow_blank=True, trim_whitespace=False, help_text="How this person agreed"
    )
    attributes = serializers.DictField(
        child=serializers.CharField(max_length=1000, allow_blank=True, trim_whitespace=False), default=dict
    )


class PeopleIn(Strict):
    list_name = serializers.CharField(
        max_length=80, min_length=1, trim_whitespace=False, help_text="Made if there is none of this name"
    )
    contacts = serializers.ListField(child=PersonIn(), min_length=1, max_length=MOST)
    consent_source = serializers.CharField(
        max_length=200,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        help_text="How all of them agreed. Without any source they are kept but not written to.",
    )
    country = serializers.CharField(
        default="", allow_blank=True, max_length=2, help_text="Two letters, for numbers without a country code"
    )


class LeftOut(serializers.Serializer):
    index = serializers.IntegerField(help_text="In `contacts`, from 0")
    reason = serializers.CharField()
    phone = serializers.CharField()


class PeopleOut(serializers.Serializer):
    total = serializers.IntegerField()
    new = serializers.IntegerField()
    updated = serializers.IntegerField()
    duplicate = serializers.IntegerField(help_text="Numbers that came twice: the first counts")
    invalid = serializers.IntegerField()
    erased = serializers.IntegerField(help_text="Had themselves erased: left out")
    no_consent = serializers.IntegerField(help_text="Kept, but not to be written to")
    suppressed = serializers.IntegerField(help_text="Kept, but not to be written to")
    left_out = LeftOut(many=True)


class Contacts(ApiViewSet, Readable):
    """People who may be written to, if they agreed."""

    model = Contact
    serializer_class = ContactOut
    filterset_class = ContactFilter
    inputs = {"bulk": PeopleIn}
    sorts = {"created_at": "pk", "phone": "phone"}  # what has an index: there may be a million

    def rows(self) -> QuerySet[Contact]:
        stopped = Suppression.objects.filter(user=self.request.user, phone=OuterRef("phone"), lifted_at=None)
        rows = Contact.objects.visible_to(self.request.user).annotate(is_suppressed=Exists(stopped))
        return rows.prefetch_related("lists", "tags")

    @extend_schema(responses=PeopleOut)
    @action(detail=False, methods=["post"], filterset_class=None, max_bytes=2 * 1024 * 1024)
    def bulk(self, request: Request) -> Response:
        """Adds people or brings them up to date, by number, and puts them on a list.

        Who withdrew or is suppressed stays so, whatever is sent. What cannot be used is left out and named.
        """
        data = self.read()
        file, places = _as_csv(data["contacts"])
        report = import_csv(
            actor=request.user,
            list_name=data["list_name"],
            filename="API",
            data=file,
            consent_source=data["consent_source"],
            country=data["country"],
            columns={"phone": "phone", "name": "name", "consent": "consent_source"},
        )
        left_out = [{"index": places[line], "reason": reason, "phone": phone} for line, reason, phone in report.rows]
        return Response({name: getattr(report, name) for name in PeopleOut().fields if name != "left_out"}
                        | {"left_out": left_out})  # fmt: skip


class ListOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    created_at = serializers.DateTimeField()


class ListFilter(filters.FilterSet):
    search = TextFilter(field_name="name", lookup_expr="icontains", max_length=80)


class Lists(ApiViewSet, Readable):
    """Lists of people: what a campaign is sent to."""

    model = ContactList
    serializer_class = ListOut
    filterset_class = ListFilter
    sorts = {"name": "name", "created_at": "created_at"}
    default_sort = "name"

    def rows(self) -> QuerySet[ContactList]:
        return ContactList.objects.visible_to(self.request.user)


class SuppressionOut(serializers.Serializer):
    id = serializers.UUIDField(source="public_id")
    phone = serializers.CharField(help_text="E.164; empty where only a LID is known")
    reason = serializers.ChoiceField(Suppression.Reason.choices)
    note = serializers.CharField()
    created_at = serializers.DateTimeField()
    lifted_at = serializers.DateTimeField(allow_null=True)


class SuppressionIn(Strict):
    phone = serializers.CharField(max_length=40, min_length=1, trim_whitespace=False)
    note = serializers.CharField(max_length=200, default="", allow_blank=True, trim_whitespace=False)


class SuppressionFilter(filters.FilterSet):
    phone = TextFilter(max_length=20)
    reason = filters.ChoiceFilter(choices=Suppression.Reason.choices)
    is_lifted = FlagFilter(field_name="lifted_at", lookup_expr="isnull", exclude=True)


class Suppressions(ApiViewSet, Readable):
    """Who must not be written to, by any session. Only the person's own word lifts it."""

    model = Suppression
    serializer_class = SuppressionOut
    filterset_class = SuppressionFilter
    inputs = {"create": SuppressionIn}
    sorts = {"created_at": "pk"}

    def rows(self) -> QuerySet[Suppression]:
        return Suppression.objects.visible_to(self.request.user)

    @extend_schema(responses={201: SuppressionOut})
    def create(self, request: Request) -> Response:
        """Puts somebody on the list: nothing leaves to them any more, waiting messages included."""
        data = self.read()
        try:
            phone = to_e164(data["phone"])
        except ValueError as error:
            raise Problem(422, "phone_number", f"{error} Nothing was changed.", "phone") from None
        made = opt_out(user=request.user, actor=request.user, phone=phone, source=data["note"] or "API")
        return self.show(made, 201)


def _as_csv(people: list[dict[str, Any]]) -> tuple[bytes, dict[int, int]]:
    """The form that imports take, and by the line it begins on the place of each person."""
    names = sorted({name for one in people for name in one["attributes"]})
    text, places = io.StringIO(), {}
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["phone", "name", "consent_source", *map(_one_line, names)])
    line = 2
    for place, one in enumerate(people):
        places[line] = place
        attributes = [one["attributes"].get(name, "") for name in names]
        row = [one["phone"], one["name"], one["consent_source"], *attributes]
        cells = ["\n".join(cell.splitlines()) for cell in row]
        writer.writerow(cells)
        line += 1 + sum(cell.count("\n") for cell in cells)
    return text.getvalue().encode(), places


def _one_line(text: str) -> str:
    return " ".join(text.split())
