"""Every error in one shape: `{"type": ..., "errors": [{"code", "detail", "attr"}]}`. Statuses: docs/api.md.

400 is what the schema forbids, 422 what a rule forbids, 409 what the present state forbids. What the gateway refused is
424, not 502: proxies replace bodies of 5xx, and clients repeat such requests by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.http import JsonResponse
from rest_framework import exceptions, serializers

from phonebank.whatsappapi.services.errors import ServiceError

NOT_FOUND = frozenset({"not_found"})
FORBIDDEN = frozenset({"forbidden"})
CONFLICT = frozenset({
    "plan_limit", "creation_rate", "phone_taken", "name_taken", "duplicate", "wrong_state", "not_created",
    "webhook_unproven", "changed", "unchanged", "in_use", "last_session", "too_many", "decided",
})  # fmt: skip
# The codes of gateways/errors.py.
GATEWAY = frozenset({
    "failed", "configuration", "unauthorized", "no_subscription", "limit_reached", "gone", "not_connected", "refused",
    "rate_limited", "unreachable", "outcome_unknown", "unexpected_answer", "held",
})  # fmt: skip
UNAVAILABLE = "The database does not answer at the moment. Nothing was changed; try again."
AGAIN = 10  # seconds
# Which field of a request a refusal is about.
FIELDS = {"phone_number": "phone_number", "phone_taken": "phone_number", "name": "name", "name_taken": "name",
          "daily_limit": "daily_limit", "empty": "body", "too_long": "body", "no_session": "sessions"}  # fmt: skip


class Problem(exceptions.APIException):
    """A refusal with status, code and, where it is about one, the field."""

    def __init__(self, status: int, code: str, detail: str, attr: str | None = None) -> None:
        super().__init__({attr: [detail]} if attr else detail, code)
        self.status_code = status


class Unavailable(exceptions.APIException):
    """The database is away; `wait` becomes Retry-After."""

    status_code, default_code, default_detail, wait = 503, "unavailable", UNAVAILABLE, AGAIN


def problem_of(error: ServiceError, fields: Mapping[str, str], statuses: Mapping[str, int]) -> Problem:
    """What a service's refusal is over HTTP. `fields` and `statuses` are the view's own, by the refusal's code."""
    status = 422
    for codes, its_status in ((NOT_FOUND, 404), (FORBIDDEN, 403), (CONFLICT, 409), (GATEWAY, 424)):
        if error.code in codes:
            status = its_status
    attr = fields.get(error.code, FIELDS.get(error.code))
    return Problem(statuses.get(error.code, status), error.code, error.message, attr)


def not_text(where: str) -> Problem:
    return Problem(422, "not_text", f"The {where} holds a NUL or half a character. Leave these out.")


def too_large() -> Problem:
    return Problem(413, "too_large", "The body is larger than this address takes. Send it in parts.")


class OneError(serializers.Serializer):
    code = serializers.CharField(help_text="For programs; the list is in docs/api.md")
    detail = serializers.CharField(help_text="For people: what happened, what was kept, what to do")
    attr = serializers.CharField(allow_null=True, help_text="The field or parameter it is about")


class Errors(serializers.Serializer):
    """What every answer of 4xx and 5xx holds."""

    type = serializers.ChoiceField(["validation_error", "client_error", "server_error"])
    errors = OneError(many=True)


def plain_error(status: int, code: str, detail: str) -> JsonResponse:
    """For errors of the framework itself, outside of any view."""
    kind = "server_error" if status >= 500 else "client_error"
    errors = [{"code": code, "detail": detail, "attr": None}]
    return JsonResponse({"type": kind, "errors": errors}, status=status)
