"""A person's own account: another address, all that is held about them as a file, and the way out."""

from __future__ import annotations

import uuid

from allauth.account.models import EmailAddress
from allauth.core import ratelimit
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.accounts.models import User
from phonebank.accounts.views import came_by_link
from phonebank.audit.models import record
from phonebank.whatsappapi.models import Campaign, Contact, WaSenderSession
from phonebank.whatsappapi.services import account_deletion, account_export, announcements, approval_queue
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.access import act, back, campaign_or_404

WRONG = gettext_lazy("This is not your password. Nothing was done.")
OPEN = [Campaign.State.DEALING, Campaign.State.SCHEDULED, Campaign.State.RUNNING, Campaign.State.PAUSED]


class ConfirmForm(forms.Form):
    """Who does this must know the password, or have come by a one-time link a moment ago."""

    password = forms.CharField(
        strip=False, label=gettext_lazy("Your password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )  # fmt: skip

    def __init__(self, request: HttpRequest, *args: object) -> None:
        super().__init__(*args)
        self.request = request
        if came_by_link(request):
            del self.fields["password"]

    def clean_password(self) -> str:
        """Ten tries in five minutes: whoever found an open browser must not guess here."""
        user, request = self.request.user, self.request
        if not ratelimit.consume(request, action="reauthenticate", user=user):
            raise forms.ValidationError(_("Too many tries. Wait a few minutes."))
        if not user.check_password(self.cleaned_data["password"]):
            raise forms.ValidationError(WRONG)
        return self.cleaned_data["password"]


class AddressForm(ConfirmForm):
    email = forms.EmailField(label=gettext_lazy("New e-mail address"), max_length=254)
    field_order = ["email", "password"]

    def clean_email(self) -> str:
        email = self.cleaned_data["email"].lower()
        if User.objects.filter(email__iexact=email).exists():
            raise forms.ValidationError(_("There is an account with this address already."))
        return email


class LeaveForm(ConfirmForm):
    typed = forms.CharField(
        max_length=20, label=gettext_lazy("Type DELETE"), widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    field_order = ["typed", "password"]

    def clean_typed(self) -> str:
        if self.cleaned_data["typed"].strip().upper() != "DELETE":
            raise forms.ValidationError(_("To confirm, type DELETE."))
        return "DELETE"


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def address(request: HttpRequest) -> HttpResponse:
    """Another address: it counts once it was proven by the mail that is sent there. Without mail, no such page."""
    if not settings.EMAIL_URL:
        raise Http404
    form = AddressForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        EmailAddress.objects.add_new_email(request, request.user, form.cleaned_data["email"])
        record(actor=request.user, verb="user.address_asked", target=request.user)
        messages.info(request, _("Open the link in the mail that we sent there. Until then you log in as before."))
        return redirect("accounts:settings")
    context = {"nav": "settings", "form": form}
    return render(request, "whatsappapi/account_address.html", context, status=422 if form.errors else 200)


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """A POST answers with the file itself, as it is written: there is no link to it that could get lost."""
    form = ConfirmForm(request, request.POST) if request.method == "POST" else ConfirmForm(request)
    if request.method == "POST" and form.is_valid():
        answer = StreamingHttpResponse(account_export.export(actor=request.user), content_type="application/zip")
        name = f"phonebank-{timezone.localdate():%Y-%m-%d}.zip"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer
    context = {"nav": "settings", "form": form}
    return render(request, "whatsappapi/account_export.html", context, status=422 if form.errors else 200)


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest) -> HttpResponse:
    """What goes, then the going."""
    user = request.user
    form = LeaveForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            account_deletion.begin(actor=user, user=user)
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            logout(request)
            return redirect("whatsappapi:account_left")
    context = {
        "nav": "settings",
        "form": form,
        "sessions": WaSenderSession.objects.alive().filter(user=user).count(),
        "campaigns": Campaign.objects.filter(user=user, state__in=OPEN).count(),
        "people": Contact.objects.filter(user=user).count(),
    }
    return render(request, "whatsappapi/account_leave.html", context, status=422 if form.errors else 200)


@login_not_required
@never_cache
@require_safe
def left(request: HttpRequest) -> HttpResponse:
    """The last page that somebody sees of us."""
    return render(request, "whatsappapi/account_left.html")


@require_POST
def dismiss(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Puts an announcement away."""
    act(request, announcements.dismiss, public_id=public_id)
    return HttpResponse() if request.htmx else back(request, "whatsappapi:dashboard")


@require_POST
def campaign_withdraw(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Takes a campaign that waits for approval back to its draft."""
    one = campaign_or_404(request.user, public_id)
    done = act(request, approval_queue.withdraw, _("It is a draft again. Nothing was sent."), campaign=one)
    return redirect("whatsappapi:wizard", public_id, "review") if done else redirect("whatsappapi:campaign", public_id)
