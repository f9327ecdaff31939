"""A session's light: evidence, not the gateway's word alone. Always colour, word and reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from phonebank.whatsappapi.models import WaSenderSession

Status = WaSenderSession.Status

# What a person reads for a status that cannot send.
WORDS: dict[str, tuple[str, str]] = {
    Status.DISCONNECTED: ("Not connected", "The link is down. Connect it again."),
    Status.CONNECTING: ("Connecting", "The phone was scanned; the link is coming up."),
    Status.NEED_SCAN: ("Needs a scan", "Scan the QR code with the phone."),
    Status.NEED_PASSKEY: ("Needs a passkey", "WhatsApp asks the phone for its passkey."),
    Status.LOGGED_OUT: ("Logged out", "The phone ended the link. Scan the QR code again."),
    Status.EXPIRED: ("Expired", "The link is too old. Scan the QR code again."),
    Status.UNKNOWN: ("Unknown", "The gateway reported a state we do not know."),
}


@dataclass(frozen=True, slots=True)
class Health:
    """`light`: green (connected), yellow (connected, with doubts) or red (cannot send now)."""

    light: str
    word: str
    reason: str


def health(wa_session: WaSenderSession, now: datetime) -> Health:
    """The light of a session loaded with its limit (`with_limit`)."""
    if not wa_session.is_active:
        return Health("red", "Switched off", "It was taken out of service here.")
    if wa_session.status != Status.CONNECTED:
        word, reason = WORDS.get(wa_session.status, WORDS[Status.UNKNOWN])
        return Health("red", word, wa_session.status_reason or reason)
    if wa_session.rejected_key_version == wa_session.key_version:
        return Health("red", "Refused", wa_session.status_reason or "The gateway refused this session's key.")
    if wa_session.paused_until and wa_session.paused_until > now + timedelta(seconds=2):
        return Health("red", "Rate limited", "The gateway asked us to wait; it goes on by itself.")
    limit = getattr(wa_session, "effective_limit", wa_session.daily_limit)
    if limit is not None and wa_session.messages_sent_today >= limit:
        return Health("red", "Limit reached", f"All {limit:,} of today's messages are used.")
    if limit is not None and wa_session.messages_sent_today > 0.8 * limit:
        return Health("yellow", "Nearly full", f"Over 80 % of today's {limit:,} messages are used.")
    if wa_session.strikes:
        return Health("yellow", "Slowed down", "The gateway limits its rate; we send slower for a while.")
    return Health("green", "Connected", "Ready to send.")
