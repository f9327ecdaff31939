"""Contacts and their lists: by hand and by a small file. Large files come in by services/imports.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import stored
from phonebank.whatsappapi.models import ConsentRecord, Contact, ContactList, ContactTag
from phonebank.whatsappapi.models.contacts import unlock_ledger
from phonebank.whatsappapi.services import import_sql as sql
from phonebank.whatsappapi.services.columns import (
    KNOWN,
    NAME_MAX,
    Layout,
    Person,
    named_columns,
    read_row,
    refuse_twins,
)
from phonebank.whatsappapi.services.csv_files import FileProblem, Table, open_table
from phonebank.whatsappapi.services.erasure import erased_numbers
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.phones import time_zone_of, to_e164

ROWS_REPORTED = 1000
# What the ledger of consent keeps as its evidence.
NUMBER_CHANGED = stored("the number changed")
MERGED = stored("another contact of the same person was merged into this one")
ERASED = gettext_lazy("This person had themselves erased. Only their own START brings them back.")


@dataclass(slots=True)
class ImportReport:
    """What an import did. `total` rows are `valid` + `duplicate` + `invalid` + `erased`; of the valid ones `no_consent`
    and `suppressed` cannot be written to. `rows` names the first thousand that were left out: (line, reason, value)."""

    total: int = 0
    valid: int = 0
    duplicate: int = 0
    invalid: int = 0
    no_consent: int = 0
    suppressed: int = 0
    erased: int = 0
    new: int = 0
    updated: int = 0
    rows: list[tuple[int, str, str]] = field(default_factory=list)

    def leave_out(self, line: int, reason: str, value: str) -> None:
        if len(self.rows) < ROWS_REPORTED:
            self.rows.append((line, reason, value[:60]))


def import_csv(
    *,
    actor: User,
    list_name: str,
    filename: str,
    data: bytes,
    consent_source: str = "",
    country: str = "",
    columns: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports people into the actor's list `list_name`, made if missing, in one transaction.

    `consent_source` says how all of them agreed; a consent column says it row by row and wins. Whoever withdrew or is
    suppressed stays so. `country` (two letters) reads numbers without a country code; `columns` maps phone, name and
    consent to headers where they are named unusually.
    """
    list_name, consent_source = " ".join(list_name.split()), " ".join(consent_source.split())[:200]
    if not 1 <= len(list_name) <= 80 or "\x00" in list_name:
        raise _refused(_("A list needs a name of at most 80 characters."))
    if len(data) > settings.IMPORT_MAX_BYTES:
        limit = {"limit": settings.IMPORT_MAX_BYTES // 2**20}
        raise _refused(_("The file is larger than %(limit)s MB. Split it.") % limit, "too_large")
    report = ImportReport()
    try:
        table = open_table(data, known=KNOWN)
        refuse_twins(table.headers)
        at = named_columns(table.headers, columns or {})
        people = _people(table, Layout(table.headers, **at, country=country, consent_source=consent_source), report)
        with transaction.atomic():
            contact_list, __ = ContactList.objects.get_or_create(user=actor, name=list_name)
            _store(people, actor, contact_list, hashlib.sha256(data).hexdigest(), report)
            counts = {name: getattr(report, name) for name in ("total", "new", "updated", "no_consent", "suppressed")}
            about = {"file": filename[:100], "source": consent_source}
            record(actor=actor, verb="contacts.imported", target=contact_list, **about, **counts)
    except FileProblem as problem:
        raise _refused(str(problem)) from None
    report.rows.sort()
    return report


def _refused(text: str, code: str = "file") -> ServiceError:
    return ServiceError(_("%(text)s Nothing was imported.") % {"text": text}, code=code)


def _people(table: Table, layout: Layout, report: ImportReport) -> Iterator[Person]:
    """The valid rows, ready to be staged; the others go into the report."""
    attributes = layout.attributes
    for line, cells in table.rows:
        report.total += 1
        try:
            yield read_row(line, cells, layout, attributes)
        except ValueError as error:
            report.invalid += 1
            report.leave_out(line, str(error), cells[layout.phone].strip() if layout.phone < len(cells) else "")


def _store(
    people: Iterator[Person], actor: User, contact_list: ContactList, file_hash: str, report: ImportReport
) -> None:
    """Inside the caller's transaction, in as many statements for one person as for a million."""
    is_erased = erased_numbers(actor)
    with connection.cursor() as cursor:
        cursor.execute(sql.STAGE)
        with cursor.copy(sql.STAGED) as copy:
            for person in people:
                if is_erased(person[1]):
                    report.erased += 1
                    report.leave_out(person[0], ERASED, "")
                else:
                    copy.write_row(person)
        cursor.execute(sql.PEOPLE, [actor.pk, actor.pk])
        cursor.execute(sql.ANALYZE)
        cursor.execute(sql.DUPLICATES, [ROWS_REPORTED])
        for line, phone, first in cursor.fetchall():
            report.leave_out(line, _("The same number as in line %(first)s.") % {"first": first}, phone)
        people_of = {"user": actor.pk, "actor": actor.pk, "list": contact_list.pk, "tags": []}
        cursor.execute(sql.WRITE, people_of | {"hash": file_hash, "wording": ""})
        report.valid, report.new, unknown, refused = cursor.fetchone()
        cursor.execute(sql.UNSTAGE)
    report.no_consent, report.suppressed = len(unknown), len(refused)
    report.updated = report.valid - report.new
    report.duplicate = report.total - report.invalid - report.erased - report.valid


# --- by hand ---------------------------------------------------------------------------------------------------------


def add_contact(
    *, actor: User, phone: str, name: str = "", lists: Iterable[ContactList] = (), tags: Iterable[str] = ()
) -> Contact:
    """A new contact without consent. A number that is known already is refused: two rows would be one person."""
    number = _number(phone)
    if erased_numbers(actor)(number):
        raise ServiceError(_("%(erased)s Nothing was added.") % {"erased": ERASED}, code="erased")
    with transaction.atomic():
        made, is_new = Contact.objects.get_or_create(
            user=actor, phone=number, defaults={"name": _name(name), "time_zone": time_zone_of(number)}
        )
        if not is_new:
            raise ServiceError(_("You have a contact with this number already. Nothing was added."), code="known")
        _mark(made, actor, lists, tags)
        record(actor=actor, verb="contact.added", target=made)
    return made


def edit_contact(
    *,
    actor: User,
    contact: Contact,
    phone: str,
    name: str,
    attributes: Mapping[str, str],
    lists: Iterable[ContactList],
    tags: Iterable[str],
) -> Contact:
    """Changes a contact. With another contact's number the two become one (`merge`); returns the one that is left."""
    number = _number(phone)
    cleaned = {key.strip()[:60]: value.strip()[:1000] for key, value in attributes.items() if key.strip()}
    with transaction.atomic():
        mine = Contact.objects.select_for_update(no_key=True).get(pk=contact.pk)
        twin = Contact.objects.filter(user=contact.user, phone=number).exclude(pk=mine.pk).first()
        if number != mine.phone and twin is None:
            if erased_numbers(contact.user)(number):
                raise ServiceError(_("%(erased)s Nothing was changed.") % {"erased": ERASED}, code="erased")
            # What was known of the old number says nothing about the new one.
            mine.lid, mine.last_session, mine.time_zone = "", None, time_zone_of(number)
            mine.phone = number
            if mine.consent == Contact.Consent.GRANTED:
                mine.consent = Contact.Consent.UNKNOWN
                ConsentRecord.objects.create(
                    user=mine.user, contact=mine, status=mine.consent, source=NUMBER_CHANGED, recorded_by=actor
                )
        mine.name, mine.attributes = _name(name), {key: value for key, value in cleaned.items() if value}
        mine.save(update_fields=["phone", "name", "attributes", "lid", "last_session", "time_zone", "consent"])
        _mark(mine, actor, lists, tags, is_all=True)
        record(actor=actor, verb="contact.edited", target=mine)
        return merge(actor=actor, contact=mine, into=twin) if twin is not None else mine


def merge(*, actor: User, contact: Contact, into: Contact) -> Contact:
    """Makes two contacts one, the one whose number is kept: `into`. Where both have a value, its own wins.

    Consent belongs to a number, so `into` keeps its own ledger, with a note that names what the other's said.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        pair = {
            one.pk: one
            for one in Contact.objects.select_for_update(no_key=True)
            .filter(pk__in=(contact.pk, into.pk), user=into.user)
            .order_by("user", "phone")
        }
        if len(pair) < 2:
            raise ServiceError(_("One of the two is gone by now; nothing was changed."), code="gone")
        gone, kept = pair[contact.pk], pair[into.pk]
        cursor.execute(_DEALS, [kept.user_id])  # a deal must not write a row for somebody who goes away meanwhile
        kept.name = kept.name or gone.name
        kept.attributes = gone.attributes | kept.attributes
        kept.save(update_fields=["name", "attributes"])
        kept.lists.add(*gone.lists.all())
        kept.tags.add(*gone.tags.all())
        gone.messages.exclude(state="queued").update(contact=kept)  # those that wait had the other number's consent
        gone.inbound_messages.update(contact=kept)
        said = "; ".join(f"{one.status}: {one.source}" for one in gone.consent_records.order_by("id"))
        ConsentRecord.objects.create(
            user=kept.user,
            contact=kept,
            status=kept.consent,
            source=MERGED,
            wording=f"The ledger of the other said: {said}" if said else "",
            recorded_by=actor,
        )
        unlock_ledger()
        gone.delete()
        record(actor=actor, verb="contact.merged", target=kept)
    return kept


_DEALS = """
SELECT id FROM whatsappapi_campaign WHERE user_id = %s AND state = 'dealing' ORDER BY id FOR NO KEY UPDATE
"""


def _number(phone: str) -> str:
    try:
        return to_e164(phone)
    except ValueError as error:
        raise ServiceError(str(error), code="phone") from None


def _name(name: str) -> str:
    return " ".join(name.replace("\x00", "").split())[:NAME_MAX]


def _mark(
    contact: Contact, actor: User, lists: Iterable[ContactList], tags: Iterable[str], *, is_all: bool = False
) -> None:
    """Puts a contact on lists and under tags; `is_all`: on no others."""
    names = list(dict.fromkeys(filter(None, (" ".join(tag.split())[:40] for tag in tags))))
    found = [ContactTag.objects.get_or_create(user=contact.user, name=name)[0] for name in names]
    mine = [one for one in lists if one.user_id == contact.user_id]
    if is_all:
        contact.lists.set(mine)
        contact.tags.set(found)
    else:
        contact.lists.add(*mine)
        contact.tags.add(*found)


# --- lists -----------------------------------------------------------------------------------------------------------


def create_list(*, actor: User, name: str) -> ContactList:
    """An empty list."""
    with transaction.atomic():
        made, is_new = ContactList.objects.get_or_create(user=actor, name=_list_name(name))
        if not is_new:
            raise ServiceError(_("You have a list of this name already. Nothing was added."), code="known")
        record(actor=actor, verb="list.created", target=made)
    return made


def rename_list(*, actor: User, contact_list: ContactList, name: str) -> None:
    """Campaigns that were sent to it show the new name as well."""
    name = _list_name(name)
    with transaction.atomic():
        if ContactList.objects.filter(user=contact_list.user, name=name).exclude(pk=contact_list.pk).exists():
            raise ServiceError(_("You have a list of this name already. Nothing was changed."), code="known")
        ContactList.objects.filter(pk=contact_list.pk).update(name=name)
        record(actor=actor, verb="list.renamed", target=contact_list, name=name)
    contact_list.name = name


def delete_list(*, actor: User, contact_list: ContactList) -> None:
    """Its people stay contacts, with their consent. A campaign that is being prepared from it must be over first."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_DEALS, [contact_list.user_id])
        if contact_list.campaigns.filter(state="dealing").exists():
            raise ServiceError(_("A campaign to this list is just being prepared. Try again in a moment."), code="busy")
        record(actor=actor, verb="list.deleted", target=contact_list, name=contact_list.name)
        contact_list.delete()


def _list_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or "\x00" in name:
        raise ServiceError(_("A list needs a name of at most 80 characters."), code="list")
    return name
