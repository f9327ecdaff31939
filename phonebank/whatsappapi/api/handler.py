"""From exceptions to answers. Apart from errors.py, which DRF's own views need before they can be imported."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import UnreadablePostError
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions
from rest_framework.views import APIView

from phonebank.whatsappapi.api.errors import Unavailable, problem_of, too_large
from phonebank.whatsappapi.services.errors import ServiceError

log = logging.getLogger(__name__)


class ErrorHandler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, ServiceError):
            view = self.context.get("view")
            return problem_of(exc, getattr(view, "error_fields", {}), getattr(view, "error_statuses", {}))
        if isinstance(exc, OperationalError | InterfaceError):
            log.warning("A request waits for the database (%s)", type(exc).__name__)
            return Unavailable()
        if isinstance(exc, ObjectDoesNotExist):  # gone since this request looked
            return exceptions.NotFound()
        if isinstance(exc, RequestDataTooBig):
            return too_large()
        if isinstance(exc, SuspiciousOperation | UnreadablePostError):
            return exceptions.ParseError("This request cannot be read.")
        return super().convert_known_exceptions(exc)


class NoSuchAddress(APIView):
    """Everything under /api/ that is not an address of it: JSON, whoever asks, by whatever method."""

    authentication_classes = permission_classes = throttle_classes = ()
    schema = None

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        hint = "" if request.path.endswith("/") else " Addresses end with a slash."
        raise exceptions.NotFound(f"There is no such address.{hint}")
