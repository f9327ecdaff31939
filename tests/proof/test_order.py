"""What counts as the right order in a file of strace."""

from __future__ import annotations

import pytest

from phonebank.whatsappapi.management.order import Found, read

WORKER, SERVER = 100, 200
CLAIM = f'{WORKER} sendto(7, "B\\0claim {{+12012000001}}", 99, 0, NULL, 0) = 99'
FLUSH = f"{SERVER} fdatasync(5) = 0"
COMMIT = f'{WORKER} recvfrom(7, "C\\0\\0\\0\\vCOMMIT\\0Z", 16384, 0, NULL, NULL) = 17'
OTHERS_COMMIT = COMMIT.replace("recvfrom(7", "recvfrom(8")
PARTED = [
    f"{WORKER} recvfrom(7,  <unfinished ...>",
    FLUSH,
    f'{WORKER} <... recvfrom resumed>"C\\0\\0\\0\\vCOMMIT\\0Z", 16384, 0, NULL, NULL) = 17',
]
POST = (
    f'{WORKER} sendto(9, "POST /api/send-message HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'
    '{\\"to\\":\\"+12012000001\\",\\"text\\":\\"Hi\\"}", 99, 0, NULL, 0) = 99'
)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([CLAIM, FLUSH, COMMIT, POST], Found(1, 1, 1)),
        ([CLAIM, *PARTED, POST], Found(1, 1, 1)),
        ([CLAIM, COMMIT, POST], Found(1, 1, 0)),
        ([FLUSH, CLAIM, COMMIT, POST], Found(1, 1, 0)),
        ([CLAIM, FLUSH, POST, COMMIT], Found(1, 0, 0, ["0001"])),
        ([CLAIM, FLUSH, OTHERS_COMMIT, POST], Found(1, 0, 0, ["0001"])),
        ([CLAIM, FLUSH, COMMIT, POST, POST], Found(2, 1, 1, ["0001"])),
        ([POST], Found(1, 0, 0, ["0001"])),
    ],
    ids=[
        "right", "right, in parts", "not flushed", "flushed before", "request first", "another connection's commit",
        "one claim, two requests", "no claim",
    ],
)  # fmt: skip
def test_order(lines: list[str], found: Found) -> None:
    assert read(lines, WORKER) == found
