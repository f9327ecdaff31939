"""For machines that watch: whether this process lives, and whether the installation works. They name nothing."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from phonebank.whatsappapi.models import WorkerReport

FRESH = timedelta(seconds=30)  # since a sending worker's last word; it speaks every few seconds
_migrated = False  # tables do not become older again under a running process


@login_not_required
@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    """200 while this process answers, whatever else is broken. Starting it anew would not mend a database."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    """200 when database, tables and a sending worker are there, else 503 and what is missing."""
    found = {"database": False, "migrations": False, "worker": False}
    try:
        found["migrations"] = _is_migrated()
        found["database"] = True
        if found["migrations"]:
            since = timezone.now() - FRESH
            found["worker"] = WorkerReport.objects.filter(kind=WorkerReport.Kind.SEND, seen_at__gt=since).exists()
    except DatabaseError:
        connection.close()
    return JsonResponse(found, status=200 if all(found.values()) else 503)


def _is_migrated() -> bool:
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated
