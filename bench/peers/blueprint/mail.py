"""An e-mail backend whose letters are WhatsApp messages: the address is the phone, the subject carries the key."""

from __future__ import annotations

import requests
from django.conf import settings
from django.core.mail.backends.base import BaseEmailBackend


class PostingBackend(BaseEmailBackend):
    """Keeps its connection for as long as django-post-office keeps the backend open: the cheapest it can do."""

    http: requests.Session | None = None

    def open(self) -> bool:
        self.http = self.http or requests.Session()
        return True

    def close(self) -> None:
        if self.http is not None:
            self.http.close()
            self.http = None

    def send_messages(self, email_messages) -> int:
        self.open()
        for letter in email_messages:
            answer = self.http.post(
                settings.WORK["url"],
                json={"to": "+" + letter.to[0].split("@")[0], "text": letter.body},
                headers={"Authorization": f"Bearer {letter.subject}"},
                timeout=20,
            )
            answer.raise_for_status()
        return len(email_messages)
