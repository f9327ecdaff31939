"""Paths under /accounts/ besides allauth's own."""

from __future__ import annotations

from django.urls import path

from phonebank.accounts import views

app_name = "accounts"
urlpatterns = [
    path("link/<str:token>/", views.one_time_link, name="link"),
    path("settings/", views.settings_page, name="settings"),
    path("password/", views.password, name="password"),
    path("theme/", views.theme, name="theme"),
    path("people/", views.people, name="people"),
    path("people/invite/", views.invite, name="invite"),
    path("people/<uuid:public_id>/login-link/", views.login_link, name="login_link"),
]
