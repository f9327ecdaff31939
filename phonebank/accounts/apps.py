from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "phonebank.accounts"
    label = "accounts"
    verbose_name = "Accounts and plans"

    def ready(self) -> None:
        from phonebank.accounts import signals  # noqa: F401
