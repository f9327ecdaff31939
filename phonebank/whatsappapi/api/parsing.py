"""Reading bodies: JSON only, of bounded size, and no text that the database cannot hold."""

from __future__ import annotations

import json
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.utils.json import strict_constant

from phonebank.whatsappapi.api.errors import not_text


class JSONParser(BaseParser):
    """UTF-8, as JSON is."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict[str, Any] | None = None) -> Any:
        try:
            data = json.loads(stream.read().decode("utf-8-sig"), parse_constant=strict_constant)
        except (ValueError, RecursionError) as error:
            what = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
            raise ParseError(f"The body is not JSON: {what}") from None
        _check_texts(data)
        return data


def _check_texts(data: Any) -> None:
    """NUL and half surrogate pairs are valid JSON and text of no database."""
    left = [data]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str) and ("\x00" in one or not _is_text(one)):
            raise not_text("body")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
