"""Contacts come in by CSV: checked row by row, stored all or none, sendable only with a source of consent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection, transaction

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.models import ContactList
from phonebank.whatsappapi.services.csv_files import FileProblem, Table, open_table, plain
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.phones import time_zone_of, to_e164

ROWS_REPORTED = 1000
VALUE_MAX = 1000  # characters of one cell
NAME_MAX = 120

# Headers by what they hold, best first.
_ALIASES = {
    "phone": (
        "phone phonenumber whatsapp whatsappnumber mobile mobilenumber mobilephone cell cellphone msisdn "
        "telephone telephonenumber tel number contactnumber primaryphone phone1value telefono teléfono "
        "móvil movil celular numero número numerodetelefono númerodeteléfono telefone telemovel telemóvel "
        "téléphone portable numérodetéléphone telefon telefonnummer handy handynummer rufnummer cellulare "
        "telefoon telefoonnummer mobiel gsm numer nummer телефон номер номертелефона هاتف جوال رقمالهاتف "
        "טלפון 电话 手机 手机号 電話 電話番号 전화번호 휴대폰 फोन nohp nomor simu"
    ),
    "name": (
        "name fullname contactname displayname firstname nombre nombrecompleto nom nomcomplet prénom nome "
        "nomecompleto vorname naam voornaam имя фио imię isim ad الاسم اسم שם 姓名 名前 氏名 이름 नाम nama jina"
    ),
    "consent": (
        "consentsource optinsource sourceofconsent consent optin permission consentimiento consentimento "
        "consentement einwilligung consenso toestemming согласие zgoda onay موافقة"
    ),
}
ALIASES = {what: tuple(map(plain, names.split())) for what, names in _ALIASES.items()}
# Line, phone, name, attributes as JSON, time zone, source of consent.
Person = tuple[int, str, str, str, str, str]
_encode = json.JSONEncoder(ensure_ascii=False).encode
_KNOWN = frozenset(alias for aliases in ALIASES.values() for alias in aliases)
_NO = frozenset({"no", "n", "false", "0", "nein", "non", "nao", "não", "нет", "nie", "hayır", "لا", "否", "いいえ"})
_YES = frozenset(
    {"yes", "y", "true", "1", "x", "ok", "si", "sí", "sì", "ja", "oui", "sim", "да", "tak", "evet", "نعم", "是"}
)


@dataclass(slots=True)
class ImportReport:
    """What an import did. `total` rows are `valid` + `duplicate` + `invalid`; of the valid ones `no_consent` and
    `suppressed` cannot be written to. `rows` names the first thousand that were left out: (line, reason, value)."""

    total: int = 0
    valid: int = 0
    duplicate: int = 0
    invalid: int = 0
    no_consent: int = 0
    suppressed: int = 0
    new: int = 0
    updated: int = 0
    rows: list[tuple[int, str, str]] = field(default_factory=list)

    def leave_out(self, line: int, reason: str, value: str) -> None:
        if len(self.rows) < ROWS_REPORTED:
            self.rows.append((line, reason, value[:60]))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where in a row things stand."""

    phone: int
    name: int | None
    consent: int | None
    attributes: dict[int, str]


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
        raise _refused("A list needs a name of at most 80 characters.")
    if len(data) > settings.IMPORT_MAX_BYTES:
        raise _refused(f"The file is larger than {settings.IMPORT_MAX_BYTES // 2**20} MB. Split it.", "too_large")
    report = ImportReport()
    try:
        table = open_table(data, known=_KNOWN)
        people = _people(table, _find_columns(table, columns or {}), country, consent_source, report)
        with transaction.atomic():
            contact_list, _ = ContactList.objects.get_or_create(user=actor, name=list_name)
            _store(people, actor, contact_list, hashlib.sha256(data).hexdigest(), report)
            counts = {name: getattr(report, name) for name in ("total", "new", "updated", "no_consent", "suppressed")}
            about = {"file": filename[:100], "source": consent_source}
            record(actor=actor, verb="contacts.imported", target=contact_list, **about, **counts)
    except FileProblem as problem:
        raise _refused(str(problem)) from None
    report.rows.sort()
    return report


def _refused(text: str, code: str = "file") -> ServiceError:
    return ServiceError(f"{text} Nothing was imported.", code=code)


def _find_columns(table: Table, columns: Mapping[str, str]) -> _Columns:
    plains = [plain(header) for header in table.headers]
    repeated = {one for one in plains if one and plains.count(one) > 1}
    if repeated:
        name = next(header for header in table.headers if plain(header) in repeated)
        raise FileProblem(f"Two columns are named “{name}”. Rename one.")
    at: dict[str, int | None] = {}
    for what, aliases in ALIASES.items():
        wanted = (plain(columns[what]),) if columns.get(what) else aliases
        at[what] = next((plains.index(alias) for alias in wanted if alias in plains), None)
        if columns.get(what) and at[what] is None:
            raise FileProblem(f"There is no column “{columns[what]}”.")
    if at["phone"] is None:
        shown = ", ".join(f"“{header[:30]}”" for header in table.headers[:8])
        raise FileProblem(f"No column holds phone numbers: the first line names {shown}. Name one of them “phone”.")
    taken = set(at.values())
    rest = {i: name[:60] for i, name in enumerate(table.headers) if name and i not in taken}
    return _Columns(at["phone"], at["name"], at["consent"], rest)


