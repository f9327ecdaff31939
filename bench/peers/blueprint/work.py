"""Empties and fills the opponents' tables."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def set_up() -> None:
    """Django, with the tables there and empty."""
    os.environ["BENCH_TASK"] = sys.argv[1]
    os.environ["DJANGO_SETTINGS_MODULE"] = "peer_settings"
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)


def fill() -> None:
    """Sessions and pending messages."""
    from django.conf import settings
    from django.utils import timezone

    from blueprint.models import Message, WaSenderSession

    work = settings.WORK
    Message.objects.all().delete()
    WaSenderSession.objects.all().delete()
    WaSenderSession.objects.bulk_create(
        WaSenderSession(session_name=f"Desk {i}", api_key=key, last_used_at=timezone.now())
        for i, key in enumerate(work["keys"])
    )
    Message.objects.bulk_create((Message(phone=phone, body=work["text"]) for phone in work["phones"]), batch_size=5000)
