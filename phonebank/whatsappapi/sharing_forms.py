"""Forms of sharing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from phonebank.whatsappapi.models import SessionShare

LOCAL = "%Y-%m-%dT%H:%M"
ROLES = [
    ("viewer", _("Viewer: looks at it")),
    ("operator", _("Operator: sends over it")),
]


class TermsForm(forms.Form):
    """What somebody may do with a session, and until when (in the time zone of whoever fills it in)."""

    role = forms.ChoiceField(choices=ROLES, label=_("What they may do"))
    until = forms.DateTimeField(
        required=False,
        label=_("Until"),
        input_formats=[LOCAL, f"{LOCAL}:%S"],
        widget=forms.DateTimeInput(format=LOCAL, attrs={"type": "datetime-local"}),
        help_text=_("Empty: until you end it."),
    )

    @classmethod
    def of(cls, share: SessionShare, data: Any = None) -> TermsForm:
        # The page's field has no seconds: without them, what nobody touched is not taken for a change.
        until = share.until and share.until.replace(second=0, microsecond=0)
        return cls(data, initial={"role": share.role, "until": until}, prefix=share.public_id.hex)

    def changes(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.changed_data}


class InviteForm(TermsForm):
    email = forms.EmailField(label=_("E-mail"), help_text=_("Of somebody who has an account here, or will have one."))

    field_order = ("email", "role", "until")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].widget.attrs["autocomplete"] = "off"
