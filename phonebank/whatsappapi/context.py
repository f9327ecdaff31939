"""What every template knows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from phonebank.accounts.mfa import has_factor
from phonebank.accounts.services import signup_is_open
from phonebank.whatsappapi.services.announcements import showing
from phonebank.whatsappapi.services.incidents import unseen
from phonebank.whatsappapi.services.operations import stopped


def site(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get("theme")
    return {
        "theme": theme if theme in {"light", "dark"} else "",
        "theme_choice": theme if theme in {"light", "dark"} else "system",
        "has_mail": bool(settings.EMAIL_URL),
        "signup_is_open": signup_is_open,  # asked only where a template names it
        "has_factor": lambda: has_factor(request.user),  # asked by administration and settings only
        "stopped": stopped,
        "announcements": lambda: showing(request.user),  # asked by pages with a sidebar only
        "bell": lambda: unseen(request.user),  # asked by the sidebar only
    }
