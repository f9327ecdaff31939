"""A task per message: this process enqueues, a Celery worker beneath it sends."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from blueprint.work import fill, set_up

set_up()
fill()

import tasks  # noqa: E402
from blueprint.models import Message  # noqa: E402
from django.conf import settings  # noqa: E402
from signals import say, wait_for_go  # noqa: E402

pool = settings.WORK["pool"]
worker = subprocess.Popen(  # noqa: S603
    [sys.executable, "-m", "celery", "-A", "tasks", "worker", f"--pool={pool[0]}", f"--concurrency={pool[1]}",
     "--loglevel=ERROR", "--without-gossip", "--without-mingle"],
    cwd=os.environ["PYTHONPATH"], stdout=sys.stderr,
)  # fmt: skip
try:
    while not tasks.app.control.ping(timeout=0.5):
        if worker.poll() is not None:
            sys.exit("Celery's worker ended")
    pks = list(Message.objects.order_by("pk").values_list("pk", flat=True))
    wait_for_go()
    for pk in pks:
        tasks.send_one.delay(pk)
    while Message.objects.filter(status="pending").exists():
        time.sleep(0.2)
    say(event="done")
    sys.stdin.readline()  # the clocks are read before the worker goes
finally:
    worker.terminate()
    worker.wait(30)
