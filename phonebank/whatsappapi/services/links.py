"""One-time links for whoever holds a session's phone: they scan its code without an account, and see nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways.errors import GatewayError, NotConnected, NotFound, Refused
from phonebank.language import stored
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.models import CallBudget, Incident, PhoneLink, WaSenderSession
from phonebank.whatsappapi.models.fields import digest
from phonebank.whatsappapi.services import reconnect
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call, explain
from phonebank.whatsappapi.services.session_history import note_action
from phonebank.whatsappapi.services.session_status import apply_status, read_details, refresh_status

Status = WaSenderSession.Status
End = PhoneLink.End

MADE = stored("Made a one-time link for whoever holds the phone.")
OPENED = stored("Somebody opened the one-time link to scan the code.")
LASTS = timedelta(hours=24)
MOST = 5  # open links of one session
AFTERWARDS = timedelta(minutes=10)  # for so long the page says that it worked
VIEW_GAP, VIEW_BURST = 1.0, 60.0  # seconds a view, and saved up: one page looks every 3 s
START_GAP, START_BURST = 20.0, 60.0  # the same for asking the gateway to begin


def make(*, actor: User, wa_session: WaSenderSession, hours: int = 24) -> str:
    """A new link's token, in place of the one that a person made before. Shown this once."""
    row = WaSenderSession.objects.visible_to(actor).filter(pk=wa_session.pk).first()
    if row is None:
        raise ServiceError(_("This session does not exist."), code="not_found")
    if row.wasender_id is None or row.status == Status.CONNECTED:
        raise ServiceError(_("There is nothing to scan: this session needs no link now."), code="wrong_state")
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        WaSenderSession.objects.select_for_update(no_key=True).get(pk=row.pk)
        open_links(row).exclude(made_by=None).update(ended_at=timezone.now(), end=End.REPLACED)
        PhoneLink.objects.create(
            session=row, digest=digest(token), made_by=actor, expires_at=timezone.now() + timedelta(hours=hours)
        )
        record(actor=actor, verb="phone_link.made", target=row, hours=hours)
        note_action(row, MADE, actor)
    return token


def for_incident(wa_session: WaSenderSession, incident: Incident) -> str | None:
    """The token of the link that an incident's messages carry for a session; None where there may be none.

    Made from the installation's key, so that all messages and repeats carry the same link and nothing but its digest
    is stored; a link that was revoked stays so.
    """
    if wa_session.wasender_id is None or wa_session.status == Status.CONNECTED:
        return None
    seed = f"phone-link:{incident.public_id}:{wa_session.public_id}".encode()
    raw = hmac.new(settings.SECRET_KEY.encode(), seed, hashlib.sha256).digest()
    token = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    with transaction.atomic():
        WaSenderSession.objects.select_for_update(no_key=True).get(pk=wa_session.pk)
        row = PhoneLink.objects.filter(digest=digest(token)).first()
        if row is None:
            if open_links(wa_session).count() >= MOST:
                return None
            expires = timezone.now() + LASTS
            row = PhoneLink.objects.create(session=wa_session, digest=digest(token), expires_at=expires)
            record(actor=None, verb="phone_link.made", target=wa_session, because="an alert")
    return token if row.ended_at is None and row.expires_at > timezone.now() else None


def open_links(wa_session: WaSenderSession) -> QuerySet[PhoneLink]:
    return wa_session.phone_links.filter(ended_at=None, expires_at__gt=timezone.now())


def revoke(*, actor: User, wa_session: WaSenderSession) -> int:
    """Ends all links of the session at once. Returns how many."""
    with transaction.atomic():
        row = WaSenderSession.objects.visible_to(actor).filter(pk=wa_session.pk).first()
        if row is None:
            raise ServiceError(_("This session does not exist."), code="not_found")
        ended = open_links(row).update(ended_at=timezone.now(), end=End.REVOKED)
        if ended:
            record(actor=actor, verb="phone_link.revoked", target=row, links=ended)
    return ended


