"""Passwords that whoever attacks an installation of this very product would try first."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# Documented in docs/security.md. A password may hold one of them; what is left of it must still be long enough.
OWN_WORDS = ("phonebank", "whatsapp", "wasender", "password", "admin", "login")
LEAST = 8


class OwnWordsValidator:
    """Refuses a password that is little more than the product's own words."""

    def validate(self, password: str, user: object = None) -> None:
        rest = password.casefold()
        for word in OWN_WORDS:
            rest = rest.replace(word, "")
        if len(rest) < LEAST and rest != password.casefold():
            raise ValidationError(self.get_help_text(), code="password_own_words")

    def get_help_text(self) -> str:
        return _("Words such as Phonebank, WhatsApp or password are the first that others try. Use different ones.")
