"""Paths under /accounts/ besides allauth's own."""

from __future__ import annotations

from django.urls import path

from phonebank.accounts import token_views, views

app_name = "accounts"
urlpatterns = [
    path("link/<str:token>/", views.one_time_link, name="link"),
    path("settings/", views.settings_page, name="settings"),
    path("password/", views.password, name="password"),
    path("tokens/", token_views.tokens, name="tokens"),
    path("tokens/<uuid:public_id>/revoke/", token_views.token_revoke, name="token_revoke"),
    path("theme/", views.theme, name="theme"),
    path("language/", views.language, name="language"),
]
