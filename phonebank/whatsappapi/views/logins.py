"""The page of where one is logged in."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from phonebank.accounts import logins as service
from phonebank.whatsappapi.views.account import ConfirmForm


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def logins(request: HttpRequest) -> HttpResponse:
    """A POST ends those that were ticked, or with `all` every other one. This browser stays logged in."""
    form = ConfirmForm(request, request.POST) if request.method == "POST" else ConfirmForm(request)
    this = request.session.session_key
    if request.method == "POST" and form.is_valid():
        names = None if "all" in request.POST else set(request.POST.getlist("pick"))
        count = service.end(actor=request.user, names=names, keep=this)
        if count:
            done = ngettext("%(n)s browser is logged out.", "%(n)s browsers are logged out.", count)
            messages.success(request, done % {"n": count})
        else:
            messages.info(request, _("Nothing was chosen that is still logged in."))
        return redirect("whatsappapi:account_logins")
    context = {"nav": "settings", "form": form, "logins": service.logins_of(request.user, this)}
    return render(request, "whatsappapi/account_logins.html", context, status=422 if form.errors else 200)
