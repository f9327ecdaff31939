"""The page of a person's API tokens."""

from __future__ import annotations

import uuid

from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.accounts.api_tokens import MOST, ApiToken, TooManyTokens, create_token, revoke_token
from phonebank.accounts.mfa import has_factor


class TokenForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=60,
        help_text=gettext_lazy("What will use it, so that you know later which one to revoke."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scope = forms.ChoiceField(
        choices=ApiToken.Scope.choices,
        label=pgettext_lazy("what a token allows", "May"),
        help_text=gettext_lazy("Writing includes sending messages in your name."),
    )
    days = forms.TypedChoiceField(
        choices=[
            ("30", gettext_lazy("30 days")),
            ("90", gettext_lazy("90 days")),
            ("365", gettext_lazy("A year")),
            ("", gettext_lazy("Until revoked")),
        ],
        coerce=int,
        empty_value=None,
        required=False,
        initial="90",
        label=gettext_lazy("Valid for"),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@reauthentication_required(allow_get=True, enabled=lambda request: has_factor(request.user))
def tokens(request: HttpRequest) -> HttpResponse:
    """A POST makes a token and shows it, this once: a reload does not.

    It outlives the login that made it, so a second factor is asked for once more; the token is made after the code.
    """
    form = TokenForm(request.POST or None)
    made = None
    if request.method == "POST" and form.is_valid():
        try:
            made = create_token(actor=request.user, **form.cleaned_data)
        except TooManyTokens:
            form.add_error(
                None,
                _("You have %(most)s tokens, which is the most. Revoke one that is not used any more.")
                % {"most": MOST},
            )
        else:
            form = TokenForm()
    context = {"nav": "settings", "form": form, "made": made, "tokens": ApiToken.objects.filter(user=request.user)}
    return render(request, "accounts/tokens.html", context, status=422 if form.errors else 200)


@require_POST
def token_revoke(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    token = revoke_token(actor=request.user, public_id=public_id)
    if token is None:
        raise Http404
    messages.success(
        request, _("“%(name)s” is revoked. Programs that use it are refused from now on.") % {"name": token.name}
    )
    return redirect("accounts:tokens")
