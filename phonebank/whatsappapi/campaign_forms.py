"""Forms of the wizard, a step each. What they hold is a draft's: it may be unfinished. `changes` is what to save."""

from __future__ import annotations

from datetime import time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.whatsappapi.forms import RADIOS
from phonebank.whatsappapi.message_forms import MediaFields
from phonebank.whatsappapi.models import Campaign, Contact
from phonebank.whatsappapi.services import audience, senders
from phonebank.whatsappapi.services.audience import MOST_FILTERS
from phonebank.whatsappapi.services.drafts import DAY
from phonebank.whatsappapi.services.media import NO_MEDIA
from phonebank.whatsappapi.services.senders import Senders

DAYS = [
    gettext_lazy("Monday"),
    gettext_lazy("Tuesday"),
    gettext_lazy("Wednesday"),
    gettext_lazy("Thursday"),
    gettext_lazy("Friday"),
    gettext_lazy("Saturday"),
    gettext_lazy("Sunday"),
]
OFFICE = (9 * 60, 18 * 60)  # what a day offers that has no times yet
LOCAL = "%Y-%m-%dT%H:%M"


class Ids(forms.MultipleChoiceField):
    """Any number of texts. Whether they are somebody's, the service says."""

    def valid_value(self, value: Any) -> bool:
        return len(value) <= 100


class StepForm(forms.Form):
    """A step. `version`: the draft's, as the page was made from it."""

    version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User, campaign: Campaign, **kwargs: Any) -> None:
        self.user, self.campaign = user, campaign
        kwargs.setdefault("initial", self.initial_of(campaign))
        super().__init__(*args, **kwargs)

    def initial_of(self, campaign: Campaign) -> dict[str, Any]:
        raise NotImplementedError

    def changes(self) -> tuple[dict[str, Any], Senders | None]:
        """Fields to save, and the sessions where the step is about them. Raises ServiceError for what may not be."""
        raise NotImplementedError


class AudienceForm(StepForm):
    name = forms.CharField(
        max_length=120, label=gettext_lazy("Name"), help_text=gettext_lazy("Only you and your team see it.")
    )
    lists = Ids(required=False, label=gettext_lazy("Lists"))
    tags = Ids(required=False, label=gettext_lazy("Tags"))
    without = Ids(required=False, label=gettext_lazy("Left out"))

    def initial_of(self, campaign: Campaign) -> dict[str, Any]:
        chosen = audience.chosen(campaign)
        return {
            "name": campaign.name,
            "lists": [str(one.public_id) for one in chosen.lists],
            "tags": [one.name for one in chosen.tags],
            "without": [str(one.public_id) for one in chosen.without],
            "filters": chosen.filters,
        }

    @property
    def filters(self) -> list[dict[str, str]]:
        """The conditions, as posted or as saved; half of one is one too."""
        if not self.is_bound:
            return list(self.initial["filters"])
        data: QueryDict = self.data  # type: ignore[assignment]
        columns = [data.getlist(f"filter-{key}") for key in ("field", "test", "value")]
        rows = [dict(zip(("field", "test", "value"), cells, strict=True)) for cells in zip(*columns, strict=False)]
        return [one for one in rows if one["field"].strip() or one["value"].strip()]

    @property
    def rows(self) -> list[dict[str, str]]:
        """What the page shows: a further empty one too."""
        found = self.filters
        return [*found, {"field": "", "test": "is", "value": ""}][:MOST_FILTERS]

    def changes(self) -> tuple[dict[str, Any], Senders | None]:
        data = self.cleaned_data
        changed = {"name": data["name"]}
        if self.campaign.parent_id is None:
            changed["audience"] = self.audience()
        return changed, None

    def audience(self) -> dict[str, Any]:
        data = self.cleaned_data
        return audience.build(
            actor=self.user, lists=data["lists"], tags=data["tags"], filters=self.filters, without=data["without"]
        )


class MessageForm(MediaFields, StepForm):
    body = forms.CharField(
        max_length=4096,
        required=False,
        label=gettext_lazy("Message"),
        widget=forms.Textarea(attrs={"rows": 8, "dir": "auto"}),
    )

    def initial_of(self, campaign: Campaign) -> dict[str, Any]:
        return {"body": campaign.body, **self.media_initial(campaign)}

    def changes(self) -> tuple[dict[str, Any], Senders | None]:
        carried = self.cleaned_data["carried"]
        return {"body": self.cleaned_data["body"], **(carried.as_fields() if carried else NO_MEDIA)}, None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not self.errors:
            data["carried"] = self.take_media(self.user, self.campaign.media_name)
        return data


