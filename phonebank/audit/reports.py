"""Errors told to Sentry or its like; off without SENTRY_DSN. A report says no more than a log line does."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from phonebank.audit.logs import masked
from phonebank.audit.origin import current


def begin(dsn: str, release: str) -> None:
    """Has every logged error of this process sent to `dsn`. Raises ImproperlyConfigured where that cannot be."""
    try:
        import sentry_sdk
        from sentry_sdk.integrations.django import DjangoIntegration
        from sentry_sdk.utils import BadDsn
    except ImportError:
        raise ImproperlyConfigured(
            "SENTRY_DSN is set, but its client is not installed: pip install 'phonebank[sentry]'."
        ) from None
    try:
        sentry_sdk.init(
            dsn,
            release=f"phonebank@{release}",
            # What a person typed, and what a variable held, stays here.
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            auto_session_tracking=False,
            server_name="phonebank",
            before_send=report,
            # Others may wrap the sender's clients and hooks.
            auto_enabling_integrations=False,
            integrations=[DjangoIntegration(middleware_spans=False, signals_spans=False)],
        )
    except BadDsn as error:
        raise ImproperlyConfigured(f"SENTRY_DSN is no DSN: {error}.") from None


def report(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """The event as it leaves: masked as log lines are, of the request its method and path alone."""
    request = event.pop("request", {})
    event.pop("user", None)
    event.pop("extra", None)
    event.pop("modules", None)
    cleaned: dict[str, Any] = _clean(event)
    if request:
        path = str(request.get("url", "")).partition("?")[0]
        cleaned["request"] = {"method": request.get("method"), "url": masked(path)}
    if request_id := current.get().request_id:
        cleaned.setdefault("tags", {})["request_id"] = request_id
    return cleaned


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {name: _clean(one) for name, one in value.items()}
    return [_clean(one) for one in value] if isinstance(value, list | tuple) else value
