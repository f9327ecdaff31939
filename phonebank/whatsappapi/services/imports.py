"""Imports in a job: upload, columns, dry run, rows in chunks, report. `run` may be killed anywhere and run again."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import stored
from phonebank.whatsappapi.models import ContactImport, ContactList, ContactTag, ImportNumber, ImportPart
from phonebank.whatsappapi.services import import_sql as sql
from phonebank.whatsappapi.services import workbooks
from phonebank.whatsappapi.services.columns import (
    KNOWN,
    Layout,
    Person,
    find_columns,
    read_row,
    refuse_twins,
)
from phonebank.whatsappapi.services.consent_words import SOURCE_MAX
from phonebank.whatsappapi.services.csv_files import FileProblem, Table, open_table
from phonebank.whatsappapi.services.erasure import erased_numbers
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.import_report import Reject, write_report
from phonebank.whatsappapi.services.import_twins import refuse_stale, refuse_to_race
from phonebank.whatsappapi.services.suppressions import one_at_a_time, skip_listed

logger = logging.getLogger(__name__)

State = ContactImport.State
SAME = stored("The same number as in line %(line)s.")
SOME_KEPT = stored("The first %(n)s rows were imported.")
NONE_KEPT = stored("Nothing was imported.")
CHUNK = 10_000  # rows of one transaction
PART = 2**20  # bytes of a stored piece of the file
SAMPLE_ROWS = 8
TAGS_MAX = 10
KEPT = timedelta(days=30)  # an import with its report; of what it brought in, the ledger keeps the evidence
_COUNTS = ("total", "new", "known", "duplicate", "invalid", "erased", "no_consent", "suppressed", "reported")


def upload(
    *,
    actor: User,
    filename: str,
    file: BinaryIO,
    what: str = ContactImport.What.PEOPLE,
    list_name: str = "",
    encoding: str = "",
) -> ContactImport:
    """Reads a CSV or XLSX file to its end, refuses what cannot be used, and keeps it as a draft with its columns found.

    `encoding` overrules the one that was found. Nothing is imported before `start`.
    """
    try:
        file.seek(0)
        if file.seek(0, 2) > settings.IMPORT_MAX_BYTES:
            limit = settings.IMPORT_MAX_BYTES // 2**20
            raise FileProblem(_("The file is larger than %(limit)s MB. Split it into several.") % {"limit": limit})
        with tempfile.TemporaryDirectory(prefix="phonebank-import-") as folder:
            return _keep(actor, filename, file, what, list_name, encoding, Path(folder))
    except FileProblem as problem:
        raise ServiceError(_("%(problem)s Nothing was imported.") % {"problem": problem}, code="file") from None


def configure(
    *,
    actor: User,
    job: ContactImport,
    columns: Mapping[str, int | None],
    country: str = "",
    list_name: str = "",
    tags: Sequence[str] = (),
    consent_source: str = "",
    consent_wording: str = "",
    is_declared: bool = False,
) -> None:
    """Says what the columns of a draft (or of a checked file) hold and how these people agreed."""
    places = {what: place for what, place in columns.items() if place is not None}
    if "phone" not in places:
        raise ServiceError(_("Choose the column that holds the phone numbers."), code="columns")
    if any(not 0 <= place < len(job.headers) for place in places.values()):
        raise ServiceError(_("This file has no such column."), code="columns")
    if len(set(places.values())) < len(places):
        raise ServiceError(_("One column cannot be two things. Choose another one."), code="columns")
    list_name, consent_source = " ".join(list_name.split()), " ".join(consent_source.split())[:SOURCE_MAX]
    if job.what == ContactImport.What.PEOPLE and (not 1 <= len(list_name) <= 80 or "\x00" in list_name):
        raise ServiceError(_("A list needs a name of at most 80 characters."), code="list")
    if consent_source and not is_declared:
        raise ServiceError(_("Tick that all of them agreed, or leave out how they did."), code="declaration")
    cleaned = list(dict.fromkeys(filter(None, (" ".join(tag.split())[:40] for tag in tags))))
    if len(cleaned) > TAGS_MAX:
        raise ServiceError(_("Use at most %(tags_max)s tags at once.") % {"tags_max": TAGS_MAX}, code="tags")
    changed = ContactImport.objects.filter(pk=job.pk, user=actor, state__in=(State.DRAFT, State.CHECKED)).update(
        columns={what: places.get(what) for what in ("phone", "name", "consent")},
        country=country,
        list_name=list_name,
        tags=cleaned,
        consent_source=consent_source,
        consent_wording=consent_wording.strip()[:5000],
        is_declared=is_declared,
    )
    job.refresh_from_db()
    if not changed:
        raise _wrong_state(job)


def start(*, actor: User, job: ContactImport, is_dry_run: bool, seen: str = "") -> None:
    """Imports in the background, or only counts what an import would do. `seen`: the check that was agreed to."""
    if job.columns.get("phone") is None:
        raise ServiceError(_("Choose the column that holds the phone numbers."), code="columns")
    with transaction.atomic():
        refuse_stale(job, seen)
        if not is_dry_run:
            refuse_to_race(job)
        fresh: dict[str, Any] = dict.fromkeys((*_COUNTS, "cursor"), 0)
        changed = ContactImport.objects.filter(pk=job.pk, user=actor, state__in=(State.DRAFT, State.CHECKED)).update(
            **fresh, state=State.WAITING, is_dry_run=is_dry_run, error="", started_at=None, finished_at=None
        )
        job.refresh_from_db()
        if not changed:
            raise _wrong_state(job)
        job.rows.all().delete()
        if not is_dry_run:
            about = {"file": job.filename, "hash": job.file_hash, "source": job.consent_source}
            record(actor=actor, verb="contacts.import_started", target=job, what=job.what, **about)
        _defer(job.pk)


def cancel(*, actor: User, job: ContactImport) -> None:
    """Stops an import between two chunks: what it brought in by then stays. A draft is thrown away."""
    with transaction.atomic():
        live = (State.DRAFT, State.CHECKED, State.WAITING, State.RUNNING)
        changed = ContactImport.objects.filter(pk=job.pk, user=actor, state__in=live).update(
            state=State.CANCELLED, finished_at=timezone.now()
        )
        job.refresh_from_db()
        if not changed:
            raise _wrong_state(job)
        record(actor=actor, verb="contacts.import_cancelled", target=job, rows=job.total)
        job.parts.all().delete()
    _forget_numbers(job.pk)


def run(
    pk: int,
    progress: Callable[[ContactImport], None] = lambda job: None,
    is_over: Callable[[], bool] = lambda: False,
) -> ContactImport:
    """Imports (or checks) a file chunk by chunk from where it stood. `progress` is told after each chunk.

    Once `is_over` says so it stops between two chunks; called again it goes on.
    """
    ContactImport.objects.filter(pk=pk, state=State.WAITING).update(state=State.RUNNING, started_at=timezone.now())
    job = ContactImport.objects.select_related("user").get(pk=pk)
    if job.state == State.RUNNING:
        try:
            with _stored(job) as file:
                is_read = _read(job, file, progress, is_over)
            if is_read:
                _finish(job)
        except FileProblem as problem:
            _fail(job, str(problem))
        except (ValueError, TypeError, LookupError):
            logger.exception("an import failed")
            _fail(job, _("Something broke on our side."))
    job.refresh_from_db()
    return job


def finish_what_was_begun() -> int:
    """Defers anew what a dead worker left, and forgets files that nobody came back to, and reports nobody needs."""
    old = timezone.now() - KEPT
    for stale in ContactImport.objects.filter(created_at__lt=old).exclude(state__in=(State.WAITING, State.RUNNING)):
        stale.delete()
    begun = 0
    for pk in ContactImport.objects.filter(state__in=(State.WAITING, State.RUNNING)).values_list("pk", flat=True):
        if not jobs.is_there(f"import:{pk}"):
            begun += _defer(pk)
    return begun


def _defer(pk: int) -> bool:
    # Not `once`: a job of the same name that waits already would break the caller's transaction.
    return jobs.defer("import_contacts", lock=f"import:{pk}", job=pk)


def _wrong_state(job: ContactImport) -> ServiceError:
    return ServiceError(
        _("This import is %(job)s by now; nothing was changed.") % {"job": job.get_state_display()}, code="wrong_state"
    )


def _keep(
    actor: User, filename: str, file: BinaryIO, what: str, list_name: str, encoding: str, folder: Path
) -> ContactImport:
    original, place = folder / "original", folder / "rows.csv"
    file_hash, is_book = _copy(file, original)
    sheet = workbooks.to_csv(original, place) if is_book else None
    with (place if is_book else original).open("rb") as rows:
        table = open_table(rows, known=KNOWN, may_guess=True, **_known_form(is_book, encoding))
        refuse_twins(table.headers)
        sample, count = [], 0
        for line, cells in table.rows:  # to its end: what cannot be read is refused before a row of it is stored
            count += 1
            if count <= SAMPLE_ROWS:
                sample.append([line, [cell[:200] for cell in cells[: len(table.headers)]]])
        with transaction.atomic():
            job = ContactImport.objects.create(
                user=actor,
                what=what,
                filename=filename[:100],
                file_hash=file_hash,
                rows_in_file=count,
                sheet=sheet.name if sheet else "",
                first_line=sheet.first_line if sheet else 1,
                encoding=table.encoding,
                delimiter=table.delimiter,
                headers=table.headers,
                sample=sample,
                columns=find_columns(table.headers),
                list_name=" ".join(list_name.split())[:80],
            )
            rows.seek(0)
            for number, part in enumerate(iter(lambda: rows.read(PART), b"")):
                ImportPart.objects.create(upload=job, number=number, data=part)
    return job


def _known_form(is_book: bool, encoding: str) -> dict[str, str]:
    return {"encoding": "utf-8", "delimiter": ","} if is_book else {"encoding": encoding}


def _copy(file: BinaryIO, target: Path) -> tuple[str, bool]:
    digest, is_book = hashlib.sha256(), None
    file.seek(0)
    with target.open("wb") as copy:
        for block in iter(lambda: file.read(PART), b""):
            is_book = workbooks.is_workbook(block) if is_book is None else is_book
            digest.update(block)
            copy.write(block)
    return digest.hexdigest(), bool(is_book)


@contextlib.contextmanager
def _stored(job: ContactImport) -> Iterator[BinaryIO]:
    """The file, put together again outside of memory."""
    with tempfile.TemporaryFile(prefix="phonebank-import-") as file:
        for number in range(job.parts.count()):
            file.write(job.parts.values_list("data", flat=True).get(number=number))
        yield file


def _read(
    job: ContactImport, file: BinaryIO, progress: Callable[[ContactImport], None], is_over: Callable[[], bool]
) -> bool:
    """Whether it came to the end."""
    table = open_table(file, encoding=job.encoding, delimiter=job.delimiter)
    rows = islice(table.rows, job.cursor, None)
    worker = _Worker(job, table)
    while chunk := list(islice(rows, CHUNK)):
        if is_over() or not worker.store(chunk):
            return False
        progress(job)
    return True


class _Worker:
    """What stays the same from chunk to chunk."""

    def __init__(self, job: ContactImport, table: Table) -> None:
        at = {what: place for what, place in job.columns.items() if place is not None}
        self.job, self.shift = job, job.first_line - 1
        self.layout = Layout(table.headers, **at, country=job.country, consent_source=job.consent_source)
        self.attributes = self.layout.attributes
        self.is_erased = erased_numbers(job.user)
        self.is_people = job.what == ContactImport.What.PEOPLE

    def store(self, chunk: list[tuple[int, list[str]]]) -> bool:
        """One transaction: the rows, the report and the place in the file. False: this import is no longer ours."""
        chunk = [(line + self.shift, cells) for line, cells in chunk]
        people, rejects, counts = self._judge(chunk)
        with transaction.atomic(), connection.cursor() as cursor:
            job = ContactImport.objects.select_for_update(no_key=True).get(pk=self.job.pk)
            if job.state != State.RUNNING or job.cursor != self.job.cursor:
                return False
            if not self.is_people:
                one_at_a_time(job.user)
            cells = dict(chunk)
            for line, verdict, reason in self._write(cursor, job, people, counts):
                rejects.append((line, verdict, reason, cells[line]))
            rejects.sort(key=lambda one: one[0])
            counts["reported"] = write_report(cursor, job, rejects)
            for name, n in counts.items():
                setattr(job, name, getattr(job, name) + n)
            job.cursor += len(chunk)
            job.save(update_fields=[*_COUNTS, "cursor", "contact_list"])
        for name in (*_COUNTS, "cursor", "contact_list_id"):
            setattr(self.job, name, getattr(job, name))
        return True

    def _judge(self, chunk: list[tuple[int, list[str]]]) -> tuple[list[Person], list[Reject], dict[str, int]]:
        people, rejects, counts = [], [], dict.fromkeys(_COUNTS, 0)
        counts["total"] = len(chunk)
        for line, cells in chunk:
            try:
                person = read_row(line, cells, self.layout, self.attributes)
            except ValueError as error:
                counts["invalid"] += 1
                rejects.append((line, "invalid", str(error), cells))
                continue
            if self.is_people and self.is_erased(person[1]):
                counts["erased"] += 1
                rejects.append((line, "erased", _("This person had themselves erased."), cells))
            else:
                people.append(person)
        return people, rejects, counts

    def _write(
        self, cursor: Any, job: ContactImport, people: list[Person], counts: dict[str, int]
    ) -> Iterator[tuple[int, str, str]]:
        """Yields what is to be reported: line, verdict, reason."""
        cursor.execute(sql.STAGE)
        with cursor.copy(sql.STAGED) as copy:
            for person in people:
                copy.write_row(person)
        cursor.execute(sql.MEET, {"upload": job.pk})
        for line, first in cursor.fetchall():
            counts["duplicate"] += 1
            yield line, "duplicate", SAME % {"line": first}
        cursor.execute(sql.PEOPLE, [job.user_id, job.user_id])
        cursor.execute(sql.ANALYZE)
        valid, counts["new"], unknown, refused = self._apply(cursor, job)
        counts["known"] = valid - counts["new"]
        counts["no_consent"], counts["suppressed"] = len(unknown), len(refused)
        yield from ((line, "no_consent", _("Nothing says that this person agreed.")) for line in unknown)
        yield from ((line, "suppressed", _("This person asked not to be written to.")) for line in refused)

    def _apply(self, cursor: Any, job: ContactImport) -> tuple[int, int, list[int], list[int]]:
        about: dict[str, Any] = {"user": job.user_id, "actor": job.user_id, "hash": job.file_hash}
        if not self.is_people:
            about["note"] = f"list “{job.filename}”"[:200]
            if not job.is_dry_run:
                cursor.execute(sql.DECIDE, about)
            cursor.execute(sql.SUPPRESS_LOOK if job.is_dry_run else sql.SUPPRESS, about)
        elif job.is_dry_run:
            cursor.execute(sql.LOOK, about)
        else:
            if job.contact_list_id is None:
                job.contact_list, __ = ContactList.objects.get_or_create(user=job.user, name=job.list_name)
            tags = [ContactTag.objects.get_or_create(user=job.user, name=tag)[0].pk for tag in job.tags]
            cursor.execute(
                sql.WRITE, about | {"list": job.contact_list_id, "tags": tags, "wording": job.consent_wording}
            )
        return cursor.fetchone()


def _finish(job: ContactImport) -> None:
    job.refresh_from_db()
    if job.state != State.RUNNING:
        return
    if job.what == ContactImport.What.SUPPRESSIONS and not job.is_dry_run:
        skip_listed(user=job.user, upload=job.pk)
    with transaction.atomic():
        state = State.CHECKED if job.is_dry_run else State.DONE
        mine = ContactImport.objects.filter(pk=job.pk, state=State.RUNNING)
        done = mine.update(state=state, finished_at=timezone.now())
        if done and not job.is_dry_run:
            counts = {name: getattr(job, name) for name in _COUNTS if name != "reported"}
            record(actor=job.user, verb="contacts.imported", target=job, file=job.filename, **counts)
            job.parts.all().delete()
    _forget_numbers(job.pk)


def _fail(job: ContactImport, text: str) -> None:
    with transaction.atomic():
        kept = SOME_KEPT % {"n": f"{job.cursor:,}"} if job.cursor and not job.is_dry_run else NONE_KEPT
        mine = ContactImport.objects.filter(pk=job.pk, state=State.RUNNING)
        mine.update(state=State.FAILED, error=f"{text} {kept}"[:400], finished_at=timezone.now())
        job.parts.all().delete()
    _forget_numbers(job.pk)


def _forget_numbers(pk: int) -> None:
    ImportNumber.objects.filter(upload=pk).delete()
