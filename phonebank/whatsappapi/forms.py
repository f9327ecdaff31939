"""Forms of the product's pages."""

from __future__ import annotations

from typing import Any

import phonenumbers
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from phonebank.accounts.models import User
from phonebank.language import grouped
from phonebank.whatsappapi.models import GatewayAccount, SessionGroup, WaSenderSession
from phonebank.whatsappapi.services.phones import to_e164

PROTECTION = gettext_lazy("WaSender then lets one message out every 5 seconds. Leave it on for young numbers.")
LOGGING = gettext_lazy(
    "WaSender keeps what was sent over it. Off: after a lost connection Phonebank cannot find out whether a message "
    "went out, and asks you."
)


def daily_limit_field() -> forms.IntegerField:
    """Its help text and upper end are the plan's: see `_within_plan`."""
    return forms.IntegerField(min_value=1, max_value=1_000_000, required=False, label=gettext_lazy("Messages a day"))


def _within_plan(field: forms.Field, most: int | None) -> None:
    if most is None:
        field.help_text = _("Empty: no limit.")
        return
    field.help_text = _("Up to %(most)s, which your plan allows. Empty: just that.") % {"most": grouped(most)}
    field.widget.attrs["max"] = most


class CreateSessionForm(forms.Form):
    account = forms.ModelChoiceField(
        GatewayAccount.objects.none(),
        label=gettext_lazy("Gateway account"),
        empty_label=None,
        to_field_name="public_id",
    )
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=60,
        required=False,
        help_text=gettext_lazy("For you and your team. We make one up when empty."),
    )
    phone_number = forms.CharField(
        max_length=40,
        label=gettext_lazy("Phone number"),
        help_text=gettext_lazy("With country code, such as +49 1512 3456789."),
        widget=forms.TextInput(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )
    is_default = forms.BooleanField(required=False, label=gettext_lazy("Use this session when none is chosen"))
    daily_limit = daily_limit_field()
    account_protection = forms.BooleanField(
        required=False, initial=True, label=gettext_lazy("Account protection"), help_text=PROTECTION
    )
    log_messages = forms.BooleanField(
        required=False, initial=True, label=gettext_lazy("Message log at the gateway"), help_text=LOGGING
    )

    def __init__(
        self, *args: Any, accounts: QuerySet[GatewayAccount], most_a_day: int | None, example: str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = accounts
        self.fields["name"].widget.attrs["placeholder"] = example
        _within_plan(self.fields["daily_limit"], most_a_day)

    def clean_phone_number(self) -> str:
        try:
            return to_e164(self.cleaned_data["phone_number"])
        except ValueError as error:
            raise ValidationError(str(error)) from error


WHERE = [
    ("here", gettext_lazy("Remove it here only: WaSender keeps it, and its phone stays linked")),
    ("gateway", gettext_lazy("Delete it at WaSender too: its phone is unlinked")),
]
WHERE_MANY = [
    ("here", gettext_lazy("Remove them here only: WaSender keeps them, and their phones stay linked")),
    ("gateway", gettext_lazy("Delete them at WaSender too: their phones are unlinked")),
]
RADIOS = {"class": "form-check-input"}


class DeleteSessionForm(forms.Form):
    """Deleting asks for the name in the person's own typing."""

    typed = forms.CharField(max_length=60, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    where = forms.ChoiceField(choices=WHERE, widget=forms.RadioSelect(attrs=RADIOS), label=gettext_lazy("Where"))

    def __init__(self, *args: Any, wa_session: WaSenderSession, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = wa_session.session_name
        self.fields["where"].initial = "here" if wa_session.adopted_at or wa_session.wasender_id is None else "gateway"
        self.fields["typed"].label = _("Type %(name)s to confirm") % {"name": self.name}

    def clean_typed(self) -> str:
        typed = self.cleaned_data["typed"]
        if typed.strip().casefold() != self.name.strip().casefold():
            raise ValidationError(_("This is not the session's name. Nothing was deleted."))
        return typed


class BulkForm(forms.Form):
    """Agreeing to an act on many sessions. Deleting asks for their number in the person's own typing."""

    confirmed = forms.IntegerField(min_value=1, widget=forms.HiddenInput)
    typed = forms.CharField(
        max_length=9, required=False, widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "numeric"})
    )
    where = forms.ChoiceField(
        choices=WHERE_MANY, required=False, widget=forms.RadioSelect(attrs=RADIOS), label=gettext_lazy("Where")
    )

    def __init__(self, *args: Any, count: int, is_deletion: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.count = count
        if is_deletion:
            self.fields["typed"].required = self.fields["where"].required = True
            self.fields["typed"].label = _("Type %(count)s to confirm") % {"count": count}
        else:
            del self.fields["typed"], self.fields["where"]

    def clean_confirmed(self) -> int:
        if self.cleaned_data["confirmed"] != self.count:
            raise ValidationError(
                ngettext(
                    "Meanwhile it would be %(count)s session. Nothing was done; look again.",
                    "Meanwhile it would be %(count)s sessions. Nothing was done; look again.",
                    self.count,
                )
                % {"count": grouped(self.count)}
            )
        return self.count

    def clean_typed(self) -> str:
        if self.cleaned_data["typed"].strip() != str(self.count):
            raise ValidationError(_("This is not their number. Nothing was deleted."))
        return self.cleaned_data["typed"]


class SessionSettingsForm(forms.Form):
    """What a person may change of a session, and the groups it is in."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60)
    daily_limit = daily_limit_field()
    account_protection = forms.BooleanField(
        required=False, label=gettext_lazy("Account protection"), help_text=PROTECTION
    )
    log_messages = forms.BooleanField(
        required=False, label=gettext_lazy("Message log at the gateway"), help_text=LOGGING
    )
    groups = forms.ModelMultipleChoiceField(
        SessionGroup.objects.none(),
        label=gettext_lazy("Groups"),
        to_field_name="public_id",
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    def __init__(self, *args: Any, wa_session: WaSenderSession, most_a_day: int | None, **kwargs: Any) -> None:
        initial = {
            "name": wa_session.session_name,
            "daily_limit": wa_session.daily_limit,
            "account_protection": wa_session.account_protection,
            "log_messages": wa_session.log_messages,
            "groups": [one.public_id for one in wa_session.groups.all()],
        }
        super().__init__(*args, initial=initial, **kwargs)
        self.fields["groups"].queryset = SessionGroup.objects.visible_to(wa_session.user)
        _within_plan(self.fields["daily_limit"], most_a_day)


class TestMessageForm(forms.Form):
    """To the owner's own linked numbers only."""

    to = forms.ChoiceField(label=pgettext_lazy("who gets a message", "To"))
    body = forms.CharField(
        max_length=4096,
        label=gettext_lazy("Message"),
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
        strip=True,
    )

    def __init__(self, *args: Any, numbers: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"].choices = numbers


class GroupForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=60)
    colour = forms.ChoiceField(
        label=gettext_lazy("Colour"), choices=SessionGroup.Colour.choices, widget=forms.RadioSelect, initial="blue"
    )
    wa_sessions = forms.ModelMultipleChoiceField(
        WaSenderSession.objects.none(),
        to_field_name="public_id",
        widget=forms.CheckboxSelectMultiple,
        required=False,
        label=gettext_lazy("Sessions"),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["wa_sessions"].queryset = WaSenderSession.objects.visible_to(user)


def countries() -> list[tuple[str, str]]:
    """Regions with their calling code; empty means that every number is written with a plus."""
    known = sorted(phonenumbers.SUPPORTED_REGIONS)
    return [
        ("", _("All numbers start with +")),
        *((r, f"{r} (+{phonenumbers.country_code_for_region(r)})") for r in known),
    ]


class ImportForm(forms.Form):
    list_name = forms.CharField(
        max_length=80, label=gettext_lazy("List"), help_text=gettext_lazy("A new one, or one that you have.")
    )
    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        help_text=gettext_lazy(
            "One person a line. Columns: phone, name, consent if you have it; all others become merge tags."
        ),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
    )
    consent_source = forms.CharField(
        max_length=200,
        label=gettext_lazy("How did these people agree?"),
        help_text=gettext_lazy(
            "Such as: newsletter form on our website, ticked by each. Kept as evidence with every person."
        ),
    )
    country = forms.ChoiceField(
        choices=countries, required=False, label=gettext_lazy("Numbers without a country code are from")
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > settings.IMPORT_MAX_BYTES:
            limit = settings.IMPORT_MAX_BYTES // (1024 * 1024)
            raise ValidationError(_("This file is larger than %(limit)s MB. Split it into several.") % {"limit": limit})
        return file


def token_field() -> forms.CharField:
    return forms.CharField(
        max_length=500,
        label=gettext_lazy("Personal access token"),
        help_text=gettext_lazy(
            "From wasenderapi.com, Settings, Personal access tokens. Stored encrypted, never shown again."
        ),
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )


class GatewayForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=60, required=False, help_text=gettext_lazy("Such as: Shop account.")
    )
    token = token_field()
    for_others = forms.BooleanField(
        required=False,
        label=gettext_lazy("For the whole installation"),
        help_text=gettext_lazy(
            "The operator's account: people use it once you grant it to them, and see only their own sessions."
        ),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not user.is_superuser:
            del self.fields["for_others"]


class TokenForm(forms.Form):
    token = token_field()


class GrantForm(forms.Form):
    """Who may create sessions on an operator's account."""

    granted_to = forms.ModelMultipleChoiceField(
        User.objects.filter(is_active=True).order_by("email"),
        to_field_name="public_id",
        widget=forms.CheckboxSelectMultiple,
        required=False,
        label=gettext_lazy("People"),
    )


class RemoveAccountForm(forms.Form):
    """Removing asks for the account's name in the person's own typing."""

    typed = forms.CharField(max_length=60, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, *args: Any, account: GatewayAccount, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = account.name
        self.fields["typed"].label = _("Type %(name)s to confirm") % {"name": self.name}

    def clean_typed(self) -> str:
        typed = self.cleaned_data["typed"]
        if typed.strip().casefold() != self.name.strip().casefold():
            raise ValidationError(_("This is not the account's name. Nothing was removed."))
        return typed


class AdoptForm(forms.Form):
    """Numbers of sessions at the gateway, as listed there a moment ago."""

    chosen = forms.TypedMultipleChoiceField(
        coerce=int, widget=forms.CheckboxSelectMultiple, label=gettext_lazy("Sessions")
    )

    def __init__(self, *args: Any, listed: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["chosen"].choices = [(str(number), str(number)) for number in listed]
        self.fields["chosen"].error_messages["required"] = _("Choose at least one session.")
