"""What all views of the API have in common."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django_filters.rest_framework import CharFilter, Filter, MultipleChoiceFilter, TypedChoiceFilter
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from phonebank.accounts.models import User
from phonebank.whatsappapi.api import idempotency, paging
from phonebank.whatsappapi.api.errors import not_text, too_large
from phonebank.whatsappapi.services.senders import note_missing

M = TypeVar("M", bound=Model)


# No docstring: it would come to describe every body. Unknown fields are refused (a misspelt one would be silently
# without effect), and so are values of another type, which DRF's fields would bend: a name 0, a flag "no".
class Strict(serializers.Serializer):
    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            if unknown := set(data) - set(self.fields):
                what = {str(name)[:100]: ["There is no such field."] for name in sorted(unknown)}
                raise ValidationError(what, "unknown")
            wrong = {name: problem for name in data if (problem := _wrong_type(self.fields[name], data[name]))}
            if wrong:
                raise ValidationError(wrong, "type")
        return super().to_internal_value(data)


def _wrong_type(field: serializers.Field, value: Any) -> Any:
    """What is wrong with the JSON type of `value`, as ValidationError takes it; None when nothing is."""
    if value is None:
        return None  # the field knows whether that may be
    if isinstance(field, serializers.ListField | serializers.DictField):
        if not isinstance(value, list if isinstance(field, serializers.ListField) else dict):
            return None  # the field's own words are good
        pairs = enumerate(value) if isinstance(value, list) else value.items()
        return {str(at): problem for at, one in pairs if (problem := _wrong_type(field.child, one))} or None
    if isinstance(field, serializers.BooleanField):
        return None if isinstance(value, bool) else ["Either true or false."]
    if isinstance(field, serializers.IntegerField):
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return None if is_whole and not isinstance(value, bool) else ["A whole number."]
    if isinstance(field, serializers.BaseSerializer | serializers.FileField) or isinstance(value, str):
        return None
    return ["A text in quotation marks."]


class TextFilter(CharFilter):
    """A text of bounded length, and described so."""

    def __init__(self, *, max_length: int, **options: Any) -> None:
        super().__init__(max_length=max_length, **options)
        extend_schema_field({"type": "string", "maxLength": max_length})(self)


@extend_schema_field({"type": "string", "enum": ["true", "false"]})
class FlagFilter(TypedChoiceFilter):
    """true or false, and nothing else: django-filter's own takes any other word for no filter at all."""

    def __init__(self, **options: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce=lambda text: text == "true", **options)


class Nothing(Strict):
    """The body of a verb that needs none: there is no field to send."""


