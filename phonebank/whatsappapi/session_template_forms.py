"""Forms of session templates."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.forms import LOGGING, PROTECTION, _within_plan, daily_limit_field
from phonebank.whatsappapi.models import GatewayAccount, SessionGroup, SessionTemplate


class SessionTemplateForm(forms.Form):
    name = forms.CharField(max_length=60, label=_("Name of the template"))
    naming = forms.CharField(
        max_length=50, required=False, label=_("Names of its sessions"),
        help_text=_("{n} becomes the next free number: Shop 1, Shop 2. Empty: Session 1, Session 2."),
        widget=forms.TextInput(attrs={"placeholder": _("Shop {n}")}),
    )  # fmt: skip
    daily_limit = daily_limit_field()
    account_protection = forms.BooleanField(required=False, label=_("Account protection"), help_text=PROTECTION)
    log_messages = forms.BooleanField(required=False, label=_("Message log at the gateway"), help_text=LOGGING)
    groups = forms.ModelMultipleChoiceField(
        SessionGroup.objects.none(),
        label=_("Groups"),
        to_field_name="public_id",
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    def __init__(
        self, *args: Any, template: SessionTemplate | None, user: User, most_a_day: int | None, **kwargs: Any
    ) -> None:
        initial: dict[str, Any] = {"account_protection": True, "log_messages": True}
        if template is not None:
            names = ("name", "naming", "daily_limit", "account_protection", "log_messages")
            initial = {name: getattr(template, name) for name in names}
            initial["groups"] = [one.public_id for one in template.groups.all()]
        super().__init__(*args, initial=initial, **kwargs)
        self.fields["groups"].queryset = SessionGroup.objects.visible_to(user)
        _within_plan(self.fields["daily_limit"], most_a_day)


class FromTemplateForm(forms.Form):
    """Sessions for some numbers, one a line."""

    account = forms.ModelChoiceField(
        GatewayAccount.objects.none(), label=_("Gateway account"), empty_label=None, to_field_name="public_id"
    )
    numbers = forms.CharField(
        max_length=2000,
        label=_("Phone numbers"),
        help_text=_("One a line, with country code, such as +49 1512 3456789."),
        widget=forms.Textarea(attrs={"rows": 6, "inputmode": "tel", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, accounts: QuerySet[GatewayAccount], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = accounts

    def clean_numbers(self) -> list[str]:
        return [one for one in self.cleaned_data["numbers"].splitlines() if one.strip()]
