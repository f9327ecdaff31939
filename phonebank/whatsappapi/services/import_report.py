"""The rows of an import that somebody should look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from phonebank.whatsappapi.models import ContactImport, ImportRow

REPORTED_MAX = 100_000  # rows kept for the report and its download
Reject = tuple[int, str, str, list[str]]  # line, verdict, reason, cells


def write_report(cursor: Any, job: ContactImport, rejects: list[Reject]) -> int:
    """Keeps rows that somebody should look at, up to a limit. Returns how many it kept."""
    kept = rejects[: max(0, REPORTED_MAX - job.reported)]
    if kept:
        with cursor.copy("COPY whatsappapi_importrow (upload_id, line, verdict, reason, cells) FROM STDIN") as copy:
            for line, verdict, reason, cells in kept:
                values = [cell[:1000].replace("\x00", "") for cell in cells[: len(job.headers)]]
                copy.write_row((job.pk, line, verdict, reason[:200], json.dumps(values)))
    return len(kept)


def rejected_rows(job: ContactImport) -> Iterator[list[str]]:
    """The rows of the report as they stood in the file, with the reason in front. For a download."""
    yield ["Line", "What became of it", "Why", *job.headers]
    labels = dict(ImportRow.Verdict.choices)
    for row in job.rows.order_by("id").iterator(chunk_size=2000):
        yield [str(row.line), labels[row.verdict], row.reason, *row.cells]
