"""What a message carries beside its text, and where the gateway finds it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from phonebank.whatsappapi.models.media import REF

FIELDS = {"image": "imageUrl", "video": "videoUrl", "document": "documentUrl", "audio": "audioUrl"}  # contract 3

# The gateway keeps a file for 24 hours (contract 3.3); an hour is left for what is claimed now.
LINKS = """
SELECT 'file:' || f.public_id, k.base_url, k.url,
  extract(epoch FROM k.uploaded_at + interval '23 hours' - clock_timestamp())::float8
FROM whatsappapi_mediafile f JOIN whatsappapi_medialink k ON k.file_id = f.id
WHERE f.public_id = ANY(%s::uuid[]) AND k.uploaded_at > clock_timestamp() - interval '23 hours'
"""


class Media(NamedTuple):
    """A kind of `FIELDS`, an address (or `file:<id>` for an uploaded file), and a file name for documents."""

    kind: str
    url: str
    name: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is an uploaded file of its owner's."""
        return self.url.startswith(REF)

    def as_json(self) -> dict[str, str]:
        """As `Message.media` holds it."""
        return self._asdict()

    def as_fields(self) -> dict[str, str]:
        """As campaigns and templates hold it."""
        return {f"media_{name}": value for name, value in self._asdict().items()}

    @property
    def has_caption(self) -> bool:
        """A voice note has none (contract 3). KeyError for a kind that is none."""
        return FIELDS[self.kind] != FIELDS["audio"]

    def payload(self, to: str, text: str) -> dict[str, str]:
        """The send request: the text is the caption."""
        fields = {"to": to, FIELDS[self.kind]: self.url}
        if self.kind == "document" and self.name:
            fields["fileName"] = self.name
        return fields | {"text": text} if text else fields


class Files:
    """Where uploaded files are at each gateway, as far as it was asked. `places`: the gateway of each session."""

    def __init__(self) -> None:
        self.places: dict[int, str] = {}
        self._links: dict[tuple[str, str], tuple[str, float]] = {}

    async def load(self, conn: AsyncConnection[Any], wanted: Iterable[tuple[Media | None, int]]) -> None:
        """Looks up what is not known yet; a statement only where there is such a file."""
        missing = {
            media.url.removeprefix(REF)
            for media, session in wanted
            if media is not None and media.is_file and self.at(media, session) is None
        }
        if missing:
            now = time.monotonic()
            self._links = {one: link for one, link in self._links.items() if link[1] > now}
            for ref, base_url, url, left in await (await conn.execute(LINKS, [list(missing)])).fetchall():
                self._links[ref, base_url] = (url, now + left)

    def at(self, media: Media, session: int) -> Media | None:
        """With the address that this session's gateway can open; None while it does not have the file."""
        if not media.is_file:
            return media
        url, until = self._links.get((media.url, self.places.get(session, "")), ("", 0.0))
        return media._replace(url=url) if until > time.monotonic() else None
