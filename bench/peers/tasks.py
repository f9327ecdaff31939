"""A Celery task per message. Connections to the database are kept (CELERY_DB_REUSE_MAX), which Celery does not by
default and which spares it half its work here."""

from __future__ import annotations

import json
import os

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "peer_settings")
django.setup()

from blueprint.models import Message  # noqa: E402
from blueprint.send import send  # noqa: E402

WORK = json.loads(open(os.environ["BENCH_TASK"]).read())  # noqa: SIM115
app = Celery("bench", broker=WORK["redis"])
app.conf.CELERY_DB_REUSE_MAX = 10**9
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False
app.conf.broker_connection_retry_on_startup = True


@app.task(name="send")
def send_one(pk: int) -> None:
    send(Message.objects.get(pk=pk))