def tidy() -> int:
    """Ends the links of sessions that are connected; forgets how often old ones were looked at."""
    done = PhoneLink.objects.filter(
        ended_at=None, session__status=Status.CONNECTED, session__status_since__gte=F("created_at")
    ).update(ended_at=timezone.now(), end=End.LINKED)
    CallBudget.objects.filter(key__startswith="link", next_at__lt=timezone.now() - timedelta(days=1)).delete()
    return done


# --- the page without an account --------------------------------------------------------------------------------------


def find(token: str) -> PhoneLink | None:
    """The link that is open, or has just done its work; None for anything else, whatever the reason."""
    row = PhoneLink.objects.filter(digest=digest(token)).select_related("session__account", "session__user").first()
    if row is None or row.session.deleted_at is not None or not row.session.user.is_active:
        return None
    one = row.session
    if row.ended_at is None and one.status == Status.CONNECTED and one.status_since >= row.created_at:
        PhoneLink.objects.filter(pk=row.pk, ended_at=None).update(ended_at=timezone.now(), end=End.LINKED)
        row.refresh_from_db(fields=["ended_at", "end"])
    if row.ended_at is not None:
        return row if row.end == End.LINKED and row.ended_at > timezone.now() - AFTERWARDS else None
    return row if row.expires_at > timezone.now() else None


def may_view(link: PhoneLink) -> bool:
    return budget.take(f"link:{link.pk}", gap=VIEW_GAP, burst=VIEW_BURST) == 1


def start(link: PhoneLink) -> None:
    """The person presses the button: linking begins, and with it the codes. Nobody of ours is the actor."""
    row = _usable(link)
    if not budget.take(f"link-start:{link.pk}", gap=START_GAP, burst=START_BURST):
        raise ServiceError(_("That was too often. Wait a minute, then press again."), code="too_many")
    if PhoneLink.objects.filter(pk=link.pk, opened_at=None).update(opened_at=timezone.now()):
        with transaction.atomic():
            record(actor=None, verb="phone_link.used", target=row)
            note_action(row, OPENED, None)
    if row.status in (Status.NEED_SCAN, Status.NEED_PASSKEY, Status.CONNECTING):
        return
    token, number = row.account.token, row.wasender_id or 0

    async def work(gateway: Any) -> Any:
        await read_details(gateway, row)
        return await gateway.connect(token, number)

    result = _ask(row, work)
    reconnect.wanted(row)
    if result.status == Status.CONNECTED:
        refresh_status(wa_session=row)
    else:
        apply_status(wa_session_id=row.pk, status=result.status, source="gateway")


def current_qr(link: PhoneLink) -> str | None:
    """The code's text; None once nothing is left to scan. An expired one starts linking anew."""
    row = _usable(link)
    token, number = row.account.token, row.wasender_id or 0

    async def work(gateway: Any) -> str | None:
        try:
            return (await gateway.qrcode(token, number)).qr
        except (NotConnected, Refused):
            return (await gateway.connect(token, number)).qr

    text = _ask(row, work)
    if text is None:
        refresh_status(wa_session=row)
    return text


def look(link: PhoneLink) -> WaSenderSession:
    """Asks the gateway how far it is."""
    return refresh_status(wa_session=_usable(link))


def _usable(link: PhoneLink) -> WaSenderSession:
    if link.ended_at is not None or link.session.wasender_id is None:
        raise ServiceError(_("This link has ended."), code="ended")
    return link.session


def _ask(row: WaSenderSession, work: Any) -> Any:
    try:
        return client_call(row.account, work)
    except NotFound as error:
        raise ServiceError(
            _("This number cannot be linked now. Tell whoever sent you the link."), code="gone"
        ) from error
    except GatewayError as error:
        raise explain(error, _("Nothing is lost.")) from error
