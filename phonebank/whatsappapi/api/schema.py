"""The description of the API (OpenAPI 3.1). Its pages: docs.py, which needs this one to be imported first."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema as BaseSchema
from drf_spectacular.utils import OpenApiResponse

from phonebank.whatsappapi.api import idempotency
from phonebank.whatsappapi.api.errors import Errors

BODY = {"400": "The body or a parameter is not what this description says",
        "413": "The body is too large", "415": "The body is of a type that is not read here"}  # fmt: skip
ALWAYS = {"401": "Nobody is logged in, or the token is wrong", "405": "Not a method of this address",
          "406": "There is no answer of the type asked for", "422": "A rule forbids it",
          "429": "Too many requests this minute: see Retry-After"}  # fmt: skip
CHANGES = {"403": "The token may only read, or the CSRF token is missing",
           "404": "There is no such thing among yours", "409": "The present state forbids it",
           "424": "The gateway refused it or gave no clear answer"}  # fmt: skip


class AutoSchema(BaseSchema):
    """Adds what every operation has in common: errors, the Idempotency-Key."""

    def get_tags(self) -> list[str]:
        return [self.path.split("/")[2]]

    def get_request_serializer(self) -> Any:
        if self.method not in ("POST", "PUT", "PATCH"):
            return None
        return self.view.inputs.get(self.view.action)

    def get_override_parameters(self) -> list[Any]:
        return []

    def _get_parameters(self) -> list[dict[str, Any]]:
        parameters = super()._get_parameters()
        if self.method == "POST":
            parameters.append(idempotency.parameter(required=False))
        return parameters

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        errors = {**ALWAYS, "400": BODY["400"]}
        if self.method != "GET":
            errors |= CHANGES | BODY
        elif "{" in self.path or self._is_list_view() or self.view.queries.get(self.view.action):
            errors["404"] = CHANGES["404"]
        for status, description in errors.items():
            if status not in bodies:
                bodies[status] = self._get_response_for_code(OpenApiResponse(Errors, description), status)
        return dict(sorted(bodies.items()))


def refuse_unknown_fields(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Says of every request's body what api/base.Strict does, and leaves out what the generator keeps for itself."""
    left: list[Any] = [result]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            one.pop("x-spec-enum-id", None)
            left += one.values()
        elif isinstance(one, list):
            left += one
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema["additionalProperties"] = False
    return result
