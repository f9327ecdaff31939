"""Every setting of the environment as the operator sees it: what is set, where that comes from, what it means.

Of a secret only whether it is set. `docs/settings.md` says more; a test keeps the two together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

SECRET = {"SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "AUDIT_KEY", "METRICS_TOKEN", "DATABASE_URL", "EMAIL_URL"}
KEPT = "made once, kept in the data folder"
MADE = {"DATABASE_URL": "the private server", "SECRET_KEY": KEPT, "FIELD_ENCRYPTION_KEYS": KEPT, "AUDIT_KEY": KEPT}

# Name and meaning, in the order of docs/settings.md.
GROUPS: list[tuple[str, list[tuple[str, str]]]] = [
    ("Where things are", [
        ("DATABASE_URL", "The PostgreSQL server; without it a private one"),
        ("PHONEBANK_DATA", "Folder of the private database and of generated keys"),
        ("PUBLIC_URL", "Address by which people and the gateway reach this installation"),
        ("LOCAL_URL", "Where the web process listens on this machine"),
        ("ALLOWED_HOSTS", "Host names that are answered"),
        ("TRUSTED_PROXY", "The one proxy whose word on addresses is believed"),
        ("WASENDER_URL", "The gateway that new accounts are added for"),
    ]),
    ("Secrets", [
        ("SECRET_KEY", "Signs logins and links"),
        ("FIELD_ENCRYPTION_KEYS", "Encrypt stored tokens and keys"),
        ("AUDIT_KEY", "Seals the audit log"),
    ]),
    ("People", [
        ("SIGNUP", "Who may open an account: closed, invite or open"),
        ("DEFAULT_PLAN", "Plan of new accounts, and of those whose own has ended"),
        ("EMAIL_URL", "Mail server; without it no mail is sent"),
        ("DEFAULT_FROM_EMAIL", "Sender of that mail"),
        ("ALERT_HOSTS", "Further ntfy servers for alerts"),
        ("ALERT_ALLOW_PRIVATE", "Whether alert webhooks may go into private networks"),
        ("WEBHOOK_KEEP_DAYS", "Days that webhooks are kept as they came"),
        ("SESSIONS_PER_HOUR", "Sessions that one person may create within an hour"),
        ("API_RATE", "API requests a minute and person"),
    ]),
    ("The send path", [
        ("SEND_DEADLINE", "Seconds of a request to the gateway"),
        ("SEND_CONNECT_TIMEOUT", "Seconds of its first part"),
        ("SEND_LEASE", "Seconds until an unanswered message counts as unknown"),
        ("SEND_SETTLE", "Seconds until an unknown one is looked up"),
        ("SEND_POLL_AFTER", "Seconds until an unreported delivery is asked for"),
        ("SEND_SHARDS", "Parts that sessions are spread over workers in"),
        ("SEND_IN_FLIGHT", "Open requests per session"),
        ("BRAKES", "Whether campaigns that go wrong pause by themselves"),
    ]),
    ("Watching", [
        ("METRICS_TOKEN", "Token to read the metrics with"),
        ("LOG_LEVEL", "How much is logged"),
        ("LOG_FORMAT", "Log lines for people or for machines"),
        ("DEBUG", "Error pages with details. Never on the open internet"),
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
    return "set" if source != "default" else MADE.get(name, "not set")


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    if "://" in text and "@" in text:  # a password may stand in an address
        parts = urlsplit(text)
        text = f"{parts.scheme}://{parts.hostname}"
    return text or "not set"
