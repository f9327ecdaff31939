"""Pages of contact lists, and the import of people who agreed."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from phonebank.whatsappapi.forms import ImportForm
from phonebank.whatsappapi.services.contacts import import_csv
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.audience import lists_with_counts

LISTS = 25
SHOWN_ROWS = 200


@require_safe
def contacts(request: HttpRequest) -> HttpResponse:
    page = Paginator(lists_with_counts(request.user), LISTS).get_page(request.GET.get("page"))
    return render(request, "whatsappapi/contacts.html", {"nav": "contacts", "page": page})


@require_http_methods(["GET", "HEAD", "POST"])
def import_contacts(request: HttpRequest) -> HttpResponse:
    """The report is the answer to the upload; uploading the same file again changes nothing."""
    form = ImportForm(request.POST or None, request.FILES or None)
    context = {"nav": "contacts", "form": form}
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            report = import_csv(
                actor=request.user,
                list_name=data["list_name"],
                filename=data["file"].name,
                data=data["file"].read(),
                consent_source=data["consent_source"],
                country=data["country"],
            )
        except ServiceError as error:
            form.add_error("file", error.message)
        else:
            shown = report.rows[:SHOWN_ROWS]
            context |= {
                "report": report,
                "rows": shown,
                "more": len(report.rows) - len(shown),
                "list": data["list_name"],
            }
            return render(request, "whatsappapi/import_report.html", context)
    return render(request, "whatsappapi/import_contacts.html", context, status=422 if form.errors else 200)
