"""Who may send over somebody else's session, as SQL: the engine's words for models/shares.py."""

from __future__ import annotations


def may_send(user: str, session: str) -> str:
    """Whether `user` operates `session` at this moment by the owner's leave; both are expressions that give ids."""
    return f"""EXISTS (SELECT 1 FROM whatsappapi_sessionshare h JOIN accounts_user hu ON hu.id = h.user_id
      WHERE h.session_id = {session} AND h.user_id = {user} AND h.role = 'operator' AND h.ended_at IS NULL
        AND h.accepted_at IS NOT NULL AND (h.until IS NULL OR h.until > clock_timestamp()) AND hu.is_active)"""


def own_or_lent(user: str, owner: str, session: str) -> str:
    """For the owner's own messages, which nearly all are, no table is looked at."""
    return f"({user} = {owner} OR {may_send(user, session)})"
