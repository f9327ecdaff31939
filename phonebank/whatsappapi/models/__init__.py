"""Tables, constraints and QuerySets of the product. No HTTP, no services."""

from __future__ import annotations

from phonebank.whatsappapi.models.administration import AccountDeletion, Announcement, Approval, Dismissal
from phonebank.whatsappapi.models.alerts import (
    AlertKind,
    AlertRule,
    AlertSettings,
    Channel,
    Delivery,
    Digest,
    Incident,
)
from phonebank.whatsappapi.models.analytics import DayZone, OwnerDay, RollUp, SessionDay, SessionMonth, SessionQuarter
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
from phonebank.whatsappapi.models.links import HealthNote, PhoneLink, Reconnection
from phonebank.whatsappapi.models.media import MediaFile, MediaKind, MediaLink
from phonebank.whatsappapi.models.messages import Attempt, Kind, Message, State
from phonebank.whatsappapi.models.operations import Alert, Installation
from phonebank.whatsappapi.models.probe import Probe, ProbePair
from phonebank.whatsappapi.models.session_templates import SessionTemplate, TemplatedSession
from phonebank.whatsappapi.models.sessions import WaSenderSession
from phonebank.whatsappapi.models.shares import SessionShare
from phonebank.whatsappapi.models.templates import MessageTemplate
from phonebank.whatsappapi.models.tracking import CallBudget, Sweep, Watch
from phonebank.whatsappapi.models.webhooks import InboundMessage, WebhookEvent
from phonebank.whatsappapi.models.workers import WorkerReport

__all__ = [
    "AccountDeletion",
    "Alert",
    "AlertKind",
    "AlertRule",
    "AlertSettings",
    "Announcement",
    "ApiAnswer",
    "ApiMessage",
    "ApiUsage",
    "Approval",
    "Attempt",
    "BulkAction",
    "BulkResult",
    "CallBudget",
    "Campaign",
    "CampaignCount",
    "CampaignSession",
    "Channel",
    "ConsentRecord",
    "Contact",
    "ContactImport",
    "ContactList",
    "ContactTag",
    "Conversation",
    "DayZone",
    "Delivery",
    "Digest",
    "DigestKey",
    "Dismissal",
    "GatewayAccount",
    "HealthNote",
    "ImportNumber",
    "ImportPart",
    "ImportRow",
    "InboundMessage",
    "Incident",
    "Installation",
    "Kind",
    "MediaFile",
    "MediaKind",
    "MediaLink",
    "Message",
    "MessageTemplate",
    "OwnerDay",
    "PhoneLink",
    "Probe",
    "ProbePair",
    "Reconnection",
    "RollUp",
    "SessionDay",
    "SessionDoubt",
    "SessionEvent",
    "SessionGroup",
    "SessionMonth",
    "SessionQuarter",
    "SessionShare",
    "SessionTemplate",
    "State",
    "Suppression",
    "Sweep",
    "TemplatedSession",
    "WaSenderSession",
    "Watch",
    "WebhookEvent",
    "WorkerReport",
]
