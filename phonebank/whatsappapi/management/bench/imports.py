"""`phonebank bench import`: a list of people through the real import, beside plain `phonenumbers` on the same rows."""

from __future__ import annotations

import csv
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phonenumbers

from phonebank.accounts.models import User
from phonebank.whatsappapi.management.bench import machine
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.models import ContactImport
from phonebank.whatsappapi.services import imports
from phonebank.whatsappapi.services.phones import to_e164

COUNTRY = "ES"  # chosen at the import: two of five rows are written without a country code
SMALL = 10_000  # rows of the import that memory is compared with
SAMPLE = 50_000  # rows of the comparison of phone checks: both are linear
ROUNDS = 3
MIB = 2**20
STATE = ContactImport.State
# What a list looks like: national numbers, then others with their country, in the ways people write them.
WRITTEN = (
    ("6{:08d}", 0.15), ("6{:02d} {:03d} {:03d}", 0.2), ("9{:08d}", 0.05), ("+346{:08d}", 0.2), ("0034 6{:08d}", 0.05),
    ("+1 (201) {:03d}-{:04d}", 0.1), ("+49 151 {:08d}", 0.1), ("+44 74{:08d}", 0.05),
    ("+33 6 {:02d} {:02d} {:04d}", 0.05), ("+55 (11) 9{:04d}-{:04d}", 0.05),
)  # fmt: skip
NAMES = ("Ana García", "Luis Ortega", "Marta Ruiz", "Jordi Puig", "Sofía León", "Iker Etxeberria", "Nuria Vidal")
CITIES = ("Madrid", "Barcelona", "Valencia", "Sevilla", "Bilbao", "")


def people(rows: int) -> Iterator[list[str]]:
    """A header and `rows` rows: 1 in 50 has a number that is none, 1 in 50 one that came before."""
    chance, before = random.Random(20), "612345678"  # noqa: S311
    forms, weights = zip(*WRITTEN, strict=True)
    yield ["Phone", "Name", "City", "Customer since"]
    for n in range(rows):
        kind = chance.random()
        form = chance.choices(forms, weights)[0]
        text = form.format(*(chance.randrange(10**9) % 10 ** int(part[2]) for part in form.split("{")[1:]))
        phone = "call the office" if kind < 0.01 else text[:-3] if kind < 0.02 else before if kind < 0.04 else text
        before = text if n % 97 == 0 else before
        yield [phone, chance.choice(NAMES), chance.choice(CITIES), f"20{n % 25:02d}-{n % 12 + 1:02d}-11"]


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """{rows: figures of an import}, and microseconds a row of the phone checks alone, ours and the library's."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="phonebank-bench-") as folder:
        for rows in sorted({min(SMALL, options.import_rows), options.import_rows}):
            path = Path(folder, f"{rows}.csv")
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(people(rows))
            found[str(rows)] = one = _import(stand, path, rows)
            options.say(
                f"{rows:,} rows: {one['rate']:,.0f} rows a second, CPU a row {one['work_us']:.1f} µs in the worker, "
                f"{one['database_us']:.1f} µs in the database, {one['upload_us']:.1f} µs to read the upload; "
                f"{one['work_mib']:.0f} MiB"
            )
    found["phones"] = one = _checks(min(SAMPLE, options.import_rows))
    options.say(
        f"phone checks: ours {one['ours_us']:.2f} µs, phonenumbers {one['library_us']:.2f} µs a row; "
        f"{one['different']} verdicts differ"
    )
    return found | {"rows": options.import_rows}


def _import(stand: Stand, path: Path, rows: int) -> dict[str, Any]:
    """By a user and a worker of its own: memory is told by its peak."""
    owner = User.objects.create_user(f"import-{rows}@phonebank.example", plan="enterprise", name="Import")
    work = stand.start("work", "worker", "--only", "work")
    try:
        warm = _upload(owner, b"phone\n+12015550101\n+12015550102\n")
        _finish(owner, warm, patience=60)
        spent = time.process_time()
        job = _upload(owner, path)
        spent = time.process_time() - spent
        stand.settle()
        before = stand.look(work)
        done = _finish(owner, job, patience=60 + rows / 500)
        after = stand.look(work)
        resident = machine.memory(work, "VmHWM")
    finally:
        stand.stop("work")
    assert done.started_at is not None and done.finished_at is not None
    seconds = (done.finished_at - done.started_at).total_seconds()
    return {
        "rows": rows,
        "rate": round(rows / seconds),
        "upload_us": round(spent * 1e6 / rows, 2),
        "work_us": round((after.ours - before.ours) * 1e6 / rows, 2),
        "database_us": round((after.database - before.database) * 1e6 / rows, 2),
        "work_mib": round(resident / MIB, 1),
        "new": done.new,
        "duplicate": done.duplicate,
        "invalid": done.invalid,
    }


def _upload(owner: User, content: Path | bytes) -> ContactImport:
    """As the page does it, up to the button that starts the import."""
    with tempfile.TemporaryFile() if isinstance(content, bytes) else content.open("rb") as file:
        if isinstance(content, bytes):
            file.write(content)
        job = imports.upload(actor=owner, filename="people.csv", file=file)
    imports.configure(
        actor=owner, job=job, columns=job.columns, country=COUNTRY, list_name="People", consent_source="Counter form",
        is_declared=True,
    )  # fmt: skip
    return job


def _finish(owner: User, job: ContactImport, patience: float) -> ContactImport:
    """Starts it and waits. Raises RuntimeError when it did not come to its end."""
    imports.start(actor=owner, job=job, is_dry_run=False)

    def is_over() -> bool:
        job.refresh_from_db()
        return job.state not in (STATE.WAITING, STATE.RUNNING)

    until("the import to end", is_over, patience)
    if job.state != STATE.DONE:
        raise RuntimeError(f"The import ended as {job.state}: {job.error}")
    return job


def _checks(rows: int) -> dict[str, Any]:
    """CPU microseconds a row of both, in turns, the best of some rounds; and how many verdicts differ."""
    texts = [row[0] for row in people(rows)][1:]
    best = {"ours": float("inf"), "library": float("inf")}
    for _ in range(ROUNDS):
        verdicts = {}
        for name, check in (("ours", _ours), ("library", _library)):
            begun = time.process_time()
            verdicts[name] = [check(text) for text in texts]
            best[name] = min(best[name], (time.process_time() - begun) * 1e6 / rows)
    different = sum(one != two for one, two in zip(verdicts["ours"], verdicts["library"], strict=True))
    return {"ours_us": round(best["ours"], 3), "library_us": round(best["library"], 3), "rows": rows,
            "different": different}  # fmt: skip


def _ours(text: str) -> str:
    try:
        return to_e164(text, COUNTRY)
    except ValueError:
        return ""


def _library(text: str) -> str:
    """Plain `phonenumbers`; 00 before a country code is a rule of ours that it gets for free."""
    try:
        number = phonenumbers.parse(f"+{text[2:]}" if text.startswith("00") else text, COUNTRY)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
