"""Forms about what a message says and carries."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import MediaKind
from phonebank.whatsappapi.services import media
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.media import Media

ACCEPT = (
    "image/jpeg,image/png,video/mp4,video/3gpp,audio/aac,audio/mpeg,audio/ogg,audio/amr,application/pdf,"
    ".docx,.xlsx,.zip,.txt,.csv"
)


class MediaFields(forms.Form):
    """The three fields of `_media_field.html`. `take_media` reads them once the form is valid."""

    media_kind = forms.ChoiceField(
        choices=[("", gettext_lazy("Nothing, just the text")), *MediaKind.choices],
        required=False,
        label=gettext_lazy("Carries"),
    )
    media_url = forms.CharField(max_length=2000, required=False, widget=forms.HiddenInput)
    media_link = forms.CharField(
        max_length=2000,
        required=False,
        label=gettext_lazy("Address"),
        help_text=gettext_lazy("https://, for a file that anybody can open. WaSender fetches it when it sends."),
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "placeholder": "https://"}),
    )
    media_file = forms.FileField(
        required=False,
        label=gettext_lazy("File"),
        help_text=gettext_lazy("Pictures to 5 MB, videos and voice notes to 16 MB, documents to 25 MB."),
        widget=forms.FileInput(attrs={"accept": ACCEPT}),
    )

    @property
    def held(self) -> str:
        """The uploaded file that is kept when no other is given: its `file:` name."""
        url = self["media_url"].value() or ""
        return url if url.startswith("file:") else ""

    def take_media(self, actor: User, held_name: str = "") -> Media | None:
        """What the message carries. Adds the error to its field and raises ValidationError where it cannot be.

        `held_name`: the name of the file that stays, where none is given anew.
        """
        data = self.cleaned_data
        kind, file, link = data["media_kind"], data["media_file"], data["media_link"].strip()
        url = link or self.held
        if kind and not file and not url:
            self._fail("media_file", _("Choose a file, or give the address of one."))
        try:
            return media.read(
                actor=actor,
                kind=kind,
                url=url if kind else "",
                name=file.name if file else "" if link else held_name,
                file=file if kind else None,
            )
        except ServiceError as error:
            self._fail("media_link" if link and not file else "media_file", error.message)
        raise AssertionError("unreachable")

    def _fail(self, field: str, text: str) -> None:
        self.add_error(field, text)
        raise ValidationError(text)

    @staticmethod
    def media_initial(carrier: media.Carrier) -> dict[str, Any]:
        """The fields' values for a campaign or template that exists."""
        url = carrier.media_url
        is_file = url.startswith("file:")
        return {
            "media_kind": carrier.media_kind,
            "media_url": url if is_file else "",
            "media_link": "" if is_file else url,
        }


class TemplateForm(MediaFields):
    name = forms.CharField(
        max_length=80, label=gettext_lazy("Name"), help_text=gettext_lazy("Only you and your team see it.")
    )
    body = forms.CharField(
        max_length=media.LONGEST,
        required=False,
        label=gettext_lazy("Message"),
        widget=forms.Textarea(attrs={"rows": 7, "dir": "auto"}),
        help_text=gettext_lazy("Empty only beside a file. A voice note carries no text."),
    )
    field_order = ("name", "body", "media_kind", "media_url", "media_file", "media_link")


class AnswerForm(forms.Form):
    body = forms.CharField(
        max_length=media.LONGEST,
        label=gettext_lazy("Your answer"),
        widget=forms.Textarea(attrs={"rows": 3, "dir": "auto", "autocomplete": "off"}),
    )
