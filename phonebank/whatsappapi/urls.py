"""Addresses under /whatsappapi/."""

from __future__ import annotations

from django.urls import path

from phonebank.whatsappapi.views import campaigns, contacts, dashboard, gateway, send_campaign, sessions, webhook

app_name = "whatsappapi"
urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("sessions/", sessions.sessions, name="sessions"),
    path("create-session/", sessions.create_session, name="create_session"),
    path("sessions/<uuid:public_id>/", sessions.session, name="session"),
    path("sessions/<uuid:public_id>/link/", sessions.session_link, name="session_link"),
    path("sessions/<uuid:public_id>/connect/", sessions.session_connect, name="session_connect"),
    path("sessions/<uuid:public_id>/disconnect/", sessions.session_disconnect, name="session_disconnect"),
    path("sessions/<uuid:public_id>/set-default/", sessions.session_set_default, name="session_set_default"),
    path("sessions/<uuid:public_id>/delete/", sessions.session_delete, name="session_delete"),
    path("contacts/", contacts.contacts, name="contacts"),
    path("contacts/import/", contacts.import_contacts, name="import_contacts"),
    path("send-campaign/", send_campaign.send_campaign, name="send_campaign"),
    path("send-campaign/preview/", send_campaign.preview, name="preview"),
    path("campaigns/", campaigns.campaigns, name="campaigns"),
    path("campaigns/<uuid:public_id>/", campaigns.campaign, name="campaign"),
    path("campaigns/<uuid:public_id>/launch/", campaigns.campaign_launch, name="campaign_launch"),
    path("campaigns/<uuid:public_id>/pause/", campaigns.campaign_pause, name="campaign_pause"),
    path("campaigns/<uuid:public_id>/resume/", campaigns.campaign_resume, name="campaign_resume"),
    path("campaigns/<uuid:public_id>/cancel/", campaigns.campaign_cancel, name="campaign_cancel"),
    path("gateway/", gateway.gateway, name="gateway"),
    # The gateway may have been given either spelling; a redirect would lose the POST.
    path("webhook/<uuid:user_id>/", webhook.webhook, name="webhook"),
    path("webhook/<uuid:user_id>", webhook.webhook),
    path("webhook/<uuid:user_id>/<str:token>/", webhook.webhook, name="webhook_token"),
    path("webhook/<uuid:user_id>/<str:token>", webhook.webhook),
]