def _people(table: Table, at: _Columns, country: str, consent_source: str, report: ImportReport) -> Iterator[Person]:
    """The valid rows, ready to be staged; the others go into the report."""
    width = len(table.headers)
    for line, cells in table.rows:
        report.total += 1
        try:
            if any(cell.strip() for cell in cells[width:]):
                raise ValueError("This line has more cells than the first one.")
            cells = [cell.strip() for cell in cells[:width]] + [""] * (width - len(cells))
            if any(len(cell) > VALUE_MAX for cell in cells):
                raise ValueError(f"A cell has more than {VALUE_MAX} characters.")
            phone = to_e164(cells[at.phone], country)
            name = cells[at.name] if at.name is not None else ""
            if len(name) > NAME_MAX:
                raise ValueError(f"The name has more than {NAME_MAX} characters.")
        except ValueError as error:
            report.invalid += 1
            report.leave_out(line, str(error), cells[at.phone].strip() if at.phone < len(cells) else "")
            continue
        source = _source(cells[at.consent] if at.consent is not None else "", consent_source)
        attributes = {header: cells[i] for i, header in at.attributes.items() if cells[i]}
        yield line, phone, name, _encode(attributes), time_zone_of(phone), source


def _source(cell: str, consent_source: str) -> str:
    """How this person agreed; empty when the row says that they did not, or nothing says that they did."""
    word = cell.casefold()
    if word in _NO:
        return ""
    if not cell or (word in _YES and consent_source):
        return consent_source
    return f"consent column of the file: {cell}"[:200] if word in _YES else cell[:200]


_STAGE = """
CREATE TEMPORARY TABLE import_row (line int, phone text, name text, attributes jsonb, time_zone text, source text)
ON COMMIT DROP
"""
_PEOPLE = """
CREATE TEMPORARY TABLE import_person ON COMMIT DROP AS
SELECT DISTINCT ON (r.phone) r.*, EXISTS (
    SELECT 1 FROM whatsappapi_suppression s
    WHERE s.user_id = %s AND s.phone = r.phone AND s.lifted_at IS NULL) AS is_suppressed
FROM import_row r ORDER BY r.phone, r.line
"""
_DUPLICATES = """
SELECT r.line, r.phone, p.line FROM import_row r JOIN import_person p ON p.phone = r.phone AND p.line <> r.line
ORDER BY r.line LIMIT %s
"""
_UPSERT = """
WITH up AS (
  INSERT INTO whatsappapi_contact AS c
    (public_id, user_id, phone, name, attributes, lid, time_zone, consent, created_at)
  SELECT gen_random_uuid(), %(user)s, phone, name, attributes, '', time_zone,
    CASE WHEN is_suppressed THEN 'withdrawn' WHEN source <> '' THEN 'granted' ELSE 'unknown' END, now()
  FROM import_person ORDER BY phone
  ON CONFLICT (user_id, phone) DO UPDATE SET
    name = CASE WHEN excluded.name <> '' THEN excluded.name ELSE c.name END,
    attributes = c.attributes || excluded.attributes,
    time_zone = excluded.time_zone,
    consent = CASE WHEN c.consent = 'withdrawn' OR excluded.consent = 'unknown' THEN c.consent ELSE excluded.consent END
  RETURNING c.id, c.phone, c.consent, xmax = 0 AS is_new
), listed AS (
  INSERT INTO whatsappapi_contact_lists (contact_id, contactlist_id) SELECT id, %(list)s FROM up ON CONFLICT DO NOTHING
), evidence AS (
  INSERT INTO whatsappapi_consentrecord
    (user_id, contact_id, status, source, wording, file_hash, recorded_by_id, recorded_at)
  SELECT %(user)s, up.id, 'granted', p.source, '', %(hash)s, %(user)s, now()
  FROM up JOIN import_person p ON p.phone = up.phone
  WHERE up.consent = 'granted' AND p.source <> '' AND NOT EXISTS (
    SELECT 1 FROM whatsappapi_consentrecord x
    WHERE x.contact_id = up.id AND x.file_hash = %(hash)s AND x.source = p.source)
)
SELECT count(*), count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE consent = 'unknown'),
  count(*) FILTER (WHERE consent = 'withdrawn') FROM up
"""


def _store(
    people: Iterator[Person], actor: User, contact_list: ContactList, file_hash: str, report: ImportReport
) -> None:
    """Inside the caller's transaction, in as many statements for one person as for a million."""
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        with cursor.copy("COPY import_row (line, phone, name, attributes, time_zone, source) FROM STDIN") as copy:
            for person in people:
                copy.write_row(person)
        cursor.execute(_PEOPLE, [actor.pk])
        cursor.execute("ANALYZE import_row, import_person")
        cursor.execute(_DUPLICATES, [ROWS_REPORTED])
        for line, phone, first in cursor.fetchall():
            report.leave_out(line, f"The same number as in line {first}.", phone)
        cursor.execute(_UPSERT, {"user": actor.pk, "list": contact_list.pk, "hash": file_hash})
        report.valid, report.new, report.no_consent, report.suppressed = cursor.fetchone()
    report.updated = report.valid - report.new
    report.duplicate = report.total - report.invalid - report.valid
