"""The WSGI application that `phonebank web` serves."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonebank.config.settings")
application = get_wsgi_application()
