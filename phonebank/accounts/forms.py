"""Forms of people's accounts."""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import Any

from allauth.core import context, ratelimit
from django import forms
from django.conf import settings
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.password_validation import password_validators_help_texts, validate_password
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User


@cache
def time_zones() -> list[tuple[str, list[tuple[str, str]]]]:
    """IANA zones by region, as choices. The bare and the Etc/* names stay valid but only UTC is offered."""
    regions: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(zoneinfo.available_timezones()):
        region, __, city = name.partition("/")
        if city and region not in {"Etc", "SystemV", "US", "Brazil", "Canada", "Chile", "Mexico"}:
            regions.setdefault(region, []).append((name, city.replace("_", " ").replace("/", " / ")))
    return [(gettext_lazy("Universal"), [("UTC", "UTC")]), *regions.items()]


class TimeZoneField(forms.ChoiceField):
    """Preset by the browser's own zone when the page has JavaScript (data-time-zone)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            choices=time_zones, help_text=gettext_lazy("Daily limits start anew at midnight here."), **options
        )


class NewAccountForm(forms.Form):
    """The first administrator, and everybody who was invited."""

    email = forms.EmailField(label=gettext_lazy("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        max_length=256,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    time_zone = TimeZoneField(
        label=gettext_lazy("Time zone"), initial="UTC", widget=forms.Select(attrs={"data-time-zone": ""})
    )

    def __init__(self, *args: Any, email: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = password_validators_help_texts()[1]
        if email:
            self.fields["email"].initial = email
            self.fields["email"].disabled = True

    def clean_email(self) -> str:
        email = self.cleaned_data["email"].lower()
        if User.objects.filter(email__iexact=email).exists():
            raise forms.ValidationError(_("Somebody already has an account with this address."))
        return email

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if password := data.get("password"):
            try:
                validate_password(password, User(email=data.get("email", ""), name=data.get("name", "")))
            except forms.ValidationError as error:
                self.add_error("password", error)
        return data


class SignupForm(forms.Form):
    """What sign-up asks beyond allauth's e-mail and password (ACCOUNT_SIGNUP_FORM_CLASS)."""

    time_zone = TimeZoneField(
        label=gettext_lazy("Time zone"), initial="UTC", widget=forms.Select(attrs={"data-time-zone": ""})
    )
    field_order = ["email", "password1", "password2", "time_zone"]

    def signup(self, request: HttpRequest, user: User) -> None:
        user.time_zone = self.cleaned_data["time_zone"]
        user.save(update_fields=["time_zone"])


class ProfileForm(forms.ModelForm):
    time_zone = TimeZoneField(label=gettext_lazy("Time zone"))
    locale = forms.ChoiceField(label=gettext_lazy("Language"), choices=settings.LANGUAGES)

    class Meta:
        model = User
        fields = ["name", "time_zone", "locale"]
        labels = {"name": gettext_lazy("Name")}
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "name"})}


class ChangePasswordForm(PasswordChangeForm):
    """Asks for the old password, and not often: whoever found an open browser must not guess it here."""

    def clean_old_password(self) -> str:
        if not ratelimit.consume(context.request, action="reauthenticate", user=self.user):
            raise forms.ValidationError(_("Too many tries. Wait a few minutes; your password is as it was."))
        return super().clean_old_password()


class InviteForm(forms.Form):
    email = forms.EmailField(label=gettext_lazy("E-mail of the new person"))

    def clean_email(self) -> str:
        email = self.cleaned_data["email"].lower()
        if User.objects.filter(email__iexact=email).exists():
            raise forms.ValidationError(_("This person already has an account. Give them a login link instead."))
        return email
