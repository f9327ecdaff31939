"""What a list of sessions is narrowed down to, and its order: read from an address, written back into one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import ClassVar
from urllib.parse import urlencode

from django.db.models import F, OrderBy, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from phonebank.whatsappapi.models import SessionGroup, WaSenderSession
from phonebank.whatsappapi.models.sessions import WaSenderSessionQuerySet
from phonebank.whatsappapi.services.health import with_light

Status = WaSenderSession.Status

REFUSED = Q(rejected_key_version=F("key_version"))
CONNECTED = Q(status=Status.CONNECTED, is_active=True, is_surplus=False) & ~REFUSED
DISCONNECTED = Q(status=Status.DISCONNECTED, is_active=True)
# The dashboard's three counters; every session is in one of them.
STANDINGS: dict[str, tuple[str, Q]] = {
    "connected": (_("Connected"), CONNECTED),
    "attention": (_("Needs attention"), ~CONNECTED & ~DISCONNECTED),
    "disconnected": (_("Not connected"), DISCONNECTED),
}
# Further words that a status may be asked by.
STATUSES: dict[str, str] = {
    Status.NEED_SCAN: _("Needs a scan"),
    Status.NEED_PASSKEY: _("Needs a passkey"),
    Status.CONNECTING: _("Connecting"),
    Status.LOGGED_OUT: _("Logged out"),
    Status.EXPIRED: _("Expired"),
    Status.UNKNOWN: _("Unknown"),
}
LIGHTS: dict[str, tuple[str, int]] = {
    "green": (_("Ready to send"), 2),
    "yellow": (_("With doubts"), 1),
    "red": (_("Cannot send now"), 0),
}


def _up(*fields: str) -> list[OrderBy]:
    return [F(one).asc(nulls_last=True) for one in fields]


def _down(*fields: str) -> list[OrderBy]:
    return [F(one).desc(nulls_last=True) for one in fields]


NAME = Lower("session_name")
# Orders by name; the empty one is the table's own: the default session first, then by age.
SORTS: dict[str, tuple[str, list[object]]] = {
    "": (_("Default first"), [*_down("is_default"), *_up("created_at")]),
    "light": (_("Worst first"), [*_up("light"), *_down("status_since")]),
    "-light": (_("Best first"), [*_down("light"), *_down("status_since")]),
    "name": (_("Name, A to Z"), [NAME.asc()]),
    "-name": (_("Name, Z to A"), [NAME.desc()]),
    "phone": (_("Number"), _up("phone_number")),
    "-phone": (_("Number, descending"), _down("phone_number")),
    "-used": (_("Most sent today"), _down("used_today")),
    "used": (_("Least sent today"), _up("used_today")),
    "-active": (_("Active last"), _down("last_active_at")),
    "active": (_("Longest silent"), [F("last_active_at").asc(nulls_first=True)]),
    "-created": (_("Newest"), _down("created_at")),
    "created": (_("Oldest"), _up("created_at")),
}
OFFERED = ["", "light", "name", "-used", "-active", "-created"]  # where there is no table head to press


class NoSuchGroup(Exception):
    """The address names a group that the person does not have."""


@dataclass(frozen=True)
class SessionFilter:
    """A choice among the sessions. Words that mean nothing are as if they were not there."""

    q: str = ""
    status: str = ""
    light: str = ""
    group: SessionGroup | None = None
    shared: bool = False  # only what others share with the person
    sort: str = ""

    FIELDS: ClassVar[tuple[str, ...]] = ("q", "status", "light", "group", "shared", "sort")

    @classmethod
    def read(cls, given: Mapping[str, str], groups: list[SessionGroup]) -> SessionFilter:
        """`groups`: the person's. Raises NoSuchGroup."""
        status, light, sort = (given.get(name, "") for name in ("status", "light", "sort"))
        wanted = given.get("group", "")
        group = next((one for one in groups if str(one.public_id) == wanted), None)
        if wanted and group is None:
            raise NoSuchGroup
        return cls(
            q=given.get("q", "").replace("\0", "").strip()[:60],
            status=status if status in STANDINGS or status in STATUSES else "",
            light=light if light in LIGHTS else "",
            group=group,
            shared=given.get("shared") == "1",
            sort=sort if sort in SORTS else "",
        )

    @property
    def is_narrow(self) -> bool:
        """Whether it may leave something out."""
        return bool(self.q or self.status or self.light or self.group or self.shared)

    @property
    def query(self) -> str:
        """As the beginning of an address's query: empty, or with & at its end."""
        given = {name: getattr(self, name) for name in self.FIELDS}
        given["group"] = self.group.public_id if self.group else ""
        given["shared"] = "1" if self.shared else ""
        text = urlencode({name: value for name, value in given.items() if value})
        return text + "&" if text else ""

    def sorted_by(self, sort: str) -> SessionFilter:
        return replace(self, sort=sort)

    def narrow(self, rows: WaSenderSessionQuerySet, now: datetime, zone: tzinfo) -> WaSenderSessionQuerySet:
        """The rows meant, in order, with `used_today` and `light`. `zone`: the owner's time zone."""
        rows = with_light(rows, now, zone)
        if self.status in STANDINGS:
            rows = rows.filter(STANDINGS[self.status][1])
        elif self.status:
            rows = rows.filter(status=self.status)
        if self.light:
            rows = rows.filter(light=LIGHTS[self.light][1])
        if self.group is not None:
            rows = rows.filter(groups=self.group)
        if self.q:
            rows = rows.filter(self._found())
        return rows.order_by(*SORTS[self.sort][1], "pk")

    def _found(self) -> Q:
        """By name, or by digits in a row of either number."""
        found = Q(session_name__icontains=self.q)
        digits = re.sub(r"\D", "", self.q)
        if len(digits) >= 3 and not re.search(r"[^\d\s()+./-]", self.q):
            found |= Q(phone_number__contains=digits) | Q(linked_number__contains=digits)
        return found
