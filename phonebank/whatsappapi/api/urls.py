"""Addresses under /api/. What is not listed here is answered 404 in JSON."""

from __future__ import annotations

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from phonebank.whatsappapi.api.alerts import Channels, Deliveries, Incidents, Rules, Settings
from phonebank.whatsappapi.api.analytics import Analytics
from phonebank.whatsappapi.api.bulk import BulkActions
from phonebank.whatsappapi.api.campaigns import Campaigns
from phonebank.whatsappapi.api.contacts import Contacts, Lists, Suppressions
from phonebank.whatsappapi.api.docs import Docs, Schema
from phonebank.whatsappapi.api.groups import Groups
from phonebank.whatsappapi.api.handler import NoSuchAddress
from phonebank.whatsappapi.api.media import MediaFiles
from phonebank.whatsappapi.api.messages import Messages
from phonebank.whatsappapi.api.replies import Conversations, Replies
from phonebank.whatsappapi.api.session_templates import SessionTemplates
from phonebank.whatsappapi.api.sessions import Accounts, Sessions
from phonebank.whatsappapi.api.shares import Invitations, Shares
from phonebank.whatsappapi.api.templates import Templates
from phonebank.whatsappapi.api.wellbeing import Care

router = SimpleRouter(use_regex_path=False)
router.register("sessions", Sessions, "sessions")
router.register("shares", Shares, "shares")
router.register("invitations", Invitations, "invitations")
router.register("bulk-actions", BulkActions, "bulk-actions")
router.register("accounts", Accounts, "accounts")
router.register("groups", Groups, "groups")
router.register("contacts", Contacts, "contacts")
router.register("lists", Lists, "lists")
router.register("suppressions", Suppressions, "suppressions")
router.register("campaigns", Campaigns, "campaigns")
router.register("messages", Messages, "messages")
router.register("replies", Replies, "replies")
router.register("conversations", Conversations, "conversations")
router.register("templates", Templates, "templates")
router.register("session-templates", SessionTemplates, "session-templates")
router.register("media", MediaFiles, "media")
router.register("incidents", Incidents, "incidents")
router.register("alert-rules", Rules, "alert-rules")
router.register("channels", Channels, "channels")
router.register("deliveries", Deliveries, "deliveries")

# Below a session: address -> method -> action of Care.
CARE = {
    "health": {"get": "health"},
    "reconnects": {"get": "reconnects", "patch": "switch"},
    "phone-links": {"get": "links", "post": "make_link", "delete": "revoke_links"},
    "self-check": {"get": "check", "patch": "switch_check"},
}

app_name = "api"
urlpatterns = [
    *router.urls,
    path("analytics/days/", Analytics.as_view({"get": "report"}), name="analytics-days"),
    path("analytics/sessions/", Analytics.as_view({"get": "sessions"}), name="analytics-sessions"),
    *(
        path(f"sessions/<uuid:id>/{name}/", Care.as_view(verbs), name=f"sessions-{name}")
        for name, verbs in CARE.items()
    ),
    path("alert-settings/", Settings.as_view({"get": "retrieve", "patch": "partial_update"}), name="alert-settings"),
    path("schema/", Schema.as_view(), name="schema"),
    path("docs/", Docs.as_view(), name="docs"),
    re_path("", NoSuchAddress.as_view(), name="no_such_address"),
]
