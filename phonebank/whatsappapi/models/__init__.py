"""Tables, constraints and QuerySets of the product. No HTTP, no services."""

from __future__ import annotations

from phonebank.whatsappapi.models.api import ApiAnswer, ApiMessage, ApiUsage
from phonebank.whatsappapi.models.bulk import BulkAction, BulkResult, SessionDoubt
from phonebank.whatsappapi.models.campaigns import Campaign, CampaignCount, CampaignSession
from phonebank.whatsappapi.models.contacts import (
    ConsentRecord,
    Contact,
    ContactList,
    ContactTag,
    DigestKey,
    Suppression,
)
from phonebank.whatsappapi.models.conversations import Conversation
from phonebank.whatsappapi.models.gateways import GatewayAccount
from phonebank.whatsappapi.models.groups import SessionGroup
from phonebank.whatsappapi.models.history import SessionEvent
from phonebank.whatsappapi.models.imports import ContactImport, ImportNumber, ImportPart, ImportRow
from phonebank.whatsappapi.models.media import MediaFile, MediaKind, MediaLink
from phonebank.whatsappapi.models.messages import Attempt, Kind, Message, State
from phonebank.whatsappapi.models.operations import Alert, Installation
from phonebank.whatsappapi.models.sessions import WaSenderSession
from phonebank.whatsappapi.models.templates import MessageTemplate
from phonebank.whatsappapi.models.tracking import CallBudget, Sweep, Watch
from phonebank.whatsappapi.models.webhooks import InboundMessage, WebhookEvent
from phonebank.whatsappapi.models.workers import WorkerReport

__all__ = [
    "Alert",
    "ApiAnswer",
    "ApiMessage",
    "ApiUsage",
    "Attempt",
    "BulkAction",
    "BulkResult",
    "CallBudget",
    "Campaign",
    "CampaignCount",
    "CampaignSession",
    "ConsentRecord",
    "Contact",
    "ContactImport",
    "ContactList",
    "ContactTag",
    "Conversation",
    "DigestKey",
    "GatewayAccount",
    "ImportNumber",
    "ImportPart",
    "ImportRow",
    "InboundMessage",
    "Installation",
    "Kind",
    "MediaFile",
    "MediaKind",
    "MediaLink",
    "Message",
    "MessageTemplate",
    "SessionDoubt",
    "SessionEvent",
    "SessionGroup",
    "State",
    "Suppression",
    "Sweep",
    "WaSenderSession",
    "Watch",
    "WebhookEvent",
    "WorkerReport",
]
