"""A Django project as small as it gets, for those opponents that need one."""

from __future__ import annotations

import json
import os

WORK = json.loads(open(os.environ["BENCH_TASK"]).read())  # noqa: SIM115
SECRET_KEY = "for this benchmark alone"  # noqa: S105
INSTALLED_APPS = ["django.contrib.contenttypes", "blueprint", "post_office"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None, **WORK["database"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
EMAIL_BACKEND = "post_office.EmailBackend"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
POST_OFFICE = {
    "BACKENDS": {"default": "blueprint.mail.PostingBackend"},
    "THREADS_PER_PROCESS": WORK["concurrency"],
    "BATCH_SIZE": 5000,
    "LOG_LEVEL": 1,
}
