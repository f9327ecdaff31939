"""The WSGI application that `phonebank web` serves."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonebank.config.settings")
_django = get_wsgi_application()

from phonebank.whatsappapi.views.webhook import Door  # noqa: E402 - the apps must be loaded first

application = Door(_django)
