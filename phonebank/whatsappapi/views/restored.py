"""For administrators: a restored installation waits for their word (services/guard.py)."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.whatsappapi.services import aftermath, guard
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.access import act


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def restored(request: HttpRequest) -> HttpResponse:
    """What to look at, and the word that lets it send."""
    _check(request)
    if request.method == "POST":
        return _confirm(request)
    return render(request, "whatsappapi/restored.html", {"nav": "status", "held": guard.held()})


@require_POST
@never_cache
def compare(request: HttpRequest) -> HttpResponse:
    """Whom the gateway's logs name: the same page, with what they say."""
    _check(request)
    context = {"nav": "status", "held": guard.held(), "meanwhile": aftermath.compare()}
    return render(request, "whatsappapi/restored.html", context)


def _check(request: HttpRequest) -> None:
    if not request.user.is_superuser:
        raise Http404


def _confirm(request: HttpRequest) -> HttpResponse:
    if guard.held() is None:
        messages.info(request, _("Nothing was held, so nothing was changed."))
        return redirect("whatsappapi:restored")
    if request.POST.get("typed", "").strip().upper() != "CONFIRM":
        messages.error(request, _("To confirm, type CONFIRM. Nothing was changed."))
        return redirect("whatsappapi:restored")
    done, found = _("Sending goes on where the backup left off."), aftermath.Meanwhile()
    if request.POST.get("leave_out"):
        try:
            found = aftermath.leave_out(actor=request.user, strict=not request.POST.get("anyway"))
        except ServiceError as error:
            messages.error(request, error.message)
            return redirect("whatsappapi:restored")
        left_out = _("Messages left out, for the gateway's logs name their people: %(n)s.") % {"n": found.left_out}
        done = f"{done} {left_out}"
    if not act(request, guard.confirm, done, pause=bool(request.POST.get("pause"))):
        return redirect("whatsappapi:restored")
    if found.unread:
        names = "; ".join(f"{name}: {why}" for name, why in found.unread)
        warning = _("Somebody may be written to twice, for this did not tell: %(names)s") % {"names": names}
        messages.warning(request, warning)
    return redirect("whatsappapi:status")
