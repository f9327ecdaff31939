"""Moves the old world's rows forward: every session gets an id, a name, an account and a webhook token of its own,
and each user's earliest session becomes the default."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from django.db import migrations


def forward(apps: Any, schema_editor: Any) -> None:
    from phonebank.whatsappapi.models.fields import digest

    session_model = apps.get_model("whatsappapi", "WaSenderSession")
    account_model = apps.get_model("whatsappapi", "GatewayAccount")
    accounts: dict[int, Any] = {}
    seen: dict[int, int] = {}
    for row in session_model.objects.order_by("user_id", "created_at", "pk").iterator(chunk_size=500):
        if row.user_id not in accounts:
            accounts[row.user_id], _ = account_model.objects.get_or_create(user_id=row.user_id, name="WaSender")
        seen[row.user_id] = seen.get(row.user_id, 0) + 1
        row.public_id = uuid.uuid4()
        row.account = accounts[row.user_id]
        row.session_name = f"Session {seen[row.user_id]}"
        row.is_default = seen[row.user_id] == 1
        row.webhook_token = secrets.token_urlsafe(24)
        row.api_key_digest = digest(row.api_key)
        row.webhook_secret_digest = digest(row.webhook_secret)
        row.save()
    apps.get_model("whatsappapi", "Installation").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0002_multi_session")]
    operations = [migrations.RunPython(forward, migrations.RunPython.noop)]