class ApiViewSet(viewsets.GenericViewSet):
    """Objects by their public ids, answers in UTC and English, what changes something once per Idempotency-Key.

    `inputs` are the bodies by action, `queries` the parameters of actions that are no list; `sorts` names what a list
    may be sorted by (api/paging.py); `error_fields` and `error_statuses` say what a service's refusal is about and how
    it is answered, by its code, where errors.py does not. An action that is a list of its own says so (`is_list`) and
    brings its sorts and filters.
    """

    model: type[Model]
    lookup_field = "public_id"
    lookup_url_kwarg = "id"
    lookup_value_converter = "uuid"
    inputs: Mapping[str, type[serializers.Serializer]] = {}
    sorts: Mapping[str, Any] = {"created_at": "created_at"}
    default_sort = "-created_at"
    error_fields: Mapping[str, str] = {}
    error_statuses: Mapping[str, int] = {}
    is_list = False
    max_bytes: int = 256 * 1024
    is_upload = False  # its body goes to a file, not into memory
    queries: Mapping[str, frozenset[str]] = {}
    _answer: Any = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with timezone.override(UTC), translation.override("en"):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        most = self.max_bytes if self.is_upload else min(self.max_bytes, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        if _length(request) > most:
            raise too_large()
        super().initial(request, *args, **kwargs)
        if self.action is None:
            return  # not a method of this address
        self._check_query(request)
        if request.method == "POST":
            self._answer = idempotency.begin(request, self.fingerprint)

    def fingerprint(self, request: Request) -> bytes:
        """What tells this body from another under the same Idempotency-Key."""
        return request._request.body

    def _check_query(self, request: Request) -> None:
        """A filter that is misspelt or empty would show everything; of one given twice, half of what is asked."""
        filters: Mapping[str, Filter] = {}
        own = self.queries.get(self.action, frozenset())
        names = set(own)
        if self.is_list or self.action == "list":
            filters = getattr(self.filterset_class, "base_filters", {})
            names |= paging.PARAMETERS | set(filters)
        if any("\x00" in text for name, values in request.query_params.lists() for text in (name, *values)):
            raise not_text("address")
        wrong = {}
        for name, values in request.query_params.lists():
            if name not in names:
                wrong[name[:100]] = ["There is no such parameter."]
            elif len(values) > 1 and not isinstance(filters.get(name), MultipleChoiceFilter):
                wrong[name] = ["This parameter is given more than once."]
            elif "" in values and (name in own or name in filters) and not isinstance(filters.get(name), TextFilter):
                wrong[name] = ["This parameter is empty. Leave it out."]
        if wrong:
            raise ValidationError(wrong, "parameter")

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, idempotency.AnsweredBefore):
            return exc.response
        # Whatever the answer would have been, a refusal is JSON.
        self.request.accepted_renderer, self.request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if self._answer is not None:
            idempotency.end(self._answer, response)
        response["Cache-Control"] = "no-store"
        return response

    def rows(self) -> QuerySet[Any]:
        """The rows that the person who asks may see."""
        raise NotImplementedError

    def get_queryset(self) -> QuerySet[Any]:
        return self.model.objects.none() if getattr(self, "swagger_fake_view", False) else self.rows()

    def get_object(self) -> Any:
        return get_object_or_404(self.rows(), **{self.lookup_field: self.kwargs[self.lookup_url_kwarg]})

    def read(self) -> dict[str, Any]:
        """The body, checked by the action's serializer in `inputs`."""
        serializer = self.inputs.get(self.action, Nothing)(
            data=self.request.data, partial=self.request.method == "PATCH"
        )
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def show(self, one: Any, status: int = 200) -> Response:
        """One object as the view's serializer shows it."""
        return Response(self.get_serializer(one).data, status=status)

    def show_again(self, status: int = 200) -> Response:
        """The object of the address as it is now."""
        return self.show(self.get_object(), status)

    def show_page(self, rows: QuerySet[Any]) -> Response:
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def list(self, request: Request) -> Response:
        return self.show_page(self.rows())


class Readable:
    """GET of one object."""

    def retrieve(self, request: Request, id: uuid.UUID) -> Response:
        return self.show_again()


def as_time(moment: datetime | None) -> str | None:
    """As DateTimeField shows it, for what is worked out and not a field."""
    return serializers.DateTimeField().to_representation(moment) if moment else None


def flag(request: Request, name: str, *, default: bool) -> bool:
    text = request.query_params.get(name)
    if text not in (None, "true", "false"):
        raise ValidationError({name: ["Either true or false."]})
    return default if text is None else text == "true"


def own(rows: QuerySet[M], ids: Iterable[uuid.UUID], *, actor: User | None = None, into: str = "") -> list[M]:
    """The rows of these public ids, in their order, in one query. One that is not there: 404 for all of them.

    With `actor`, who named it for `into` (in a body, so that it is no slip of an address), that is recorded.
    """
    wanted = list(dict.fromkeys(ids))
    found = {row.public_id: row for row in rows.filter(public_id__in=wanted)} if wanted else {}
    if len(found) != len(wanted):
        missing = next(one for one in wanted if one not in found)
        if actor is not None:
            note_missing(actor, [missing], into)
        raise NotFound(f"There is no {rows.model._meta.verbose_name} {missing}. Nothing was done.")
    return [found[one] for one in wanted]


def own_one(rows: QuerySet[M], id: uuid.UUID, *, actor: User | None = None, into: str = "") -> M:
    return own(rows, [id], actor=actor, into=into)[0]


def _length(request: Request) -> int:
    """Of the body. The server has read it whole, so that the header is true; anything else counts as too large."""
    with contextlib.suppress(ValueError):
        return max(0, int(request.META.get("CONTENT_LENGTH") or 0))
    return 2**31
