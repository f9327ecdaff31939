"""Pages by cursor: what comes or goes meanwhile neither repeats nor hides a row, and page 1,000 costs as page 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.fernet import InvalidToken
from django.db.models import F, Q, QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from phonebank.whatsappapi.models.fields import ring

PAGE, MOST = 50, 200
PARAMETERS = frozenset({"cursor", "page_size", "sort"})


class CursorPage(BasePagination):
    """Sorted by one of the view's `sorts` (a name to an expression that is never null), then by primary key.

    The cursor is encrypted: it holds the last row's key, and nobody can make one up.
    """

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: Any = None) -> list[Any]:
        self.address = request.build_absolute_uri()
        self.size = _size(request)
        self.sort = _sort(request, view.sorts, view.default_sort)
        name = self.sort.removeprefix("-")
        at = _decode(request.query_params.get("cursor", ""), self.sort)
        backwards = bool(at and at["back"])
        descending = self.sort.startswith("-") != backwards
        rows = queryset.annotate(sort_key=_expression(view.sorts[name]))
        if at:
            step = "lt" if descending else "gt"
            rows = rows.filter(
                Q(**{f"sort_key__{step}": at["value"]}) | Q(sort_key=at["value"], **{f"pk__{step}": at["pk"]})
            )
        sign = "-" if descending else ""
        page = list(rows.order_by(f"{sign}sort_key", f"{sign}pk")[: self.size + 1])
        more, page = len(page) > self.size, page[: self.size]
        if backwards:
            page.reverse()
        has_next, has_previous = (bool(at), more) if backwards else (more, bool(at))
        self.next = self._link(page[-1], back=False) if has_next and page else None
        self.previous = self._link(page[0], back=True) if has_previous and page else None
        return page

    def _link(self, row: Any, *, back: bool) -> str:
        value = row.sort_key
        text = {"time": value.isoformat()} if isinstance(value, datetime) else value
        cursor = json.dumps({"sort": self.sort, "back": back, "value": text, "pk": row.pk}, default=str)
        return replace_query_param(self.address, "cursor", ring().encrypt(cursor.encode()).decode())

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next, "previous": self.previous, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        names = [sign + name for name in view.sorts for sign in ("", "-")]
        return [
            _parameter("cursor", "From `next` or `previous` of an answer.", {"type": "string"}),
            _parameter("page_size", "Rows a page.",
                       {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE}),
            _parameter("sort", "Order; a minus turns it round.",
                       {"type": "string", "enum": names, "default": view.default_sort}),
        ]  # fmt: skip


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _expression(sort: Any) -> Any:
    return F(sort) if isinstance(sort, str) else sort


def _size(request: Request) -> int:
    text = request.query_params.get("page_size")
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST and len(text) < 9):
        raise ValidationError({"page_size": [f"A whole number from 1 to {MOST}."]})
    return int(text)


def _sort(request: Request, sorts: Mapping[str, Any], default: str) -> str:
    sort = request.query_params.get("sort", default)
    if sort.removeprefix("-") not in sorts:
        raise ValidationError({"sort": [f"One of {', '.join(sorts)}, with or without a minus."]})
    return sort


def _decode(cursor: str, sort: str) -> dict[str, Any] | None:
    if not cursor:
        return None
    try:
        at = json.loads(ring().decrypt(cursor.encode()))
    except (InvalidToken, ValueError):
        raise NotFound("There is no such page. Start without a cursor.", code="invalid_cursor") from None
    if at["sort"] != sort:
        raise NotFound("This cursor belongs to another order. Start without it.", code="invalid_cursor")
    if isinstance(at["value"], dict):
        at["value"] = datetime.fromisoformat(at["value"]["time"])
    return at
