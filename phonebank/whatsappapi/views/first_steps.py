"""From an empty installation to the first campaign: what is done, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.urls import reverse

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
        proof = "The first event that comes in proves it, while a session links. Replies and STOP arrive this way."
    else:
        proof = "Give this installation an https address (PUBLIC_URL). Replies and STOP arrive this way."
    return [
        Step("Add your gateway account", "Paste the access token of your WaSender account.",
             reverse("whatsappapi:gateway"), "Add the token", done["account"]),
        Step("Let the gateway reach this server", proof, reverse("whatsappapi:gateway"), "See how", done["proof"]),
        Step("Create a session", "One session is one WhatsApp number.",
             reverse("whatsappapi:create_session"), "Create it", done["session"]),
        Step("Scan its code", "With the phone of that number: Settings, Linked devices.", page, "Show the code",
             done["scan"]),
        Step("Send a test message to yourself", "See on your own phone that it works.", page, "Open the session",
             done["test"]),
        Step("Import people", "A list of those who agreed to be written to.",
             reverse("whatsappapi:import_contacts"), "Import", done["people"]),
        Step("Start the first campaign", "Write it, choose the sessions, look at it once more, start.",
             reverse("whatsappapi:send_campaign"), "Write it", done["campaign"]),
    ]  # fmt: skip


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
