"""Events as a person reads them: “Ana paused “Spring sale” from a page”."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from phonebank.audit.models import Event
from phonebank.audit.origin import How
from phonebank.language import said

# Facts that are whole sentences of ours, or somebody's own words.
SENTENCES = {"reason", "source"}
# {} is the thing it was done to. A verb that is not here is told by its own words.
PHRASES = {
    "account.added": _("added the gateway account {}"),
    "account.changed": _("changed the gateway account {}"),
    "account.granted": _("changed who may use the gateway account {}"),
    "account.removed": _("removed the gateway account {}"),
    "account.token_replaced": _("replaced the access token of {}"),
    "administrator.created": _("set up this installation as its administrator"),
    "alert_rule.removed": _("deleted the alert rule {}"),
    "alert_rule.saved": _("saved the alert rule {}"),
    "alerts.settings_changed": _("changed the quiet hours or the morning's mail"),
    "announcement.made": _("announced {}"),
    "announcement.taken_back": _("took the announcement {} back"),
    "audit.exported": _("exported the audit log"),
    "audit.pruned": _("deleted old events from the audit log"),
    "bulk.connect": _("began to connect several sessions"),
    "bulk.delete": _("began to delete several sessions"),
    "bulk.disconnect": _("began to disconnect several sessions"),
    "bulk.disconnect_all": _("began to disconnect all sessions"),
    "bulk.stopped": _("stopped an action on several sessions"),
    "campaign.add_session": _("added a session to {}"),
    "campaign.approval_asked": _("asked an administrator to look at {}"),
    "campaign.approval_withdrawn": _("took {} back, which waited for approval"),
    "campaign.approved": _("approved {}"),
    "campaign.assume_sent": _("counted as sent what nobody could tell of in {}"),
    "campaign.cancel": _("cancelled {}"),
    "campaign.create": _("drafted {}"),
    "analytics.exported": _("exported figures of the analytics"),
    "campaign.exported": _("exported the recipients of {}"),
    "campaign.discarded": _("threw the draft {} away"),
    "campaign.not_approved": _("did not approve {}"),
    "campaign.refused": _("was refused a session or people for {}"),
    "campaign.saved": _("changed the draft {}"),
    "campaign.launch": _("started {}"),
    "campaign.pace": _("changed the pace of {}"),
    "campaign.pause": _("paused {}"),
    "campaign.remove_session": _("took a session out of {}"),
    "campaign.resume": _("resumed {}"),
    "campaign.schedule": _("scheduled {}"),
    "campaign.send_again": _("sent again what nobody could tell of in {}"),
    "campaign.start": _("started {}, which was scheduled"),
    "campaign.unschedule": _("took {} off the schedule"),
    "channel.added": _("added the alert channel {}"),
    "channel.changed": _("switched the alert channel {}"),
    "channel.removed": _("removed the alert channel {}"),
    "channel.replayed": _("sent a message to {} once more"),
    "channel.tested": _("tested the alert channel {}"),
    "contact.added": _("added {}"),
    "contact.consent_granted": _("noted that {} agreed to be written to"),
    "contact.edited": _("changed {}"),
    "contact.erased": _("erased {}"),
    "contact.held_for_review": _("held {} back until somebody has looked"),
    "contact.merged": _("merged {} with another entry"),
    "contact.opted_in": _("noted that {} may be written to again"),
    "contact.opted_out": _("noted that {} asked not to be written to"),
    "contact.released": _("let {} be written to again"),
    "contacts.exported": _("exported contacts"),
    "contacts.import_cancelled": _("cancelled an import into {}"),
    "contacts.import_started": _("began an import into {}"),
    "contacts.imported": _("imported people into {}"),
    "group.changed": _("changed the group {}"),
    "group.created": _("made the group {}"),
    "group.deleted": _("deleted the group {}"),
    "incident.acknowledged": _("took on {}"),
    "installation.approval_changed": _("changed which campaigns need approval"),
    "installation.confirmed": _("let a restored copy send"),
    "installation.held": _("held all sending, for the database is a copy"),
    "installation.keys_rotated": _("encrypted the stored secrets anew"),
    "installation.resumed": _("let sending go on for everybody"),
    "installation.stopped": _("stopped all sending"),
    "invite.accepted": _("accepted an invitation"),
    "link.invite.made": _("made an invitation"),
    "link.login.made": _("made a login link for {}"),
    "link.login.opened": _("opened a one-time link and was asked for the second factor"),
    "link.login.used": _("logged in by a one-time link"),
    "link.setup.made": _("made the link for the first administrator"),
    "list.created": _("made the list {}"),
    "list.deleted": _("deleted the list {}"),
    "list.renamed": _("renamed the list {}"),
    "login.codes_made": _("made new recovery codes"),
    "login.done": _("logged in"),
    "login.ended": _("logged out"),
    "login.ended_elsewhere": _("logged other browsers out"),
    "login.factor_added": _("set up a second factor"),
    "login.factor_refused": _("turned away a wrong code of the second factor of {}"),
    "login.factor_removed": _("switched the second factor off"),
    "login.recovery_code_used": _("used a recovery code in place of the second factor"),
    "login.refused": _("turned away a login as {}: the password was wrong"),
    "login.unknown": _("turned away a login with an address that nobody here has"),
    "conversation.number_found": _("looked up who is behind a hidden number, by {}"),
    "media.uploaded": _("uploaded the file {}"),
    "message.assume_sent": _("counted as sent what nobody could tell of to {}"),
    "message.queued": _("wrote to {}"),
    "message.send_again": _("sent again what nobody could tell of to {}"),
    "phone_link.made": _("made a one-time link for the phone of {}"),
    "phone_link.revoked": _("ended the one-time links of {}"),
    "phone_link.used": _("let somebody with a one-time link ask for the code of {}"),
    "plan.changed": _("changed the plan {}"),
    "plan.created": _("made the plan {}"),
    "plan.deleted": _("deleted the plan {}"),
    "session.auto_reconnect": _("changed whether {} is reconnected by itself"),
    "session.adopted": _("took over the session {}"),
    "session.changed": _("changed the settings of {}"),
    "session.connect": _("connected {}"),
    "session.created": _("created the session {}"),
    "session.deleted": _("deleted the session {}"),
    "session.disconnect": _("disconnected {}"),
    "session.grouped": _("changed the groups of {}"),
    "session.intent_removed": _("took back the session {}, which the gateway does not have"),
    "session.key_regenerated": _("replaced the key of {}"),
    "session.refused": _("was refused a session or group that is not theirs"),
    "session.released": _("gave back the session {}"),
    "session.renamed": _("renamed {}"),
    "session.restarted": _("restarted {}"),
    "session.self_check": _("changed whether {} checks itself"),
    "session.set_default": _("made {} the default"),
    "session_template.changed": _("changed the session template {}"),
    "session_template.created": _("saved the session template {}"),
    "session_template.deleted": _("deleted the session template {}"),
    "session_template.followed": _("let sessions follow the session template {}"),
    "template.changed": _("changed the message template {}"),
    "template.created": _("saved the message template {}"),
    "template.deleted": _("deleted the message template {}"),
    "share.accepted": _("accepted a share of {}"),
    "share.changed": _("changed a share of {}"),
    "share.declined": _("declined a share of {}"),
    "share.invited": _("invited somebody to use {}"),
    "share.left": _("gave {} back"),
    "share.revoked": _("ended a share of {}"),
    "share.used": _("began a campaign over {}, which is shared"),
    "suppressions.exported": _("exported who is not to be written to"),
    "token.created": _("made the API token {}"),
    "token.revoked": _("revoked the API token {}"),
    "user.address_asked": _("asked for another e-mail address"),
    "user.address_changed": _("changed the e-mail address of {}"),
    "user.changed": _("changed the rights or data of {}"),
    "user.closed": _("closed the account {}"),
    "user.created": _("added {} as a user"),
    "user.deleted": _("deleted the user {}"),
    "user.exported": _("took a copy of all their data"),
    "user.factor_removed": _("removed the second factor of {}"),
    "user.made_administrator": _("made {} an administrator"),
    "user.made_ordinary": _("took the administrator's rights of {}"),
    "user.password_replaced": _("set another password for {}"),
    "user.password_reset": _("set a new password by a mailed link"),
    "user.password_set": _("set a new password"),
    "user.plan_changed": _("changed the plan of {}"),
    "user.plan_ended": _("ended the plan of {}, whose time was over"),
    "user.reset_sent": _("had a way to set a password mailed to {}"),
    "user.settings_changed": _("changed the personal settings"),
    "user.signed_up": _("signed up"),
    "user.switched_off": _("switched {} off"),
    "user.switched_on": _("switched {} on again"),
    "user.verification_sent": _("had the verification mailed to {} again"),
}
THINGS = {
    "Announcement": _("an announcement"),
    "ApiToken": _("an API token"),
    "Campaign": _("a campaign"),
    "Contact": _("a person"),
    "ContactList": _("a list"),
    "GatewayAccount": _("a gateway account"),
    "Incident": _("an incident"),
    "MediaFile": _("a file"),
    "MessageTemplate": _("a message template"),
    "Plan": _("a plan"),
    "SessionGroup": _("a group"),
    "User": _("somebody"),
    "WaSenderSession": _("a session"),
}
WAYS = {
    How.PAGE: _("from a page"),
    How.API: _("by the API"),
    How.WEBHOOK: _("because of a webhook"),
    How.JOB: _("in the background"),
    How.COMMAND: _("by a command"),
    How.ADMINISTRATOR: _("on the administration site"),
}
AREAS = {
    "session": (
        _("Sessions"),
        ("session.", "bulk.", "group.", "phone_link.", "session_template.", "analytics.", "share."),
    ),
    "campaign": (_("Campaigns and messages"), ("campaign.", "message.", "template.", "media.", "conversation.")),
    "contact": (_("Contacts and consent"), ("contact.", "contacts.", "list.", "suppressions.", "consent.")),
    "account": (_("Gateway accounts"), ("account.",)),
    "alert": (_("Alerts"), ("alert_rule.", "alerts.", "channel.", "incident.")),
    "person": (_("People and logins"), ("link.", "invite.", "administrator.", "token.", "user.", "login.", "plan.")),
    "installation": (_("The installation"), ("installation.", "announcement.")),
    "audit": (_("The audit log itself"), ("audit.",)),
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
        return self.told_of(self.thing, self.way)

    def told_of(self, thing: str, way: str = "") -> str:
        """The sentence with another word for what it was done to: where it stands, everybody knows what is meant."""
        did = self.did.replace("{}", thing)
        return " ".join(gettext("{who} {did} {way}").format(who=self.who, did=did, way=way).split())

    @property
    def html(self) -> SafeString:
        """The same, each name kept apart from what stands around it (names may be right to left)."""
        before, found, after = self.did.partition("{}")
        thing = format_html("<bdi>{}</bdi>", self.thing) if found else ""
        if self.thing[:1] == "“":
            thing = format_html("“<bdi>{}</bdi>”", self.thing[1:-1]) if found else ""
        who, did = format_html("<bdi>{}</bdi>", self.who), format_html("{}{}{}", before, thing, after)
        return format_html(gettext("{who} {did} {way}"), who=who, did=did, way=self.way)


def lines(events: Iterable[Event], viewer: Any) -> list[Line]:
    """In words, for `viewer`: others' addresses are for administrators only. One query for all people named."""
    events = list(events)
    people = _people(events)
    return [_line(one, viewer, people) for one in events]


