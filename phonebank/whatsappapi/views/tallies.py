"""A campaign as a picture: its people by what is known of their message, in parts that add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import Sum
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from phonebank.whatsappapi.models import Campaign, CampaignCount

# The merged words of a message, the word for a person, and the colour of their part. In the order of the bar.
PARTS: list[tuple[tuple[str, ...], str, str, str]] = [
    (("read",), _("Read"), "fill-read", _("Opened by the person")),
    (("delivered",), _("Delivered"), "fill-delivered", _("On the person's phone")),
    (("accepted", "sent"), _("Sent"), "fill-sent", _("Taken by WhatsApp, not yet on the phone")),
    (("sending",), _("Sending"), "fill-moving", _("Leaving right now")),
    (("unknown",), _("Being checked"), "fill-yellow", _("No clear answer from the gateway; we are finding out")),
    (("uncertain",), _("May have received it"), "fill-yellow", _("Nobody can tell any more; you decide")),
    (("failed",), _("Failed"), "fill-red", _("Refused for good")),
    (
        ("skipped", "cancelled", "expired"),
        _("Not written to"),
        "fill-idle",
        _("Skipped, cancelled or too late, on purpose"),
    ),
    (("queued",), _("Waiting"), "", _("Waiting for their turn")),
]
WORDS = [word for words, *__ in PARTS for word in words]
LABELS = {word: label for words, label, *__ in PARTS for word in words} | {
    "read": pgettext_lazy("one message", "Read"),
    "delivered": pgettext_lazy("one message", "Delivered"),
    "sent": pgettext_lazy("one message", "Sent"),
    "accepted": pgettext_lazy("one message", "Sent"),
    "failed": pgettext_lazy("one message", "Failed"),
    "skipped": pgettext_lazy("one message", "Skipped"),
    "cancelled": pgettext_lazy("one message", "Cancelled"),
    "expired": _("Too late"),
}
SENT = ("accepted", "sent", "delivered", "read")


@dataclass(frozen=True)
class Part:
    """A piece of the bar: `x` and `width` in per cent."""

    label: str
    fill: str
    help: str
    n: int
    x: str
    width: str


@dataclass(frozen=True)
class Tally:
    total: int
    done: int
    sent: int
    parts: list[Part]

    @property
    def shown(self) -> list[Part]:
        return [part for part in self.parts if part.n]

    @property
    def percent(self) -> int:
        """Rounded down: 100 means everybody."""
        return 100 * self.done // self.total if self.total else 0


def tally(counts: Mapping[str, int]) -> Tally:
    total = sum(counts.get(word, 0) for word in WORDS)
    parts, x = [], 0.0
    for words, label, fill, explained in PARTS:
        n = sum(counts.get(word, 0) for word in words)
        width = 100.0 * n / total if total else 0.0
        parts.append(Part(label, fill, explained, n, f"{x:.3f}", f"{width:.3f}"))
        x += width
    open_words = ("queued", "sending", "unknown")
    done = total - sum(counts.get(word, 0) for word in open_words)
    return Tally(total, done, sum(counts.get(word, 0) for word in SENT), parts)


def tallies(campaigns: Iterable[Campaign]) -> dict[int, Tally]:
    """One query for any number of campaigns."""
    counts: dict[int, dict[str, int]] = {campaign.pk: {} for campaign in campaigns}
    rows = CampaignCount.objects.filter(campaign__in=list(counts)).values_list("campaign", "state").annotate(Sum("n"))
    for pk, word, n in rows:
        counts[pk][word] = n
    return {pk: tally(words) for pk, words in counts.items()}
