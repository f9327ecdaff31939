"""The blueprint's loop: every pending message in turn."""

from __future__ import annotations

from blueprint.work import fill, set_up
from signals import say, wait_for_go

set_up()
fill()

from blueprint.models import Message  # noqa: E402
from blueprint.send import send  # noqa: E402

wait_for_go()
for message in Message.objects.filter(status="pending").order_by("pk").iterator():
    send(message)
say(event="done")
