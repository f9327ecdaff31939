"""Addresses under /audit/."""

from __future__ import annotations

from django.urls import path

from phonebank.audit import views

app_name = "audit"
urlpatterns = [
    path("", views.log, name="log"),
    path("export/", views.export_csv, name="export"),
]
