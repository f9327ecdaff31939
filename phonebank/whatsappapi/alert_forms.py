"""Forms of the alert pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import AlertKind, AlertRule, Channel, SessionGroup, WaSenderSession

HOURS = [("", gettext_lazy("Never")), *((str(hour), f"{hour:02d}:00") for hour in range(24))]
DELAYS = [
    (0, gettext_lazy("At once")),
    (60, gettext_lazy("After a minute")),
    (300, gettext_lazy("After 5 minutes")),
    (900, gettext_lazy("After 15 minutes")),
    (3600, gettext_lazy("After an hour")),
]
COOL_DOWNS = [
    (0, gettext_lazy("Each time")),
    (15, gettext_lazy("Once in 15 minutes")),
    (60, gettext_lazy("Once an hour")),
    (360, gettext_lazy("Once in 6 hours")),
    (1440, gettext_lazy("Once a day")),
]


class ChannelForm(forms.Form):
    kind = forms.ChoiceField(choices=Channel.Kind.choices, label=gettext_lazy("What it is"))
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=60,
        required=False,
        help_text=gettext_lazy("For you. We make one up when empty."),
    )
    address = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=1000,
        help_text=gettext_lazy(
            "An e-mail address; the address that Slack, Discord or Teams gives for incoming messages, "
            "tgram://token/chat, pover://user@token or ntfys://topic; or an https address for a webhook. It is kept "
            "encrypted and never shown again."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class RuleForm(forms.Form):
    """One's own sessions, groups and channels only."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60)
    kinds = forms.MultipleChoiceField(
        choices=AlertKind.choices,
        label=gettext_lazy("Tell about"),
        error_messages={"required": gettext_lazy("Choose at least one.")},
    )
    scope = forms.ChoiceField(label=gettext_lazy("Of which sessions"), required=False)
    channels = forms.ModelMultipleChoiceField(
        Channel.objects.none(), label=gettext_lazy("Channels"), required=False, to_field_name="public_id"
    )
    delay = forms.TypedChoiceField(choices=DELAYS, coerce=int, label=gettext_lazy("When"), initial=60)
    cool_down = forms.TypedChoiceField(
        choices=COOL_DOWNS,
        coerce=int,
        label=gettext_lazy("How often"),
        initial=15,
        help_text=gettext_lazy("For the like of it."),
    )
    tells_recovery = forms.BooleanField(required=False, initial=True, label=gettext_lazy("Also tell when it is over"))
    is_active = forms.BooleanField(required=False, initial=True, label=gettext_lazy("In use"))

    def __init__(self, *args: Any, user: User, rule: AlertRule | None = None, **kwargs: Any) -> None:
        if rule is not None:
            kwargs["initial"] = _initial(rule)
        super().__init__(*args, **kwargs)
        self.fields["channels"].queryset = Channel.objects.visible_to(user)
        self.sessions = {f"s:{one.public_id}": one for one in WaSenderSession.objects.visible_to(user)}
        self.groups = {f"g:{one.public_id}": one for one in SessionGroup.objects.filter(user=user)}
        choices: list[Any] = [("", _("All of them"))]
        if self.groups:
            choices.append((_("A group"), [(key, one.name) for key, one in self.groups.items()]))
        if self.sessions:
            choices.append((_("One session"), [(key, one.session_name) for key, one in self.sessions.items()]))
        self.fields["scope"].choices = choices
        for name, plain in (("delay", DELAYS), ("cool_down", COOL_DOWNS)):  # what another way of saving chose
            value = self.initial.get(name)
            if value is not None and value not in dict(plain):
                unit = "seconds" if name == "delay" else "minutes"
                self.fields[name].choices = [*plain, (value, f"{value} {unit}")]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        scope = data.pop("scope", "")
        data["session"], data["group"] = self.sessions.get(scope), self.groups.get(scope)
        data["channels"] = list(data.get("channels") or ())
        return data


def _initial(rule: AlertRule) -> dict[str, Any]:
    scope = f"s:{rule.session.public_id}" if rule.session else f"g:{rule.group.public_id}" if rule.group else ""
    return {
        "name": rule.name, "kinds": rule.kinds, "scope": scope, "delay": rule.delay, "cool_down": rule.cool_down,
        "channels": [one.public_id for one in rule.channels.all()], "tells_recovery": rule.tells_recovery,
        "is_active": rule.is_active,
    }  # fmt: skip


class AlertSettingsForm(forms.Form):
    quiet_from = forms.TypedChoiceField(
        choices=HOURS, coerce=int, empty_value=None, required=False, label=gettext_lazy("Quiet from"),
        help_text=gettext_lazy("Messages wait until the quiet hours end. The bell rings all the same."),
    )  # fmt: skip
    quiet_until = forms.TypedChoiceField(
        choices=HOURS, coerce=int, empty_value=None, required=False, label=gettext_lazy("until")
    )
    wants_digest = forms.BooleanField(
        required=False, label=gettext_lazy("Each morning at 8, a mail about the day before")
    )

    def __init__(self, *args: Any, has_mail: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_mail:
            del self.fields["wants_digest"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        begin, end = data.get("quiet_from"), data.get("quiet_until")
        if (begin is None) != (end is None) or (begin is not None and begin == end):
            raise ValidationError(_("Quiet hours need a beginning and another end. Nothing was changed."))
        return data
