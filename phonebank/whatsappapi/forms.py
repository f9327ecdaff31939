"""Forms of the product's pages."""

from __future__ import annotations

from typing import Any

import phonenumbers
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Campaign, Contact, ContactList, GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services.phones import to_e164


class CreateSessionForm(forms.Form):
    account = forms.ModelChoiceField(
        GatewayAccount.objects.none(), label="Gateway account", empty_label=None, to_field_name="public_id"
    )
    name = forms.CharField(max_length=60, required=False, help_text="For you and your team. We make one up when empty.")
    phone_number = forms.CharField(
        max_length=40,
        label="Phone number",
        help_text="With country code, such as +49 1512 3456789.",
        widget=forms.TextInput(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )
    is_default = forms.BooleanField(required=False, label="Use this session when none is chosen")
    daily_limit = forms.IntegerField(
        min_value=1,
        max_value=1_000_000,
        required=False,
        label="Messages a day",
        help_text="Empty: what the plan allows.",
    )
    account_protection = forms.BooleanField(
        required=False,
        initial=True,
        label="Account protection",
        help_text="WaSender then lets one message out every 5 seconds. Leave it on for young numbers.",
    )
    log_messages = forms.BooleanField(
        required=False,
        initial=True,
        label="Message log at the gateway",
        help_text="Lets Phonebank find out what became of a message after a lost connection. Leave it on.",
    )

    def __init__(self, *args: Any, accounts: QuerySet[GatewayAccount], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = accounts

    def clean_phone_number(self) -> str:
        try:
            return to_e164(self.cleaned_data["phone_number"])
        except ValueError as error:
            raise ValidationError(str(error)) from error


class DeleteSessionForm(forms.Form):
    """Deleting asks for the name in the person's own typing."""

    typed = forms.CharField(max_length=60, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    at_gateway = forms.BooleanField(
        required=False,
        initial=True,
        label="Delete it at the gateway too",
        help_text="Otherwise it stays in WaSender's list.",
    )

    def __init__(self, *args: Any, wa_session: WaSenderSession, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = wa_session.session_name
        self.fields["typed"].label = f"Type {self.name} to confirm"

    def clean_typed(self) -> str:
        typed = self.cleaned_data["typed"]
        if typed.strip().casefold() != self.name.strip().casefold():
            raise ValidationError("This is not the session's name. Nothing was deleted.")
        return typed


def countries() -> list[tuple[str, str]]:
    """Regions with their calling code; empty means that every number is written with a plus."""
    known = sorted(phonenumbers.SUPPORTED_REGIONS)
    return [
        ("", "All numbers start with +"),
        *((r, f"{r} (+{phonenumbers.country_code_for_region(r)})") for r in known),
    ]


class ImportForm(forms.Form):
    list_name = forms.CharField(max_length=80, label="List", help_text="A new one, or one that you have.")
    file = forms.FileField(
        label="CSV file",
        help_text="One person a line. Columns: phone, name, consent if you have it; all others become merge tags.",
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
    )
    consent_source = forms.CharField(
        max_length=200,
        label="How did these people agree?",
        help_text="Such as: newsletter form on our website, ticked by each. Kept as evidence with every person.",
    )
    country = forms.ChoiceField(choices=countries, required=False, label="Numbers without a country code are from")

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > settings.IMPORT_MAX_BYTES:
            limit = settings.IMPORT_MAX_BYTES // (1024 * 1024)
            raise ValidationError(f"This file is larger than {limit} MB. Split it into several.")
        return file


class GatewayForm(forms.Form):
    name = forms.CharField(max_length=60, required=False, help_text="Such as: Shop account.")
    token = forms.CharField(
        max_length=500,
        label="Personal access token",
        help_text="From wasenderapi.com, Settings, Personal access tokens. Stored encrypted, never shown again.",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )


class SendCampaignForm(forms.Form):
    name = forms.CharField(max_length=120, label="Name", help_text="Only you and your team see it.")
    contact_list = forms.ModelChoiceField(
        ContactList.objects.none(), empty_label=None, to_field_name="public_id", widget=forms.RadioSelect, label="List"
    )
    body = forms.CharField(
        max_length=4096, strip=True, label="Message", widget=forms.Textarea(attrs={"rows": 7, "dir": "auto"})
    )
    wa_sessions = forms.ModelMultipleChoiceField(
        WaSenderSession.objects.none(), to_field_name="public_id", widget=forms.CheckboxSelectMultiple, label="Sessions"
    )
    policy = forms.ChoiceField(
        choices=Campaign.Policy.choices,
        initial=Campaign.Policy.NEXT,
        widget=forms.RadioSelect,
        label="When a session cannot send any more",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["contact_list"].queryset = ContactList.objects.filter(user=user)
        self.fields["wa_sessions"].queryset = WaSenderSession.objects.visible_to(user)
        self.fields["contact_list"].error_messages["required"] = "Choose the list that this goes to."
        self.fields["wa_sessions"].error_messages["required"] = "Choose at least one session."


class PreviewForm(forms.Form):
    """What the live preview needs; an unfinished message is fine."""

    body = forms.CharField(max_length=4096, required=False)
    as_contact = forms.ModelChoiceField(Contact.objects.none(), required=False, to_field_name="public_id")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["as_contact"].queryset = Contact.objects.filter(user=user)