class SendersForm(StepForm):
    wa_sessions = Ids(required=False, label=gettext_lazy("Sessions"))
    groups = Ids(required=False, label=gettext_lazy("Groups"))
    policy = forms.ChoiceField(
        choices=Campaign.Policy.choices,
        widget=forms.RadioSelect(attrs=RADIOS),
        label=gettext_lazy("When a session cannot send any more"),
    )
    is_sticky = forms.BooleanField(
        required=False,
        label=gettext_lazy("People stay with the number they talk with"),
        help_text=gettext_lazy("Who wrote to one of these sessions before gets the message from the same one."),
    )
    pace = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=6000,
        label=gettext_lazy("Messages a minute and session"),
        help_text=gettext_lazy("Empty: as fast as the plan and the gateway allow."),
    )

    def initial_of(self, campaign: Campaign) -> dict[str, Any]:
        lanes = campaign.lanes.filter(is_active=True, session__deleted_at=None).order_by("position")
        return {
            "wa_sessions": [str(one) for one in lanes.values_list("session__public_id", flat=True)],
            "policy": campaign.policy,
            "is_sticky": campaign.is_sticky,
            "pace": campaign.pace,
        }

    def ordered(self) -> list[str]:
        """The chosen sessions by the numbers in front of them; without one they come last, as on the page."""
        chosen = self.cleaned_data["wa_sessions"]
        place = {one: self.data.get(f"order-{one}", "") for one in chosen}
        return sorted(
            chosen, key=lambda one: int(place[one]) if place[one].isdecimal() and place[one].isascii() else 999
        )

    def changes(self) -> tuple[dict[str, Any], Senders | None]:
        data = self.cleaned_data
        chosen = senders.choose(actor=self.user, sessions=self.ordered(), groups=data["groups"])
        return {name: data[name] for name in ("policy", "is_sticky", "pace")}, chosen


class ScheduleForm(StepForm):
    when = forms.ChoiceField(
        choices=[("now", gettext_lazy("As soon as I press Start")), ("later", gettext_lazy("At a time"))],
        widget=forms.RadioSelect(attrs=RADIOS),
    )
    at = forms.DateTimeField(
        required=False,
        label=gettext_lazy("Start"),
        input_formats=[LOCAL, f"{LOCAL}:%S"],
        widget=forms.DateTimeInput(format=LOCAL, attrs={"type": "datetime-local"}),
    )
    hours = forms.ChoiceField(
        choices=[("any", gettext_lazy("At any time")), ("some", gettext_lazy("Only at these times"))],
        widget=forms.RadioSelect(attrs=RADIOS),
    )
    quiet_start = forms.TimeField(
        required=False, label=gettext_lazy("Quiet from"), widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"})
    )
    quiet_end = forms.TimeField(
        required=False,
        label=gettext_lazy("Quiet until"),
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"}),
    )
    expires_at = forms.DateTimeField(
        required=False,
        label=gettext_lazy("Ends"),
        input_formats=[LOCAL, f"{LOCAL}:%S"],
        widget=forms.DateTimeInput(format=LOCAL, attrs={"type": "datetime-local"}),
        help_text=gettext_lazy("Who has not been reached by then is not written to any more."),
    )
    cap_day = forms.IntegerField(required=False, min_value=1, max_value=20, label=gettext_lazy("A day"))
    cap_month = forms.IntegerField(required=False, min_value=1, max_value=200, label=gettext_lazy("In 30 days"))

    def initial_of(self, campaign: Campaign) -> dict[str, Any]:
        same = ("quiet_start", "quiet_end", "expires_at", "cap_day", "cap_month")
        return {
            "when": "later" if campaign.scheduled_at else "now",
            "at": campaign.scheduled_at,
            "hours": "some" if campaign.windows else "any",
            "windows": campaign.windows,
            **{name: getattr(campaign, name) for name in same},
        }

    @property
    def days(self) -> list[dict[str, Any]]:
        """Seven rows: name, whether it sends, from, until (as the page's fields hold them)."""
        rows = []
        for n, day in enumerate(DAYS):
            if self.is_bound:
                is_on, ends = f"day-{n}" in self.data, [self.data.get(f"{end}-{n}", "") for end in ("from", "to")]
            else:
                windows = self.initial["windows"]
                span = windows[n] if windows else OFFICE if n < 5 else None
                is_on, ends = span is not None, [f"{m // 60 % 24:02d}:{m % 60:02d}" for m in span or OFFICE]
            rows.append({"n": n, "name": day, "is_on": is_on, "start": ends[0], "end": ends[1]})
        return rows

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("when") == "later" and not data.get("at") and "at" not in self.errors:
            self.add_error("at", _("Say when it starts."))
        if data.get("hours") == "some":
            data["windows"] = [self._span(day) for day in self.days]
        return data

    def _span(self, day: dict[str, Any]) -> list[int] | None:
        if not day["is_on"]:
            return None
        try:
            start, end = (time.fromisoformat(day[one]) for one in ("start", "end"))
        except ValueError:
            raise ValidationError(_("%(day)s: write both times like 09:00.") % {"day": day["name"]}) from None
        # Midnight at the end is the end of the day.
        return [start.hour * 60 + start.minute, end.hour * 60 + end.minute or DAY]

    def changes(self) -> tuple[dict[str, Any], Senders | None]:
        data = self.cleaned_data
        same = ("quiet_start", "quiet_end", "expires_at", "cap_day", "cap_month")
        at = data["at"] if data["when"] == "later" else None
        return {"scheduled_at": at, "windows": data.get("windows"), **{name: data[name] for name in same}}, None


class PreviewForm(forms.Form):
    """What the live preview needs; an unfinished message is fine."""

    body = forms.CharField(max_length=4096, required=False)
    as_contact = forms.ModelChoiceField(Contact.objects.none(), required=False, to_field_name="public_id")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["as_contact"].queryset = Contact.objects.filter(user=user)
