"""Every address of the pages, from the URL conf itself, with one of everything that an address may name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from phonebank.accounts.api_tokens import create_token
from phonebank.accounts.models import Plan
from phonebank.whatsappapi.models import Announcement, Approval, ContactImport, Suppression
from tests.api.conftest import Owner

# The beginning of an address -> what its <uuid:public_id> names; the longest that fits counts.
NAMED = {
    "whatsappapi/sessions/": "sessions",
    "whatsappapi/sessions/bulk/": "bulk-actions",
    "whatsappapi/invitations/": "invitations",
    "whatsappapi/contacts/lists/": "lists",
    "whatsappapi/contacts/people/": "contacts",
    "whatsappapi/contacts/import/": "imports",
    "whatsappapi/contacts/opt-outs/": "reviews",
    "whatsappapi/send-campaign/": "campaigns",
    "whatsappapi/campaigns/": "campaigns",
    "whatsappapi/replies/": "conversations",
    "whatsappapi/session-templates/": "session-templates",
    "whatsappapi/templates/": "templates",
    "whatsappapi/alerts/": "incidents",
    "whatsappapi/alerts/rules/": "alert-rules",
    "whatsappapi/alerts/channels/": "channels",
    "whatsappapi/alerts/log/": "deliveries",
    "whatsappapi/groups/": "groups",
    "whatsappapi/gateway/": "accounts",
    "whatsappapi/announcements/": "announcements",
    "whatsappapi/administration/users/": "users",
    "whatsappapi/administration/approvals/": "approvals",
    "whatsappapi/administration/announcements/": "announcements",
    "whatsappapi/status/check/": "campaigns",
    "accounts/tokens/": "tokens",
}
# What else stands in an address.
OTHER = {"uuid:share": "shares", "uuid:session": "lane", "uuid:contact": "contacts", "uuid:user_id": "users"}
WORDS = {"str:form": "csv", "slug:step": "audience", "str:what": "days", "slug:slug": "free", "str:token": "x" * 43}
# Of the whole installation; whoever may see the page sees all of it.
SHARED = ("whatsappapi/administration/", "whatsappapi/status/", "whatsappapi/announcements/")
FRAMEWORK = {
    r"^confirm-email/(?P<key>[-:\w]+)/$": "confirm-email/abc/",
    r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": "password/reset/key/1-abc/",
}


@dataclass(frozen=True)
class Route:
    """`path` is as the URL conf writes it, without the first slash."""

    path: str
    callback: Any

    @property
    def is_somebodys(self) -> bool:
        """Whether it names a thing that belongs to somebody."""
        return "<uuid:" in self.path and not self.path.startswith((*SHARED, "whatsappapi/webhook/"))

    @property
    def is_exempt(self) -> bool:
        return bool(getattr(self.callback, "csrf_exempt", False))

    def address(self, things: dict[str, Any]) -> str:
        path = self.path
        if "<uuid:public_id>" in path:
            begin = max((one for one in NAMED if path.startswith(one)), key=len)
            path = path.replace("<uuid:public_id>", things[NAMED[begin]])
        for word, thing in OTHER.items():
            path = path.replace(f"<{word}>", things[thing])
        for word, value in WORDS.items():
            path = path.replace(f"<{word}>", value)
        assert "<" not in path, f"{self.path}: say in tests/security/world.py what this names"
        return f"/{path}"


def routes() -> list[Route]:
    """All but the API's, which has a matrix of its own (tests/api/test_matrix.py)."""
    return [one for one in _walk(get_resolver(), "") if not one.path.startswith("api/")]


def _walk(resolver: URLResolver, before: str) -> Iterator[Route]:
    for one in resolver.url_patterns:
        path = before + FRAMEWORK.get(str(one.pattern), str(one.pattern))
        if isinstance(one, URLPattern):
            yield Route(path, one.callback)
        else:
            yield from _walk(one, path)


def furnish(owner: Owner) -> dict[str, str]:
    """One of each thing; the public id of each by the word above."""
    made = owner.furnish()
    campaign, now = made["campaigns"], timezone.now()
    made |= {
        "lane": campaign.lanes.get().session,
        "imports": ContactImport.objects.create(
            user=owner.user, filename="a.csv", file_hash="0" * 64, rows_in_file=1, encoding="utf-8", delimiter=",",
            headers=["phone", "name"], sample=[[2, ["+12125550150", "Ana"]]],
            columns={"phone": 0, "name": 1, "consent": None},
        ),
        "reviews": Suppression.objects.create(user=owner.user, phone="+12125550166", reason="review", words="no more"),
        "announcements": Announcement.objects.create(text="Soon", starts_at=now, made_by=owner.user),
        "approvals": Approval.objects.create(campaign=campaign, user=owner.user, version=1, people=2, asked_at=now),
        "users": owner.user,
        "tokens": create_token(actor=owner.user, name="Shop", scope="read", days=30)[0],
    }  # fmt: skip
    assert Plan.objects.filter(slug=WORDS["slug:slug"]).exists()
    return {word: str(thing.public_id) for word, thing in made.items()}


def snapshot() -> dict[str, list[str]]:
    """All rows of the product and of people, but for how often a program asked and when somebody last looked."""
    models = [*apps.get_app_config("whatsappapi").get_models(), *apps.get_app_config("accounts").get_models()]
    kept = [one for one in models if one.__name__ != "ApiUsage"]
    return {one.__name__: sorted(map(repr, one.objects.values_list())) for one in kept}


def changes(before: dict[str, list[str]]) -> dict[str, list[str]]:
    """What is not as it was."""
    after = snapshot()
    return {name: sorted(set(after[name]) ^ set(rows)) for name, rows in before.items() if after[name] != rows}
