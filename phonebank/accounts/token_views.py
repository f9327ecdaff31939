"""The page of a person's API tokens."""

from __future__ import annotations

import uuid

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.accounts.api_tokens import MOST, ApiToken, TooManyTokens, create_token, revoke_token


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=60,
        help_text="What will use it, so that you know later which one to revoke.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scope = forms.ChoiceField(
        choices=ApiToken.Scope.choices, label="May", help_text="Writing includes sending messages in your name."
    )
    days = forms.TypedChoiceField(
        choices=[("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("", "Until revoked")],
        coerce=int,
        empty_value=None,
        required=False,
        initial="90",
        label="Valid for",
    )


@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """A POST makes a token and shows it, this once: a reload does not."""
    form = TokenForm(request.POST or None)
    made = None
    if request.method == "POST" and form.is_valid():
        try:
            made = create_token(actor=request.user, **form.cleaned_data)
        except TooManyTokens:
            form.add_error(None, f"You have {MOST} tokens, which is the most. Revoke one that is not used any more.")
        else:
            form = TokenForm()
    context = {"nav": "settings", "form": form, "made": made, "tokens": ApiToken.objects.filter(user=request.user)}
    return render(request, "accounts/tokens.html", context, status=422 if form.errors else 200)


@require_POST
def token_revoke(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    token = revoke_token(actor=request.user, public_id=public_id)
    if token is None:
        raise Http404
    messages.success(request, f"“{token.name}” is revoked. Programs that use it are refused from now on.")
    return redirect("accounts:tokens")
