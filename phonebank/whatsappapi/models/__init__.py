"""Tables, constraints and QuerySets of the product. No HTTP, no services."""

from __future__ import annotations

from phonebank.whatsappapi.models.campaigns import Campaign, CampaignCount, CampaignSession
from phonebank.whatsappapi.models.contacts import ConsentRecord, Contact, ContactList, Suppression
from phonebank.whatsappapi.models.gateways import GatewayAccount
from phonebank.whatsappapi.models.messages import Attempt, Kind, Message, State
from phonebank.whatsappapi.models.operations import Alert, Installation
from phonebank.whatsappapi.models.sessions import WaSenderSession
from phonebank.whatsappapi.models.webhooks import InboundMessage, WebhookEvent

__all__ = [
    "Alert",
    "Attempt",
    "Campaign",
    "CampaignCount",
    "CampaignSession",
    "ConsentRecord",
    "Contact",
    "ContactList",
    "GatewayAccount",
    "InboundMessage",
    "Installation",
    "Kind",
    "Message",
    "State",
    "Suppression",
    "WaSenderSession",
    "WebhookEvent",
]
