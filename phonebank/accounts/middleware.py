"""What every page of a logged-in person has in common, and the language of any page."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import timezone, translation

MACHINES = "/api/"  # whose answers stay English: programs compare them, and their documentation quotes them


class LanguageMiddleware(LocaleMiddleware):
    """The language of the switch's cookie, else the one that the browser asks for, else English."""

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith(MACHINES):
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = translation.get_language()
        else:
            super().process_request(request)


class AccountMiddleware:
    """Shows pages in the person's language, times in their zone and formats, and keeps them out of every cache."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if not user.is_authenticated:
            return self.get_response(request)
        language = translation.get_language()
        if user.locale and not request.path_info.startswith(MACHINES):
            language = user.locale
        with timezone.override(zoneinfo.ZoneInfo(user.time_zone)), translation.override(language):
            request.LANGUAGE_CODE = language
            response = self.get_response(request)
        response["Cache-Control"] = "no-store"
        response.headers.setdefault("Content-Language", language)
        return response
