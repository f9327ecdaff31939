"""From an empty installation to the first campaign: what is done, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Campaign, Contact, GatewayAccount, Kind, Message, State, WaSenderSession


@dataclass(frozen=True)
class Step:
    """`action` is the words of its link."""

    title: str
    text: str
    url: str
    action: str
    is_done: bool


def first_steps(user: User) -> list[Step]:
    """All steps, or none once a first campaign was started. One query for what is done, one for the session's page."""
    done = _what_is_done(user)
    if done["campaign"]:
        return []
    own = WaSenderSession.objects.visible_to(user)
    session = own.order_by("-is_default", "created_at").values_list("public_id", flat=True).first()
    page = reverse("whatsappapi:session", args=[session]) if session else reverse("whatsappapi:create_session")
    if done["proof"] or settings.PUBLIC_URL:
        proof = _("The first event that comes in proves it, while a session links. Replies and STOP arrive this way.")
    else:
        proof = _("Give this installation an https address (PUBLIC_URL). Replies and STOP arrive this way.")
    return [
        Step(
            _("Add your gateway account"),
            _("Paste the access token of your WaSender account."),
            reverse("whatsappapi:gateway"),
            _("Add the token"),
            done["account"],
        ),
        Step(
            _("Let the gateway reach this server"), proof, reverse("whatsappapi:gateway"), _("See how"), done["proof"]
        ),
        Step(
            _("Create a session"),
            _("One session is one WhatsApp number."),
            reverse("whatsappapi:create_session"),
            _("Create it"),
            done["session"],
        ),
        Step(
            _("Scan its code"),
            _("With the phone of that number: Settings, Linked devices."),
            page,
            _("Show the code"),
            done["scan"],
        ),
        *_to_send(done, page),
    ]


def _to_send(done: dict[str, bool], page: str) -> list[Step]:
    """What follows once a number is linked."""
    return [
        Step(
            _("Send a test message to yourself"),
            _("See on your own phone that it works."),
            page,
            _("Open the session"),
            done["test"],
        ),
        Step(
            _("Import people"),
            _("A list of those who agreed to be written to."),
            reverse("whatsappapi:import_contacts"),
            _("Import"),
            done["people"],
        ),
        Step(
            _("Start the first campaign"),
            _("Write it, choose the sessions, look at it once more, start."),
            reverse("whatsappapi:send_campaign"),
            _("Write it"),
            done["campaign"],
        ),
    ]


def _what_is_done(user: User) -> dict[str, bool]:
    own = WaSenderSession.objects.visible_to(user)
    # By session and without a campaign: an index leads there, past a million campaign messages.
    tests = Message.objects.filter(
        campaign=None, session__in=own.values("pk"), kind=Kind.TEST, state=State.ACCEPTED
    )  # fmt: skip
    accounts = GatewayAccount.objects.usable_by(user)
    hears_itself = accounts.filter(is_sandbox=True) if settings.LOCAL_URL else accounts.none()
    return (
        User.objects.filter(pk=user.pk)
        .values(
            account=Exists(accounts),
            proof=Exists(own.exclude(webhook_proven_at=None)) | Exists(hears_itself),
            session=Exists(own),
            scan=Exists(own.filter(connection_version__gt=0)) | Exists(own.filter(status="connected")),
            test=Exists(tests),
            people=Exists(Contact.objects.filter(user=OuterRef("pk"))),
            campaign=Exists(Campaign.objects.filter(user=OuterRef("pk")).exclude(state=Campaign.State.DRAFT)),
        )
        .get()
    )
