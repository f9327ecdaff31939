"""Forms of the administrators' pages, and of leaving."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import Plan
from phonebank.whatsappapi.models import Announcement

DAY = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
MOMENT = {"type": "datetime-local"}


class SubscriptionForm(forms.Form):
    """A plan, and the last day that it holds: it ends with that day, in the administrator's time zone."""

    plan = forms.ModelChoiceField(Plan.objects.all(), label=gettext_lazy("Plan"), empty_label=None)
    expires_at = forms.DateField(label=gettext_lazy("Until"), required=False, widget=DAY)

    def __init__(self, *args: Any, zone: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone = ZoneInfo(zone)
        until = self.initial.get("expires_at")
        if until:
            self.initial["expires_at"] = until.astimezone(self.zone).date()

    def clean_expires_at(self) -> datetime | None:
        day = self.cleaned_data["expires_at"]
        if day is None:
            return None
        end = datetime.combine(day, time(23, 59, 59), self.zone)
        if end <= timezone.now():
            raise forms.ValidationError(_("That day is over. Choose a later one, or none."))
        return end


class AddressForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )


class PlanForm(forms.Form):
    """A plan's row. `slug` only of a new one: settings and programs name plans by it."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=40)
    slug = forms.SlugField(
        max_length=40, label=gettext_lazy("Short name"), help_text=gettext_lazy("For settings, such as DEFAULT_PLAN.")
    )
    max_sessions = forms.IntegerField(min_value=0, max_value=10_000, label=gettext_lazy("Sessions"))
    daily_limit = forms.IntegerField(
        min_value=0,
        max_value=1_000_000,
        required=False,
        label=gettext_lazy("Messages a day with each"),
        help_text=gettext_lazy("Empty: no limit."),
    )
    position = forms.IntegerField(
        min_value=0,
        max_value=1000,
        required=False,
        label=gettext_lazy("Place in the list"),
        help_text=gettext_lazy("The lowest is first."),
    )

    def __init__(self, *args: Any, plan: Plan | None = None, **kwargs: Any) -> None:
        if plan is not None:
            kwargs["initial"] = {name: getattr(plan, name) for name in self.base_fields}
        super().__init__(*args, **kwargs)
        if plan is not None:
            del self.fields["slug"]

    def clean_position(self) -> int:
        return self.cleaned_data["position"] or 0


class ApprovalForm(forms.Form):
    above = forms.IntegerField(
        min_value=1,
        max_value=1_000_000,
        required=False,
        label=gettext_lazy("People"),
        help_text=gettext_lazy(
            "A person's first campaign to more than so many waits for an administrator. Empty: none does."
        ),
    )


class AnnouncementForm(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("Text"),
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Plain words; everybody reads it."),
    )
    level = forms.ChoiceField(choices=Announcement.Level.choices, label=gettext_lazy("How serious"))
    starts_at = forms.DateTimeField(
        required=False, label=gettext_lazy("From"), help_text=gettext_lazy("Empty: now."),
        widget=forms.DateTimeInput(format="%Y-%m-%dT%H:%M", attrs=MOMENT),
    )  # fmt: skip
    ends_at = forms.DateTimeField(
        required=False, label=gettext_lazy("Until"), help_text=gettext_lazy("Empty: until you take it back."),
        widget=forms.DateTimeInput(format="%Y-%m-%dT%H:%M", attrs=MOMENT),
    )  # fmt: skip
