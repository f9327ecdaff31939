"""Chats and push services through apprise: a short list of them, and only their own hosts."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.gateways import outbound
from phonebank.language import stored
from phonebank.whatsappapi.services.errors import ServiceError

# apprise's class of a service -> its name, and the hosts it asks. ntfy and Workflows have the host in their address.
SERVICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "NotifyTelegram": ("Telegram", ("api.telegram.org",)),
    "NotifySlack": ("Slack", ("hooks.slack.com", "slack.com")),
    "NotifyDiscord": ("Discord", ("discord.com",)),
    "NotifyPushover": ("Pushover", ("api.pushover.net",)),
    "NotifyWorkflows": ("Teams", ()),
    "NotifyNtfy": ("ntfy", ()),
}
TEAMS_HOSTS = (".logic.azure.com", ".api.powerplatform.com")
TEAMS_OPTIONS = {"api-version", "sp", "sv", "sig"}  # of the address that Teams itself gives
NTFY = "ntfy.sh"
NOT_TAKEN = stored("%(name)s did not take it. See whether its address is still right.")
KNOWN = gettext_lazy("Telegram, Slack, Discord, Teams (Workflows), Pushover and ntfy")


def check(address: str) -> str:
    """The service that the address is of, for people. Raises ServiceError; asks nobody."""
    plugin = _plugin(address)
    name, hosts = SERVICES[type(plugin).__name__][0], _hosts(plugin)
    return f"{name} at {hosts[0]}" if name == "ntfy" else name


def send(address: str, subject: str, text: str) -> str:
    """Sends one message. Returns why it could not be sent, in words; empty when it was taken."""
    try:
        plugin = _plugin(address)
        if not settings.ALERT_ALLOW_PRIVATE:
            for host in _hosts(plugin):
                outbound.check_resolved(host)
    except (ServiceError, outbound.Forbidden) as error:
        return str(error)
    if plugin.notify(title=subject, body=text):
        return ""
    return NOT_TAKEN % {"name": SERVICES[type(plugin).__name__][0]}


def _plugin(address: str) -> Any:
    """apprise's object for the address. Options in an address are refused: some of them name files or other hosts."""
    options = parse_qs(urlsplit(address).query, keep_blank_values=True) if "?" in address else {}
    if len(address) > 1000 or not address.isprintable() or not set(options) <= TEAMS_OPTIONS:
        raise ServiceError(_("This address cannot be used; leave out what begins with “?”."), code="address")
    scheme = address.partition("://")[0].lower()
    for one in _classes():
        own = {scheme for part in (one.protocol, one.secure_protocol) if part for scheme in _several(part)}
        try:
            found = one.parse_url(address) if scheme in own else one.parse_native_url(address)
            if found:
                found |= {"asset": _asset(), "schema": found.get("schema") or _several(one.secure_protocol)[0]}
                plugin = one(**found)
                _hosts(plugin)
                return plugin
        except TypeError as error:  # apprise's own exception about addresses is one
            raise ServiceError(_("Something in this address is missing. Copy it whole."), code="address") from error
    raise ServiceError(
        _("This is no address of a service we know: %(known)s. Nothing was saved.") % {"known": KNOWN}, code="address"
    )


def _several(part: Any) -> tuple[str, ...]:
    return (part,) if isinstance(part, str) else tuple(part)


@cache
def _classes() -> list[Any]:
    """Only the services we know are loaded at all, and only where one is used: apprise has over a hundred."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings quote what may be somebody's token
    return [getattr(import_module(f"apprise.plugins.{name[6:].lower()}"), name) for name in SERVICES]


@cache
def _asset() -> Any:
    return import_module("apprise.asset").AppriseAsset(app_id="Phonebank", app_desc="Phonebank", app_url="")


def _hosts(plugin: Any) -> tuple[str, ...]:
    """The hosts it will ask. Raises ServiceError for one that nobody allowed."""
    kind = type(plugin).__name__
    if kind == "NotifyWorkflows":
        if not plugin.host.lower().endswith(TEAMS_HOSTS) or plugin.port not in (None, 443):
            raise ServiceError(_("This is not an address that Teams gives for a workflow."), code="address")
        return (plugin.host.lower(),)
    if kind == "NotifyNtfy":
        if plugin.mode == "cloud":
            return (NTFY,)
        named = f"{plugin.host}:{plugin.port}" if plugin.port else plugin.host
        if named.lower() not in settings.ALERT_HOSTS or not (plugin.secure or settings.ALERT_ALLOW_PRIVATE):
            raise ServiceError(
                _(
                    "Only ntfy.sh, or a server that the administrator listed (ALERT_HOSTS), by "
                    "ntfys://. %(named)s is not."
                )
                % {"named": named},
                code="address",
            )
        return (plugin.host.lower(),)
    return SERVICES[kind][1]
