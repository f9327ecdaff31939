"""The description of the API, for programs and for people."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response


@cache
def _document() -> dict[str, Any]:
    """Made once a process: it depends on the code alone."""
    return SpectacularJSONAPIView.generator_class().get_schema(request=None, public=True)


class Schema(SpectacularJSONAPIView):
    renderer_classes = [JSONRenderer]
    schema = None

    def _get_schema_response(self, request: Request) -> Response:
        return Response(_document(), headers={"Content-Disposition": 'inline; filename="phonebank-openapi.json"'})


class Docs(SpectacularSwaggerSplitView):
    """The description to read and to try. A page for people: who is not logged in is sent to the login."""

    url_name = "api:schema"
    permission_classes = [AllowAny]
    authentication_classes = throttle_classes = ()
    template_name = "whatsappapi/api_docs.html"
    schema = None

    @classmethod
    def as_view(cls, **options: Any) -> Any:
        view = super().as_view(**options)
        view.login_required = True  # DRF takes its views out of Django's own rule
        return view
