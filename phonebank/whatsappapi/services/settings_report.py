"""Every setting of the environment as the operator sees it: what is set, where that comes from, what it means.

Of a secret only whether it is set. `docs/settings.md` says more; a test keeps the two together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

SECRET = {
    "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "AUDIT_KEY", "METRICS_TOKEN", "DATABASE_URL", "EMAIL_URL", "SENTRY_DSN",
}  # fmt: skip
KEPT = gettext_lazy("made once, kept in the data folder")
MADE = {
    "DATABASE_URL": gettext_lazy("the private server"),
    "SECRET_KEY": KEPT,
    "FIELD_ENCRYPTION_KEYS": KEPT,
    "AUDIT_KEY": KEPT,
}

# Name and meaning, in the order of docs/settings.md.
GROUPS: list[tuple[str, list[tuple[str, str]]]] = [
    (gettext_lazy("Where things are"), [
        ("DATABASE_URL", gettext_lazy("The PostgreSQL server; without it a private one")),
        ("PHONEBANK_DATA", gettext_lazy("Folder of the private database and of generated keys")),
        ("PUBLIC_URL", gettext_lazy("Address by which people and the gateway reach this installation")),
        ("LOCAL_URL", gettext_lazy("Where the web process listens on this machine")),
        ("ALLOWED_HOSTS", gettext_lazy("Host names that are answered")),
        ("TRUSTED_PROXY", gettext_lazy("The one proxy whose word on addresses is believed")),
        ("WASENDER_URL", gettext_lazy("The gateway that new accounts are added for")),
    ]),
    (gettext_lazy("Secrets"), [
        ("SECRET_KEY", gettext_lazy("Signs logins and links")),
        ("FIELD_ENCRYPTION_KEYS", gettext_lazy("Encrypt stored tokens and keys")),
        ("AUDIT_KEY", gettext_lazy("Seals the audit log")),
    ]),
    (gettext_lazy("People"), [
        ("SIGNUP", gettext_lazy("Who may open an account: closed, invite or open")),
        ("DEFAULT_PLAN", gettext_lazy("Plan of new accounts, and of those whose own has ended")),
        ("EMAIL_URL", gettext_lazy("Mail server; without it no mail is sent")),
        ("DEFAULT_FROM_EMAIL", gettext_lazy("Sender of that mail")),
        ("ALERT_HOSTS", gettext_lazy("Further ntfy servers for alerts")),
        ("ALERT_ALLOW_PRIVATE", gettext_lazy("Whether alert webhooks may go into private networks")),
        ("WEBHOOK_KEEP_DAYS", gettext_lazy("Days that webhooks are kept as they came")),
        ("SESSIONS_PER_HOUR", gettext_lazy("Sessions that one person may create within an hour")),
        ("API_RATE", gettext_lazy("API requests a minute and person")),
    ]),
    (gettext_lazy("The send path"), [
        ("SEND_DEADLINE", gettext_lazy("Seconds of a request to the gateway")),
        ("SEND_CONNECT_TIMEOUT", gettext_lazy("Seconds of its first part")),
        ("SEND_LEASE", gettext_lazy("Seconds until an unanswered message counts as unknown")),
        ("SEND_SETTLE", gettext_lazy("Seconds until an unknown one is looked up")),
        ("SEND_POLL_AFTER", gettext_lazy("Seconds until an unreported delivery is asked for")),
        ("SEND_SHARDS", gettext_lazy("Parts that sessions are spread over workers in")),
        ("SEND_IN_FLIGHT", gettext_lazy("Open requests per session")),
        ("BRAKES", gettext_lazy("Whether campaigns that go wrong pause by themselves")),
    ]),
    (gettext_lazy("Watching"), [
        ("METRICS_TOKEN", gettext_lazy("Token to read the metrics with")),
        ("LOG_LEVEL", gettext_lazy("How much is logged")),
        ("LOG_FORMAT", gettext_lazy("Log lines for people or for machines")),
        ("SENTRY_DSN", gettext_lazy("Where errors are reported to")),
        ("DEBUG", gettext_lazy("Error pages with details. Never on the open internet")),
    ]),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """One line. `source`: environment, file or default."""

    name: str
    value: str
    source: str
    meaning: str


def report() -> list[tuple[str, list[Setting]]]:
    """All of them in their groups."""
    return [(title, [_setting(name, meaning) for name, meaning in rows]) for title, rows in GROUPS]


def _setting(name: str, meaning: str) -> Setting:
    source = "environment" if os.environ.get(name) else "file" if os.environ.get(f"{name}_FILE") else "default"
    if name in SECRET:
        return Setting(name, _secret(name, source), source, meaning)
    return Setting(name, _told(getattr(settings, name, os.environ.get(name, ""))), source, meaning)


def _secret(name: str, source: str) -> str:
    return _("set") if source != "default" else str(MADE.get(name) or _("not set"))


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return _("on") if value else _("off")
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or _("none")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    if "://" in text and "@" in text:  # a password may stand in an address
        parts = urlsplit(text)
        text = f"{parts.scheme}://{parts.hostname}"
    return text or _("not set")
