"""What each kind of message must obey (docs/send-path.md 2). Checked in the claim, whatever way the message came in."""

from __future__ import annotations

from dataclasses import dataclass

from phonebank.whatsappapi.models.messages import Kind


@dataclass(frozen=True, slots=True)
class Rules:
    """True: the claim enforces it.

    `counted`: it counts for the frequency cap of others. `own`: only to the owner's own linked numbers. `answer`: only
    to people who wrote first.
    """

    consent: bool
    suppression: bool
    window: bool
    cap: bool
    counted: bool
    own: bool = False
    answer: bool = False


RULES: dict[Kind, Rules] = {
    Kind.CAMPAIGN: Rules(consent=True, suppression=True, window=True, cap=True, counted=True),
    Kind.TRANSACTIONAL: Rules(consent=True, suppression=True, window=False, cap=False, counted=True),
    Kind.REPLY: Rules(consent=False, suppression=True, window=False, cap=False, counted=False, answer=True),
    Kind.TEST: Rules(consent=False, suppression=False, window=False, cap=False, counted=False, own=True),
    Kind.CONFIRMATION: Rules(consent=False, suppression=False, window=False, cap=False, counted=False),
    Kind.PROBE: Rules(consent=False, suppression=False, window=False, cap=False, counted=False, own=True),
}


def kinds_with(rule: str) -> list[str]:
    """The kinds that must obey `rule` (a field of Rules)."""
    return [kind.value for kind, rules in RULES.items() if getattr(rules, rule)]
