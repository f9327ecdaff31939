"""Events as a person reads them: “Ana paused “Spring sale” from a page”."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.utils.html import format_html
from django.utils.safestring import SafeString

from phonebank.audit.models import Event
from phonebank.audit.origin import How

# {} is the thing it was done to. A verb that is not here is told by its own words.
PHRASES = {
    "account.added": "added the gateway account {}",
    "account.changed": "changed the gateway account {}",
    "account.granted": "changed who may use the gateway account {}",
    "account.removed": "removed the gateway account {}",
    "account.token_replaced": "replaced the access token of {}",
    "administrator.created": "set up this installation as its administrator",
    "alert_rule.removed": "deleted the alert rule {}",
    "alert_rule.saved": "saved the alert rule {}",
    "alerts.settings_changed": "changed the quiet hours or the morning's mail",
    "announcement.made": "announced {}",
    "announcement.taken_back": "took the announcement {} back",
    "audit.exported": "exported the audit log",
    "audit.pruned": "deleted old events from the audit log",
    "bulk.connect": "began to connect several sessions",
    "bulk.delete": "began to delete several sessions",
    "bulk.disconnect": "began to disconnect several sessions",
    "bulk.disconnect_all": "began to disconnect all sessions",
    "bulk.stopped": "stopped an action on several sessions",
    "campaign.add_session": "added a session to {}",
    "campaign.approval_asked": "asked an administrator to look at {}",
    "campaign.approval_withdrawn": "took {} back, which waited for approval",
    "campaign.approved": "approved {}",
    "campaign.assume_sent": "counted as sent what nobody could tell of in {}",
    "campaign.cancel": "cancelled {}",
    "campaign.create": "drafted {}",
    "analytics.exported": "exported figures of the analytics",
    "campaign.exported": "exported the recipients of {}",
    "campaign.discarded": "threw the draft {} away",
    "campaign.not_approved": "did not approve {}",
    "campaign.refused": "was refused a session or people for {}",
    "campaign.saved": "changed the draft {}",
    "campaign.launch": "started {}",
    "campaign.pace": "changed the pace of {}",
    "campaign.pause": "paused {}",
    "campaign.remove_session": "took a session out of {}",
    "campaign.resume": "resumed {}",
    "campaign.schedule": "scheduled {}",
    "campaign.send_again": "sent again what nobody could tell of in {}",
    "campaign.start": "started {}, which was scheduled",
    "campaign.unschedule": "took {} off the schedule",
    "channel.added": "added the alert channel {}",
    "channel.changed": "switched the alert channel {}",
    "channel.removed": "removed the alert channel {}",
    "channel.replayed": "sent a message to {} once more",
    "channel.tested": "tested the alert channel {}",
    "contact.added": "added {}",
    "contact.consent_granted": "noted that {} agreed to be written to",
    "contact.edited": "changed {}",
    "contact.erased": "erased {}",
    "contact.held_for_review": "held {} back until somebody has looked",
    "contact.merged": "merged {} with another entry",
    "contact.opted_in": "noted that {} may be written to again",
    "contact.opted_out": "noted that {} asked not to be written to",
    "contact.released": "let {} be written to again",
    "contacts.exported": "exported contacts",
    "contacts.import_cancelled": "cancelled an import into {}",
    "contacts.import_started": "began an import into {}",
    "contacts.imported": "imported people into {}",
    "group.changed": "changed the group {}",
    "group.created": "made the group {}",
    "group.deleted": "deleted the group {}",
    "incident.acknowledged": "took on {}",
    "installation.approval_changed": "changed which campaigns need approval",
    "installation.confirmed": "let a restored copy send",
    "installation.held": "held all sending, for the database is a copy",
    "installation.resumed": "let sending go on for everybody",
    "installation.stopped": "stopped all sending",
    "invite.accepted": "accepted an invitation",
    "link.invite.made": "made an invitation",
    "link.login.made": "made a login link for {}",
    "link.login.used": "logged in by a one-time link",
    "link.setup.made": "made the link for the first administrator",
    "list.created": "made the list {}",
    "list.deleted": "deleted the list {}",
    "list.renamed": "renamed the list {}",
    "login.done": "logged in",
    "login.ended": "logged out",
    "login.refused": "turned away a login as {}: the password was wrong",
    "login.unknown": "turned away a login with an address that nobody here has",
    "conversation.number_found": "looked up who is behind a hidden number, by {}",
    "media.uploaded": "uploaded the file {}",
    "message.assume_sent": "counted as sent what nobody could tell of to {}",
    "message.queued": "wrote to {}",
    "message.send_again": "sent again what nobody could tell of to {}",
    "phone_link.made": "made a one-time link for the phone of {}",
    "phone_link.revoked": "ended the one-time links of {}",
    "phone_link.used": "let somebody with a one-time link ask for the code of {}",
    "plan.changed": "changed the plan {}",
    "plan.created": "made the plan {}",
    "plan.deleted": "deleted the plan {}",
    "session.auto_reconnect": "changed whether {} is reconnected by itself",
    "session.adopted": "took over the session {}",
    "session.changed": "changed the settings of {}",
    "session.connect": "connected {}",
    "session.created": "created the session {}",
    "session.deleted": "deleted the session {}",
    "session.disconnect": "disconnected {}",
    "session.grouped": "changed the groups of {}",
    "session.intent_removed": "took back the session {}, which the gateway does not have",
    "session.key_regenerated": "replaced the key of {}",
    "session.refused": "was refused a session or group that is not theirs",
    "session.released": "gave back the session {}",
    "session.renamed": "renamed {}",
    "session.restarted": "restarted {}",
    "session.self_check": "changed whether {} checks itself",
    "session.set_default": "made {} the default",
    "session_template.changed": "changed the session template {}",
    "session_template.created": "saved the session template {}",
    "session_template.deleted": "deleted the session template {}",
    "session_template.followed": "let sessions follow the session template {}",
    "template.changed": "changed the message template {}",
    "template.created": "saved the message template {}",
    "template.deleted": "deleted the message template {}",
    "share.accepted": "accepted a share of {}",
    "share.changed": "changed a share of {}",
    "share.declined": "declined a share of {}",
    "share.invited": "invited somebody to use {}",
    "share.left": "gave {} back",
    "share.revoked": "ended a share of {}",
    "share.used": "began a campaign over {}, which is shared",
    "suppressions.exported": "exported who is not to be written to",
    "token.created": "made the API token {}",
    "token.revoked": "revoked the API token {}",
    "user.address_asked": "asked for another e-mail address",
    "user.address_changed": "changed the e-mail address of {}",
    "user.changed": "changed the rights or data of {}",
    "user.closed": "closed the account {}",
    "user.created": "added {} as a user",
    "user.deleted": "deleted the user {}",
    "user.exported": "took a copy of all their data",
    "user.made_administrator": "made {} an administrator",
    "user.made_ordinary": "took the administrator's rights of {}",
    "user.password_replaced": "set another password for {}",
    "user.password_reset": "set a new password by a mailed link",
    "user.password_set": "set a new password",
    "user.plan_changed": "changed the plan of {}",
    "user.plan_ended": "ended the plan of {}, whose time was over",
    "user.reset_sent": "had a way to set a password mailed to {}",
    "user.settings_changed": "changed the personal settings",
    "user.signed_up": "signed up",
    "user.switched_off": "switched {} off",
    "user.switched_on": "switched {} on again",
    "user.verification_sent": "had the verification mailed to {} again",
}
THINGS = {
    "Announcement": "an announcement",
    "ApiToken": "an API token",
    "Campaign": "a campaign",
    "Contact": "a person",
    "ContactList": "a list",
    "GatewayAccount": "a gateway account",
    "Incident": "an incident",
    "MediaFile": "a file",
    "MessageTemplate": "a message template",
    "Plan": "a plan",
    "SessionGroup": "a group",
    "User": "somebody",
    "WaSenderSession": "a session",
}
WAYS = {
    How.PAGE: "from a page",
    How.API: "by the API",
    How.WEBHOOK: "because of a webhook",
    How.JOB: "in the background",
    How.COMMAND: "by a command",
    How.ADMINISTRATOR: "on the administration site",
}
AREAS = {
    "session": (
        "Sessions",
        ("session.", "bulk.", "group.", "phone_link.", "session_template.", "analytics.", "share."),
    ),
    "campaign": ("Campaigns and messages", ("campaign.", "message.", "template.", "media.", "conversation.")),
    "contact": ("Contacts and consent", ("contact.", "contacts.", "list.", "suppressions.", "consent.")),
    "account": ("Gateway accounts", ("account.",)),
    "alert": ("Alerts", ("alert_rule.", "alerts.", "channel.", "incident.")),
    "person": ("People and logins", ("link.", "invite.", "administrator.", "token.", "user.", "login.", "plan.")),
    "installation": ("The installation", ("installation.", "announcement.")),
    "audit": ("The audit log itself", ("audit.",)),
}
US = "Phonebank"


@dataclass(frozen=True, slots=True)
class Line:
    """An event in words. `changes` are (field, before, after), `facts` are (name, value)."""

    event: Event
    who: str
    did: str
    thing: str
    way: str
    changes: list[tuple[str, str, str]]
    facts: list[tuple[str, str]]
    address: str

    @property
    def text(self) -> str:
        sentence = f"{self.who} {self.did.replace('{}', self.thing)} {self.way}"
        return sentence.strip()

    @property
    def html(self) -> SafeString:
        """The same, each name kept apart from what stands around it (names may be right to left)."""
        before, found, after = self.did.partition("{}")
        thing = format_html("<bdi>{}</bdi>", self.thing) if found else ""
        if self.thing[:1] == "“":
            thing = format_html("“<bdi>{}</bdi>”", self.thing[1:-1]) if found else ""
        return format_html("<bdi>{}</bdi> {}{}{} {}", self.who, before, thing, after, self.way)


def lines(events: Iterable[Event], viewer: Any) -> list[Line]:
    """In words, for `viewer`: others' addresses are for administrators only. One query for all people named."""
    events = list(events)
    people = _people(events)
    return [_line(one, viewer, people) for one in events]


