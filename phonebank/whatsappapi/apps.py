from __future__ import annotations

from django.apps import AppConfig


class WhatsAppApiConfig(AppConfig):
    name = "phonebank.whatsappapi"
    label = "whatsappapi"
    verbose_name = "WhatsApp sessions and campaigns"

    def ready(self) -> None:
        from phonebank.whatsappapi.services import guard

        guard.install()
