"""Uploaded files: checked, kept in memory for a day, served back under a public address (contract 3.3)."""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections import OrderedDict
from time import time

from .calls import Call
from .http import Request, Response, json_response

MB = 1024 * 1024
BODY_LIMIT = 140 * MB  # bytes: the largest document as base64
ROOM = 256 * MB  # bytes for all files; the oldest go first
LIFETIME = 86_400.0  # seconds
CAPS = {"image": 16 * MB, "video": 50 * MB, "audio": 16 * MB, "sticker": 5 * MB, "document": 100 * MB}
# MIME type -> (kind, extension, how the file must begin)
TYPES: dict[str, tuple[str, str, tuple[bytes, ...]]] = {
    "image/jpeg": ("image", "jpg", (b"\xff\xd8\xff",)),
    "image/png": ("image", "png", (b"\x89PNG\r\n\x1a\n",)),
    "image/webp": ("sticker", "webp", (b"RIFF",)),
    "video/mp4": ("video", "mp4", (b"ftyp",)),
    "video/3gpp": ("video", "3gp", (b"ftyp",)),
    "audio/aac": ("audio", "aac", (b"\xff\xf1", b"\xff\xf9", b"ADIF")),
    "audio/mpeg": ("audio", "mp3", (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")),
    "audio/ogg": ("audio", "ogg", (b"OggS",)),
    "audio/amr": ("audio", "amr", (b"#!AMR",)),
    "application/pdf": ("document", "pdf", (b"%PDF-",)),
    "application/zip": ("document", "zip", (b"PK\x03\x04",)),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("document", "xlsx", (b"PK\x03\x04",)),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("document", "docx", (b"PK\x03\x04",)),
    "text/plain": ("document", "txt", (b"",)),
    "text/csv": ("document", "csv", (b"",)),
}


class MediaError(Exception):
    """The upload is refused with this HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Media:
    """The files, newest last."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[str, bytes, float]] = OrderedDict()
        self._size = 0

    def take(self, request: Request, call: Call) -> str:
        """Keeps the file of an upload request and answers its name. Raises MediaError, Refused."""
        mime = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        data = request.body
        if mime == "application/json":
            mime, data = self._from_json(call)
        known = TYPES.get(mime)
        if known is None:
            raise MediaError(422, f"Unsupported file type: {mime or 'none'}")
        kind, extension, beginnings = known
        if not data:
            raise MediaError(422, "The file is empty.")
        if len(data) > CAPS[kind]:
            raise MediaError(413, f"File size exceeds the limit of {CAPS[kind] // MB} MB for {kind} files.")
        head = data[4:] if b"ftyp" in beginnings else data
        if not head.startswith(beginnings):
            raise MediaError(422, "The file content does not match its type.")
        return self._keep(f"{secrets.token_hex(16)}.{extension}", mime, data)

    def _from_json(self, call: Call) -> tuple[str, bytes]:
        text, mime = call.body.get("base64"), call.body.get("mimetype")
        if not isinstance(text, str):
            raise MediaError(422, "The base64 field is required.")
        if text.startswith("data:"):
            about, _, text = text[5:].partition(",")
            mime = mime or about.partition(";")[0]
        try:
            return str(mime or "").lower(), b64decode(text, validate=True)
        except ValueError:
            raise MediaError(422, "The base64 field is invalid.") from None

    def _keep(self, name: str, mime: str, data: bytes) -> str:
        self._files[name] = (mime, data, time() + LIFETIME)
        self._size += len(data)
        while self._size > ROOM and len(self._files) > 1:
            _, (_, old, _) = self._files.popitem(last=False)
            self._size -= len(old)
        return name

    def serve(self, request: Request) -> Response:
        """The file of a public address, 404 once its day is over."""
        found = self._files.get(request.path.removeprefix("/media/"))
        if request.method != "GET" or found is None or found[2] < time():
            return json_response(404, {"success": False, "message": "Not found"})
        return Response(200, found[1], found[0], (("X-Content-Type-Options", "nosniff"),))
