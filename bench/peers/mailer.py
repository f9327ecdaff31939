"""django-post-office, its own command's function in threads; letters queued before the start."""

from __future__ import annotations

from itertools import cycle

from blueprint.work import set_up
from signals import say, wait_for_go

set_up()

from django.conf import settings  # noqa: E402
from post_office import mail  # noqa: E402
from post_office.models import PRIORITY, STATUS, Email  # noqa: E402

work = settings.WORK
Email.objects.all().delete()
Email.objects.bulk_create(
    (
        mail.create("bench@phonebank.example", [phone[1:] + "@wa.example"], subject=key, message=work["text"],
                    priority=PRIORITY.medium, commit=False)
        for phone, key in zip(work["phones"], cycle(work["keys"]), strict=False)
    ),
    batch_size=5000,
)  # fmt: skip
wait_for_go()
while Email.objects.filter(status__in=[STATUS.queued, STATUS.requeued]).exists():
    mail.send_queued(processes=1, log_level=1)
say(event="done")
