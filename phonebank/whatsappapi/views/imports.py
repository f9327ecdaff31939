"""Pages of imports: the file, its columns, its progress, its report."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.paginator import Paginator
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.whatsappapi.contact_forms import ColumnsForm, UploadForm
from phonebank.whatsappapi.models import ContactImport, ImportRow
from phonebank.whatsappapi.services import imports as service
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.import_report import rejected_rows
from phonebank.whatsappapi.services.import_twins import earlier_import, mark
from phonebank.whatsappapi.services.phones import to_e164
from phonebank.whatsappapi.views.access import act
from phonebank.whatsappapi.views.contacts import download
from phonebank.whatsappapi.views.live import render_live

State, What = ContactImport.State, ContactImport.What
ROWS = 100
SHOWN = 6
LIGHTS = {"done": "green", "checked": "green", "failed": "red", "cancelled": "yellow", "draft": ""}


@require_http_methods(["GET", "HEAD", "POST"])
def import_contacts(request: HttpRequest) -> HttpResponse:
    """Takes the file; what its columns hold is asked next. `what=suppressed` for numbers not to be written to."""
    what = What.SUPPRESSIONS if request.GET.get("what") == What.SUPPRESSIONS else What.PEOPLE
    form = UploadForm(request.POST or None, request.FILES or None, what=what)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            job = service.upload(
                actor=request.user,
                filename=data["file"].name,
                file=data["file"].file,
                what=what,
                list_name=data.get("list_name", ""),
                encoding=data["encoding"],
            )
        except ServiceError as error:
            form.add_error("file", error.message)
        else:
            return redirect("whatsappapi:contact_import", job.public_id)
    recent = ContactImport.objects.visible_to(request.user).filter(what=what).order_by("-id")[:SHOWN]
    context = {"nav": "contacts", "form": form, "what": what, "is_people": what == What.PEOPLE,
               "recent": [(job, LIGHTS.get(job.state, "blue")) for job in recent]}  # fmt: skip
    return render(request, "whatsappapi/import_contacts.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def contact_import(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """By its state: the question what the columns hold, the progress, or the report."""
    job = _import_or_404(request, public_id)
    if job.state == State.DRAFT or (job.state == State.CHECKED and "change" in request.GET):
        return _columns(request, job)
    if request.method == "POST":
        return redirect(request.path)
    return _progress(request, job)


@require_POST
def contact_import_start(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """After a check: the import itself."""
    job = _import_or_404(request, public_id)
    act(request, service.start, job=job, is_dry_run=False, seen=request.POST.get("seen", ""))
    return redirect("whatsappapi:contact_import", job.public_id)


@require_POST
def contact_import_cancel(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    job = _import_or_404(request, public_id)
    act(request, service.cancel, job=job)
    return redirect("whatsappapi:contact_import", job.public_id)


@require_safe
def contact_import_rows(request: HttpRequest, public_id: uuid.UUID, form: str) -> StreamingHttpResponse | FileResponse:
    """The rows to look at, as a file."""
    job = _import_or_404(request, public_id)
    if form not in ("csv", "xlsx"):
        raise Http404
    return download(rejected_rows(job), "rows-to-look-at", form)


def _import_or_404(request: HttpRequest, public_id: uuid.UUID) -> ContactImport:
    rows = ContactImport.objects.visible_to(request.user).select_related("contact_list")
    return get_object_or_404(rows, public_id=public_id)


def _columns(request: HttpRequest, job: ContactImport) -> HttpResponse:
    initial: dict[str, Any] = {
        "country": job.country, "list_name": job.list_name, "tags": job.tags, "consent_source": job.consent_source,
        "consent_wording": job.consent_wording, "is_declared": job.is_declared,
    }  # fmt: skip
    initial |= {what: "" if place is None else str(place) for what, place in job.columns.items()}
    form = ColumnsForm(request.POST or None, job=job, initial=initial)
    action = request.POST.get("action", "")
    if request.method == "POST" and form.is_valid() and action != "look":
        data = {name: value for name, value in form.cleaned_data.items() if name not in ("phone", "name", "consent")}
        try:
            with transaction.atomic():  # what another window says of the same file comes before or after, not between
                service.configure(actor=request.user, job=job, columns=form.columns, **data)
                service.start(actor=request.user, job=job, is_dry_run=action == "check")
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            return redirect("whatsappapi:contact_import", job.public_id)
    given = form.data if form.is_bound else initial
    context = {"nav": "contacts", "job": job, "form": form, "is_people": job.what == What.PEOPLE,
               "twin": earlier_import(job),
               "preview": _preview(job, str(given.get("phone", "")), str(given.get("country", "")))}  # fmt: skip
    status = 422 if form.errors and action != "look" else 200
    template = "whatsappapi/import_columns.html"
    return render(request, f"{template}#preview" if request.htmx else template, context, status=status)


def _preview(job: ContactImport, column: str, country: str) -> list[tuple[int, list[str], str, str]]:
    """The first rows: line, cells, the number as it will be kept, or why it cannot."""
    shown = []
    for line, cells in job.sample:
        text = cells[int(column)] if column.isdecimal() and int(column) < len(cells) else ""
        try:
            number, problem = to_e164(text, country), ""
        except ValueError as error:
            number, problem = "", str(error) if column else ""
        shown.append((line + job.first_line - 1, cells, number, problem))
    return shown


def _progress(request: HttpRequest, job: ContactImport) -> HttpResponse:
    chosen = request.GET.get("verdict", "")
    rows = job.rows.order_by("id")
    if chosen in ImportRow.Verdict.values:
        rows = rows.filter(verdict=chosen)
    is_over = job.state not in (State.WAITING, State.RUNNING)
    page = Paginator(rows, ROWS).get_page(request.GET.get("page")) if is_over else None
    at = job.columns.get("phone") or 0
    shown = [(row, row.cells[at] if at < len(row.cells) else "") for row in page] if page else []
    context = {
        "nav": "contacts", "job": job, "is_over": is_over, "is_people": job.what == What.PEOPLE, "page": page,
        "rows": shown, "light": LIGHTS.get(job.state, "blue"), "verdicts": ImportRow.Verdict.choices,
        "chosen": chosen, "query": f"verdict={chosen}&" if chosen else "",
        "left_out": job.total - job.valid, "seen": mark(job),
    }  # fmt: skip
    poll = reverse("whatsappapi:contact_import", args=[job.public_id])
    return render_live(request, "whatsappapi/import_report.html", "report", context, poll)
