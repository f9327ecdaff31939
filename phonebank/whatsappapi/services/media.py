"""Pictures, videos, documents and voice notes: what may be sent, and where the gateway finds it.

An address is handed to the gateway as it is; we never fetch it. An uploaded file stays in our database, for the
gateway keeps its copy for 24 hours only (contract 3.3): `keep_links` uploads it anew before that, for as long as
something that is about to be sent needs it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
import time
import uuid
from datetime import timedelta
from pathlib import PurePosixPath
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlsplit

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways import sync
from phonebank.gateways.errors import GatewayError, Refused
from phonebank.gateways.wasender import UPLOAD_DEADLINE
from phonebank.language import grouped
from phonebank.whatsappapi.dispatch.media import Media
from phonebank.whatsappapi.models import MediaFile, MediaKind, MediaLink, WaSenderSession
from phonebank.whatsappapi.models.media import REF
from phonebank.whatsappapi.services.capabilities import LENT_TO
from phonebank.whatsappapi.services.errors import ServiceError

log = logging.getLogger(__name__)

MB = 1024 * 1024
# Bytes: the smaller of what the gateway takes for upload and for sending (contract 3, 3.3). It takes documents of
# 100 MB, but only by address: our copies lie in the database.
LIMITS = {MediaKind.IMAGE: 5 * MB, MediaKind.VIDEO: 16 * MB, MediaKind.AUDIO: 16 * MB, MediaKind.DOCUMENT: 25 * MB}
ROOM = 500 * MB  # bytes of one user
LONGEST = 4096  # characters of a text (contract 10)
SNIFFED = 1024  # bytes that tell what a file is
FRESH = timedelta(hours=20)  # of the gateway's 24
_PRIVATE = (".local", ".localhost", ".internal", ".lan", ".home", ".test", ".invalid", ".example", ".arpa", ".onion")
_TOP = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)

_OFFICE = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
FORMATS = {
    MediaKind.IMAGE: gettext_lazy("JPEG or PNG"),
    MediaKind.VIDEO: gettext_lazy("MP4 or 3GPP"),
    MediaKind.AUDIO: gettext_lazy("AAC, MP3, OGG or AMR"),
    MediaKind.DOCUMENT: gettext_lazy("PDF, Word, Excel, ZIP or text"),
}


NO_MEDIA = {"media_kind": "", "media_url": "", "media_name": ""}


class Carrier(Protocol):
    """A campaign or a message template."""

    media_kind: Any
    media_url: Any
    media_name: Any


def media_of(carrier: Carrier) -> Media | None:
    """What a campaign or template carries; None for a bare text."""
    return Media(carrier.media_kind, carrier.media_url, carrier.media_name) if carrier.media_kind else None


def read(*, actor: User, kind: str, url: str = "", name: str = "", file: IO[bytes] | None = None) -> Media | None:
    """What a person gave as media: an uploaded file first, else an address or one of their files; None for nothing.

    Raises ServiceError (`media`), and then nothing was kept.
    """
    if not kind:
        if file is not None or url:
            raise _refused(_("Say what the file is: a picture, a video, a document or a voice note."))
        return None
    if file is not None:
        return store_upload(actor=actor, kind=kind, name=name or getattr(file, "name", "") or "", file=file)
    if url.startswith(REF):
        return _own_file(actor, kind, url, name)
    return check_url(kind=kind, url=url, name=name)


def check_text(body: str, media: Media | None) -> str:
    """The text as it will be sent. Empty only beside media; a voice note has none (contract 3)."""
    text = body.strip().replace("\x00", "")
    if media is not None and media.kind == MediaKind.AUDIO and text:
        raise ServiceError(_("A voice note carries no text. Send the text by itself. Nothing was sent."), code="body")
    if not text and media is None:
        raise ServiceError(_("The message is empty. Nothing was sent."), code="body")
    if len(text) > LONGEST:
        raise ServiceError(
            _("The message has more than %(longest)s characters. Nothing was sent.") % {"longest": grouped(LONGEST)},
            code="body",
        )
    return text


def check_url(*, kind: str, url: str, name: str = "") -> Media:
    """A public https address that the gateway may fetch. Neither looked up nor opened here."""
    kind = _kind(kind)
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise _refused(_("This is not an address.")) from None
    if parts.scheme != "https" or not host or len(url) > 2000 or not url.isascii() or not url.isprintable():
        raise _refused(_("The address must begin with https:// and be written in plain letters."))
    if parts.username is not None or " " in url or port not in (None, 443):
        raise _refused(_("The address must not hold a password, a space or a port."))
    if not _is_public(host):
        raise _refused(_("WaSender must be able to open the address from the internet."))
    return Media(kind, url, _name(name or unquote(PurePosixPath(parts.path).name)))


def store_upload(*, actor: User, kind: str, name: str, file: IO[bytes]) -> Media:
    """As `keep_file`, for a message to carry."""
    row = keep_file(actor=actor, kind=_kind(kind), name=name, file=file)
    return Media(row.kind, row.ref, _name(name) or row.name)


def keep_file(*, actor: User, kind: str, name: str, file: IO[bytes]) -> MediaFile:
    """Keeps a file of one of the known formats, told by its content, and gives it to the gateways of the owner.

    `kind` is what it must be; empty: whatever its content is. A gateway that is not there is asked again by
    `keep_links`; one that refuses the file refuses it for good.
    """
    name = _name(name)
    if not kind:
        kind, __ = sniff(file.read(SNIFFED), name)
        file.seek(0)
        if not kind:
            names = ", ".join(map(str, FORMATS.values()))
            raise _refused(_("This file is none of these: %(names)s.") % {"names": names})
    content = file.read(LIMITS[kind] + 1)
    if len(content) > LIMITS[kind]:
        what = MediaKind(kind).label.lower()
        raise _refused(
            _("This file is larger than %(mb)s MB, the most for a %(what)s.") % {"mb": LIMITS[kind] // MB, "what": what}
        )
    if not content:
        raise _refused(_("This file is empty."))
    found, mime = sniff(content, name)
    if found != kind:
        raise _refused(
            _("This file is not %(formats)s, which is what a %(label)s can be.")
            % {"formats": FORMATS[kind], "label": MediaKind(kind).label.lower()}
        )
    row, is_new = _keep(actor, kind, mime, name, content)
    try:
        for base_url in _gateways_of(actor):
            _upload(row, base_url)
    except Refused as error:
        if is_new:
            row.delete()
        raise _refused(
            _("WaSender does not take this file: %(detail)s") % {"detail": error.detail or _(error.user_message)}
        ) from None
    except GatewayError as error:
        log.warning("A file could not be uploaded yet: %s", error)
    return row


def sniff(content: bytes, name: str = "") -> tuple[str, str]:
    """Kind and MIME type by how the file begins; ("", "") for a format that WhatsApp does not take."""
    head = content[:16]
    if head.startswith(b"\xff\xd8\xff"):
        return MediaKind.IMAGE, "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return MediaKind.IMAGE, "image/png"
    if head[4:8] == b"ftyp":
        return MediaKind.VIDEO, "video/3gpp" if head[8:11] == b"3gp" else "video/mp4"
    if head.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")):
        return MediaKind.AUDIO, "audio/mpeg"
    for beginnings, mime in (
        ((b"\xff\xf1", b"\xff\xf9", b"ADIF"), "audio/aac"), ((b"OggS",), "audio/ogg"), ((b"#!AMR",), "audio/amr"),
    ):  # fmt: skip
        if head.startswith(beginnings):
            return MediaKind.AUDIO, mime
    ending = PurePosixPath(name.lower()).suffix
    if head.startswith(b"%PDF-"):
        return MediaKind.DOCUMENT, "application/pdf"
    if head.startswith(b"PK\x03\x04"):
        return MediaKind.DOCUMENT, _OFFICE.get(ending, "application/zip")
    if ending in (".txt", ".csv") and b"\x00" not in content:
        return MediaKind.DOCUMENT, "text/csv" if ending == ".csv" else "text/plain"
    return "", ""


# --- the gateway's copies ---------------------------------------------------------------------------------------------

# What is about to be sent, and at which gateway it lacks a copy that will last.
_WANTED = """
WITH w AS (
  SELECT c.media_url AS ref, l.session_id, c.user_id FROM whatsappapi_campaign c
  JOIN whatsappapi_campaignsession l ON l.campaign_id = c.id AND l.is_active
  WHERE c.media_url LIKE 'file:%%' AND (c.state IN ('dealing', 'running')
    OR c.state = 'scheduled' AND c.scheduled_at < clock_timestamp() + interval '1 hour')
  UNION ALL
  SELECT m.media->>'url', m.session_id, m.user_id FROM whatsappapi_message m
  WHERE m.campaign_id IS NULL AND m.retry_at IS NOT NULL AND m.state = 'queued' AND m.media->>'url' LIKE 'file:%%'
)
SELECT DISTINCT f.id, g.base_url FROM w
JOIN whatsappapi_wasendersession s ON s.id = w.session_id
JOIN whatsappapi_gatewayaccount g ON g.id = s.account_id
JOIN whatsappapi_mediafile f ON f.user_id = w.user_id AND f.public_id::text = substr(w.ref, 6)
WHERE NOT EXISTS (SELECT 1 FROM whatsappapi_medialink k WHERE k.file_id = f.id AND k.base_url = g.base_url
                  AND k.uploaded_at > clock_timestamp() - %(fresh)s)