def _line(event: Event, viewer: Any, people: dict[str, str]) -> Line:
    is_own = event.actor_id == viewer.pk
    did = PHRASES.get(event.verb)
    if did is None:
        verb = event.verb.replace(".", " ").replace("_", " ")
        did = gettext("did “%(verb)s” to {}") % {"verb": verb}
    return Line(
        event=event,
        who=gettext("You") if is_own else _person(event.actor_ref, people, US if event.actor_id is None else None),
        did=str(did),
        thing=gettext("you") if event.target_id == str(viewer.public_id) and not is_own else _thing(event, people),
        way=str(WAYS.get(event.how, "")),
        changes=[(_title(name), *map(_said, pair)) for name, pair in event.changes.items()],
        facts=[(_title(name), (said if name in SENTENCES else _said)(value)) for name, value in event.data.items()],
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
        return nobody or gettext("A former user")
    return people.get(str(ref)) or gettext("A former user (%(ref)s)") % {"ref": str(ref)[:8]}


def _thing(event: Event, people: dict[str, str]) -> str:
    if event.target == "User":
        return _person(event.target_id if _is_uuid(event.target_id) else None, people)
    if event.target in {"Contact", "Message"} and event.label:
        return gettext("the person at %(number)s") % {"number": event.label}
    return f"“{event.label}”" if event.label else str(THINGS.get(event.target) or gettext("something"))


def _title(name: str) -> str:
    """A field's name is a code; what the pages name the same way is said in their words."""
    return gettext(name.replace("_", " ").capitalize())


def _said(value: Any) -> str:
    if value is None or value == "" or value == []:
        return gettext("none")
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
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