def _line(event: Event, viewer: Any, people: dict[str, str]) -> Line:
    is_own = event.actor_id == viewer.pk
    did = PHRASES.get(event.verb)
    if did is None:
        did = f"did “{event.verb.replace('.', ' ').replace('_', ' ')}” to {{}}"
    return Line(
        event=event,
        who="You" if is_own else _person(event.actor_ref, people, US if event.actor_id is None else None),
        did=did,
        thing="you" if event.target_id == str(viewer.public_id) and not is_own else _thing(event, people),
        way=WAYS.get(event.how, ""),
        changes=[(_title(name), *map(_said, pair)) for name, pair in event.changes.items()],
        facts=[(_title(name), _said(value)) for name, value in event.data.items()],
        address=(event.address or "") if is_own or viewer.is_superuser else "",
    )


def _people(events: list[Event]) -> dict[str, str]:
    refs = {str(one.actor_ref) for one in events if one.actor_ref}
    refs |= {one.target_id for one in events if one.target == "User" and _is_uuid(one.target_id)}
    rows = get_user_model().objects.filter(public_id__in=refs).values_list("public_id", "name", "email")
    return {str(ref): name or email for ref, name, email in rows}


def _person(ref: uuid.UUID | str | None, people: dict[str, str], nobody: str | None = None) -> str:
    """By name; somebody erased by the beginning of their pseudonym."""
    if ref is None:
        return nobody or "A former user"
    return people.get(str(ref)) or f"A former user ({str(ref)[:8]})"


def _thing(event: Event, people: dict[str, str]) -> str:
    if event.target == "User":
        return _person(event.target_id if _is_uuid(event.target_id) else None, people)
    if event.target in {"Contact", "Message"} and event.label:
        return f"the person at {event.label}"
    return f"“{event.label}”" if event.label else THINGS.get(event.target, "something")


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _said(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items())
    return str(value)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
