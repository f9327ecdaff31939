"""Forms of the pages about people, imports and opt-outs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.whatsappapi.forms import countries
from phonebank.whatsappapi.models import Contact, ContactImport, ContactList, ContactTag
from phonebank.whatsappapi.services.phones import to_e164

ENCODINGS = [
    ("", gettext_lazy("As it was found")),
    ("utf-8", gettext_lazy("Unicode (UTF-8)")),
    ("cp1252", gettext_lazy("Western")),
    ("cp1250", gettext_lazy("Central European")),
    ("cp1251", gettext_lazy("Cyrillic (Windows)")),
    ("koi8_r", gettext_lazy("Cyrillic (KOI8-R)")),
    ("cp1253", gettext_lazy("Greek")),
    ("cp1254", gettext_lazy("Turkish")),
    ("cp1255", gettext_lazy("Hebrew")),
    ("cp1256", gettext_lazy("Arabic")),
    ("cp1258", gettext_lazy("Vietnamese")),
    ("cp874", gettext_lazy("Thai")),
    ("shift_jis", gettext_lazy("Japanese (Shift JIS)")),
    ("gb18030", gettext_lazy("Chinese (GB 18030)")),
    ("big5", gettext_lazy("Chinese (Big5)")),
    ("euc_kr", gettext_lazy("Korean")),
]


class Tags(forms.CharField):
    """Words with commas between them, as a list."""

    def to_python(self, value: Any) -> list[str]:
        return [tag for tag in (" ".join(one.split()) for one in (super().to_python(value) or "").split(",")) if tag]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


def _number(text: str) -> str:
    try:
        return to_e164(text)
    except ValueError as error:
        raise ValidationError(str(error)) from error


class UploadForm(forms.Form):
    list_name = forms.CharField(
        max_length=80, label=gettext_lazy("List"), help_text=gettext_lazy("A new one, or one that you have.")
    )
    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy("CSV or XLSX, one person a line, the first line names the columns."),
        widget=forms.FileInput(
            attrs={
                "accept": ".csv,.txt,.tsv,.xlsx,text/csv,"
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
            }
        ),
    )
    encoding = forms.ChoiceField(
        choices=ENCODINGS,
        required=False,
        label=gettext_lazy("Script of the file"),
        help_text=gettext_lazy("Only when letters look wrong in the preview."),
    )

    def __init__(self, *args: Any, what: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if what == ContactImport.What.SUPPRESSIONS:
            del self.fields["list_name"]

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > settings.IMPORT_MAX_BYTES:
            limit = settings.IMPORT_MAX_BYTES // (1024 * 1024)
            raise ValidationError(_("This file is larger than %(limit)s MB. Split it into several.") % {"limit": limit})
        return file


class ColumnsForm(forms.Form):
    """What the columns of an uploaded file hold, and how its people agreed."""

    phone = forms.ChoiceField(label=gettext_lazy("Phone numbers are in"))
    country = forms.ChoiceField(
        choices=countries, required=False, label=gettext_lazy("Numbers without a country code are from")
    )
    name = forms.ChoiceField(required=False, label=gettext_lazy("Names are in"))
    consent = forms.ChoiceField(
        required=False,
        label=gettext_lazy("How each of them agreed is in"),
        help_text=gettext_lazy("A column with words such as “counter form, 3 May”. A “no” in it is respected."),
    )
    list_name = forms.CharField(
        max_length=80, label=gettext_lazy("List"), help_text=gettext_lazy("A new one, or one that you have.")
    )
    tags = Tags(
        max_length=200, required=False, label=gettext_lazy("Tags"), help_text=gettext_lazy("With commas between them.")
    )
    consent_source = forms.CharField(
        max_length=200,
        required=False,
        label=gettext_lazy("How did these people agree?"),
        help_text=gettext_lazy(
            "Such as: newsletter form on our website, ticked by each. Kept as evidence with every person."
        ),
    )
    consent_wording = forms.CharField(
        max_length=5000,
        required=False,
        label=gettext_lazy("What did they agree to, word for word?"),
        widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"}),
    )
    is_declared = forms.BooleanField(
        required=False, label=gettext_lazy("I declare that each of them agreed to get messages from us on WhatsApp")
    )

    def __init__(self, *args: Any, job: ContactImport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        columns = [(str(i), header or _("Column %(i)s") % {"i": i + 1}) for i, header in enumerate(job.headers)]
        self.fields["phone"].choices = [("", _("Choose a column")), *columns]
        for what in ("name", "consent"):
            self.fields[what].choices = [("", _("Nowhere")), *columns]
        if job.what == ContactImport.What.SUPPRESSIONS:
            for name in set(self.fields) - {"phone", "country"}:
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("consent_source") and not data.get("is_declared"):
            self.add_error("is_declared", _("Tick this, or leave out how they agreed: then nobody without a consent "
                           "column can be written to."))  # fmt: skip
        places = [data.get(what) for what in ("phone", "name", "consent") if data.get(what)]
        if len(set(places)) < len(places):
            raise ValidationError(_("One column cannot be two things. Choose another one."))
        return data

    @property
    def columns(self) -> dict[str, int | None]:
        chosen = {what: self.cleaned_data.get(what) for what in ("phone", "name", "consent")}
        return {what: int(place) if place else None for what, place in chosen.items()}


class PeopleForm(forms.Form):
    """What people are looked for by."""

    q = forms.CharField(max_length=60, required=False, label=gettext_lazy("Name or number"))
    list = forms.ModelChoiceField(
        ContactList.objects.none(),
        label=gettext_lazy("List"),
        required=False,
        to_field_name="public_id",
        empty_label=gettext_lazy("All lists"),
    )
    tag = forms.ModelChoiceField(
        ContactTag.objects.none(),
        label=gettext_lazy("Tag"),
        required=False,
        to_field_name="name",
        empty_label=gettext_lazy("All tags"),
    )
    consent = forms.ChoiceField(
        label=gettext_lazy("Consent"),
        required=False,
        choices=[
            ("", gettext_lazy("Any consent")),
            ("granted", gettext_lazy("Agreed")),
            ("unknown", gettext_lazy("No consent recorded")),
            ("withdrawn", gettext_lazy("Withdrawn")),
        ],
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["list"].queryset = ContactList.objects.visible_to(user)
        self.fields["tag"].queryset = ContactTag.objects.visible_to(user)
        for name in ("list", "tag", "consent"):
            self.fields[name].widget.attrs["class"] = "form-select"


class ContactForm(forms.Form):
    phone = forms.CharField(
        max_length=40,
        label=gettext_lazy("Phone number"),
        help_text=gettext_lazy("With country code, such as +49 1512 3456789."),
        widget=forms.TextInput(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )
    name = forms.CharField(label=gettext_lazy("Name"), max_length=120, required=False)
    tags = Tags(
        label=gettext_lazy("Tags"), max_length=400, required=False, help_text=gettext_lazy("With commas between them.")
    )
    lists = forms.ModelMultipleChoiceField(
        ContactList.objects.none(),
        label=gettext_lazy("Lists"),
        required=False,
        to_field_name="public_id",
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, user: User, contact: Contact | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["lists"].queryset = ContactList.objects.visible_to(user)
        # Merge tags of a person are fields of their own; a key may hold anything, so it is not the field's name.
        self.keys = list(contact.attributes) if contact else []
        for number, key in enumerate(self.keys):
            self.fields[f"value_{number}"] = forms.CharField(
                max_length=1000, required=False, label=key, initial=contact.attributes[key] if contact else ""
            )

    def clean_phone(self) -> str:
        return _number(self.cleaned_data["phone"])

    @property
    def attributes(self) -> dict[str, str]:
        return {key: self.cleaned_data[f"value_{number}"] for number, key in enumerate(self.keys)}

    @property
    def value_fields(self) -> list[forms.BoundField]:
        return [self[f"value_{number}"] for number in range(len(self.keys))]


class GrantForm(forms.Form):
    source = forms.CharField(
        max_length=200,
        label=gettext_lazy("How did they agree?"),
        help_text=gettext_lazy("Such as: form at the counter. Kept as evidence."),
    )
    wording = forms.CharField(
        max_length=5000,
        required=False,
        label=gettext_lazy("To what, word for word?"),
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
    )
    agreed_at = forms.DateTimeField(
        required=False, label=gettext_lazy("When?"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )


class WithdrawForm(forms.Form):
    source = forms.CharField(
        max_length=200,
        label=gettext_lazy("How did they tell you?"),
        help_text=gettext_lazy("Such as: by telephone, to Ana."),
    )
    is_complaint = forms.BooleanField(required=False, label=gettext_lazy("It was a complaint"))


class SuppressForm(forms.Form):
    phone = forms.CharField(
        max_length=40,
        label=gettext_lazy("Phone number"),
        help_text=gettext_lazy("With country code."),
        widget=forms.TextInput(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )
    source = forms.CharField(max_length=200, label=gettext_lazy("How did they tell you?"))

    def clean_phone(self) -> str:
        return _number(self.cleaned_data["phone"])


class ListForm(forms.Form):
    name = forms.CharField(max_length=80, label=gettext_lazy("Name of the list"))