"""
# Nothing names them any more. A day is left to finish what they were uploaded for.
_UNUSED = """
DELETE FROM whatsappapi_medialink k USING whatsappapi_mediafile f
WHERE k.file_id = f.id AND {unused};
DELETE FROM whatsappapi_mediafile f WHERE {unused}
""".format(
    unused="""f.used_at < now() - interval '1 day'
  AND NOT EXISTS (SELECT 1 FROM whatsappapi_campaign c WHERE c.user_id = f.user_id
                  AND c.media_url = 'file:' || f.public_id)
  AND NOT EXISTS (SELECT 1 FROM whatsappapi_messagetemplate t WHERE t.user_id = f.user_id
                  AND t.media_url = 'file:' || f.public_id)
  AND NOT EXISTS (SELECT 1 FROM whatsappapi_message m WHERE m.campaign_id IS NULL AND m.retry_at IS NOT NULL
                  AND m.media->>'url' = 'file:' || f.public_id)"""
)
_PATIENCE = 30.0  # seconds until a gateway that could not take a file is asked again
_tried: dict[tuple[int, str], float] = {}


def keep_links() -> int:
    """Uploads what is about to be sent and has no lasting copy at its gateway. Returns how many files went there."""
    with connection.cursor() as cursor:
        cursor.execute(_WANTED, {"fresh": FRESH})
        wanted = cursor.fetchall()
    done, now = 0, time.monotonic()
    for over in [one for one, until in _tried.items() if until <= now]:
        del _tried[over]
    for file_id, base_url in wanted:
        if now < _tried.get((file_id, base_url), 0.0):
            continue
        _tried[file_id, base_url] = now + _PATIENCE
        row = MediaFile.objects.filter(pk=file_id).first()
        try:
            done += row is not None and _upload(row, base_url)
        except GatewayError as error:
            log.warning("File %s could not be uploaded: %s", file_id, error)
    return done


def tidy_files() -> None:
    """Deletes files that nothing names any more."""
    with connection.cursor() as cursor:
        cursor.execute(_UNUSED)


def _upload(row: MediaFile, base_url: str) -> bool:
    """Gives the file to a gateway by a connected session of its owner, unless it has a lasting copy. False: none."""
    if row.links.filter(base_url=base_url, uploaded_at__gt=timezone.now() - FRESH).exists():
        return False
    mine = WaSenderSession.objects.usable_by(row.user, LENT_TO["send"]).connected().filter(account__base_url=base_url)
    wa_session = mine.order_by("last_used_at", "pk").first()
    if wa_session is None:
        return False
    begun, key, content = timezone.now(), wa_session.api_key, bytes(row.content)
    url = sync.run(base_url, lambda gateway: gateway.upload(key, content, row.mime), deadline=UPLOAD_DEADLINE)
    MediaLink.objects.update_or_create(file=row, base_url=base_url, defaults={"url": url, "uploaded_at": begun})
    return True


def _gateways_of(user: User) -> list[str]:
    mine = WaSenderSession.objects.usable_by(user, LENT_TO["send"]).connected()
    return sorted(set(mine.values_list("account__base_url", flat=True)))


# --- parts ------------------------------------------------------------------------------------------------------------


def _keep(actor: User, kind: str, mime: str, name: str, content: bytes) -> tuple[MediaFile, bool]:
    digest = hashlib.sha256(content).digest()
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        mine = MediaFile.objects.visible_to(actor).defer("content")
        row = mine.filter(digest=digest, kind=kind).first()
        if row is not None:
            mine.filter(pk=row.pk).update(used_at=timezone.now())
            return row, False
        used = mine.aggregate(n=Sum("size"))["n"] or 0
        if used + len(content) > ROOM:
            raise _refused(
                _("Your files take %(room)s MB, which is the most. Delete templates you do not need.")
                % {"room": ROOM // MB}
            )
        row = MediaFile.objects.create(
            user=actor, kind=kind, mime=mime, name=name, size=len(content), digest=digest, content=content
        )
        record(actor=actor, verb="media.uploaded", target=row, kind=kind, size=len(content))
    return row, True


def _own_file(actor: User, kind: str, ref: str, name: str) -> Media:
    try:
        wanted = uuid.UUID(ref.removeprefix(REF))
    except ValueError:
        raise _refused(_("There is no such file. Upload it again.")) from None
    mine = MediaFile.objects.visible_to(actor).filter(public_id=wanted, kind=_kind(kind))
    row = mine.only("name", "public_id").first()
    if row is None:
        raise _refused(_("There is no such file. Upload it again."))
    mine.update(used_at=timezone.now())
    return Media(kind, row.ref, _name(name) or row.name)


def _kind(kind: str) -> str:
    if kind not in MediaKind.values:
        raise _refused(_("A message can carry one of these: %(names)s.") % {"names": ", ".join(MediaKind.values)})
    return kind


def _name(name: str) -> str:
    """The file's own name without folders and control characters."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in base if c.isprintable()).strip()[:120]


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        # A last label that is no word (127.1, 0x7f.1) is how some resolvers read an address of four bytes.
        last = host.rpartition(".")[2]
        return "." in host and bool(_TOP.fullmatch(last)) and not f".{host}".lower().endswith(_PRIVATE)


def _refused(text: str) -> ServiceError:
    return ServiceError(_("%(text)s Nothing was kept.") % {"text": text}, code="media")
