"""Pages of contact lists, and people as a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from django.core.paginator import Paginator
from django.db.models import Func, OuterRef, QuerySet, Subquery, TextField
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.audit.models import record
from phonebank.language import in_english
from phonebank.whatsappapi.contact_forms import ListForm
from phonebank.whatsappapi.models import ConsentRecord, Contact, ContactList
from phonebank.whatsappapi.services import contacts as service
from phonebank.whatsappapi.services.list_counts import count_people
from phonebank.whatsappapi.services.tables import csv_blocks, xlsx_file
from phonebank.whatsappapi.views.access import act
from phonebank.whatsappapi.views.people import chosen_people

LISTS = 25
MERGE_TAGS = 60  # columns of merge tags in an export; what an import can bring in at once


@require_http_methods(["GET", "HEAD", "POST"])
def contacts(request: HttpRequest) -> HttpResponse:
    """The lists; POST makes an empty one."""
    form = ListForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        act(request, service.create_list, _("The list was made. Add people to it."), name=form.cleaned_data["name"])
        return redirect("whatsappapi:contacts")
    page = Paginator(ContactList.objects.visible_to(request.user), LISTS).get_page(request.GET.get("page"))
    counts = count_people(page.object_list)
    rows = [(one, counts[one.pk]) for one in page.object_list]
    context = {"nav": "contacts", "tab": "lists", "page": page, "lists": rows, "form": form}
    return render(request, "whatsappapi/contacts.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def contact_list(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """One list: its name, and the way to delete it."""
    row = _list_or_404(request, public_id)
    form = ListForm(request.POST or None, initial={"name": row.name})
    if request.method == "POST" and form.is_valid():
        done = act(request, service.rename_list, _("Renamed."), contact_list=row, name=form.cleaned_data["name"])
        return redirect("whatsappapi:contacts" if done else request.path)
    context = {"nav": "contacts", "list": row, "counts": count_people([row])[row.pk], "form": form}
    return render(request, "whatsappapi/contact_list.html", context, status=422 if form.errors else 200)


@require_POST
def contact_list_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    row = _list_or_404(request, public_id)
    act(
        request,
        service.delete_list,
        _("“%(name)s” was deleted. Its people are still contacts.") % {"name": row.name},
        contact_list=row,
    )
    return redirect("whatsappapi:contacts")


@require_safe
def export_people(request: HttpRequest, form: str) -> HttpResponse | StreamingHttpResponse | FileResponse:
    """The people of the search in the address, as a CSV or XLSX file."""
    if form not in ("csv", "xlsx"):
        raise Http404
    __, rows = chosen_people(request)
    record(actor=request.user, verb="contacts.exported", owner=request.user, form=form)
    return download(_people(rows), "contacts", form)


def download(rows: Iterator[Sequence[str]], name: str, form: str) -> StreamingHttpResponse | FileResponse:
    """An attachment, written while it is read; in English, for a file may come back as an import."""
    rows = in_english(rows)
    if form == "xlsx":
        return FileResponse(xlsx_file(rows), as_attachment=True, filename=f"{name}.xlsx")
    answer = StreamingHttpResponse(csv_blocks(rows), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _list_or_404(request: HttpRequest, public_id: uuid.UUID) -> ContactList:
    return get_object_or_404(ContactList.objects.visible_to(request.user), public_id=public_id)


def _people(rows: QuerySet[Contact]) -> Iterator[Sequence[str]]:
    keys = rows.order_by().annotate(key=Func("attributes", function="jsonb_object_keys", output_field=TextField()))
    merge_tags = sorted(keys.values_list("key", flat=True).distinct()[:MERGE_TAGS])
    last = ConsentRecord.objects.filter(contact=OuterRef("pk")).order_by("-id")
    rows = rows.annotate(
        source=Subquery(last.values("source")[:1]), recorded_at=Subquery(last.values("recorded_at")[:1])
    )
    yield ["phone", "name", "consent", "consent source", "consent recorded", "lists", "tags", *merge_tags]
    for one in rows.prefetch_related("lists", "tags").iterator(chunk_size=2000):
        # A source stands only where it still counts: the file may come back as an import.
        agreed = one.consent == Contact.Consent.GRANTED
        yield [
            one.phone, one.name, one.get_consent_display(), (one.source or "") if agreed else "no",
            one.recorded_at.isoformat() if one.recorded_at else "", ", ".join(x.name for x in one.lists.all()),
            ", ".join(x.name for x in one.tags.all()), *(str(one.attributes.get(key, "")) for key in merge_tags),
        ]  # fmt: skip
