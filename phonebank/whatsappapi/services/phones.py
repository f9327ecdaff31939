"""Phone numbers: what people write becomes E.164, and a number's prefix tells the time zone.

`phonenumbers` decides. Numbers written with a plus take a shorter way to the same verdict: its own patterns, compiled
once for each region and length. What that way does not accept goes to the library itself.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_geographical_number

MAX_LENGTH = 60  # characters of one cell that may hold a number
_INTERNATIONAL = re.compile(r"\+[1-9][\d .()-]{6,24}", re.ASCII)
_SEPARATORS = str.maketrans("", "", " .()-")
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+")
_AS_DECIMAL = re.compile(r"\+?\d{7,15}\.0")
_Pattern = re.Pattern[str] | None
_TYPES = (
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail", "fixed_line",
    "mobile",
)  # fmt: skip


def to_e164(text: str, country: str = "") -> str:
    """The number in E.164 (+12125550123). `country` (ISO 3166, two letters) is for numbers written without a plus.

    Raises ValueError with a sentence for the person who wrote the number.
    """
    text = text.strip().lstrip("'")  # a spreadsheet's mark for "this is text"
    if _INTERNATIONAL.fullmatch(text):
        digits = text[1:].translate(_SEPARATORS)
        if _is_valid(digits):
            return "+" + digits
    return _by_library(text, country.strip().upper())


def time_zone_of(e164: str) -> str:
    """The IANA zone that the number's prefix points to; empty when it points nowhere.

    Where a prefix covers several zones (a mobile number in Australia) it is the one in their middle, so that local
    time is off by the least.
    """
    return _zone(e164[:9])


def _by_library(text: str, country: str) -> str:
    if not text:
        raise ValueError("There is no phone number.")
    if len(text) > MAX_LENGTH:
        raise ValueError("This is too long for a phone number.")
    if _SHORTENED.fullmatch(text):
        raise ValueError("A spreadsheet shortened this number. Format the column as text and export it again.")
    if _AS_DECIMAL.fullmatch(text):
        text = text[:-2]
    if country and country not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{country!r} is not a country code. Use two letters such as ES.")
    if text.startswith("00"):
        text = "+" + text[2:]
    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and not text.startswith("+"):
            raise ValueError("The country is missing. Write the number as +34..., or choose a country.") from None
        raise ValueError("This is not a phone number.") from None
    if not phonenumbers.is_valid_number(number):
        raise ValueError("No such number exists: check the country code and the number of digits.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_valid(digits: str) -> bool:
    """Whether `phonenumbers` would surely accept these digits as they stand; False means "ask it"."""
    for size in (1, 2, 3):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:size]))
        if regions:
            return regions != ("001",) and _is_valid_in(digits[size:], regions)
    return False


def _is_valid_in(national: str, regions: tuple[str, ...]) -> bool:
    # The library's own order: a region's leading digits decide for it, else the first whose types match.
    for region in regions:
        prefix, leading, types = _patterns(region, len(national))
        if prefix is not None and prefix.match(national):
            return False  # it might strip a national prefix
        if leading is not None:
            if leading.match(national):
                return types is not None and types.fullmatch(national) is not None
        elif types is not None and types.fullmatch(national):
            return True
    return False


@cache
def _patterns(
    region: str, length: int
) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None, re.Pattern[str] | None]:
    """What may be stripped in front, the digits that claim a region shared by many, and the types of this length."""
    found = PhoneMetadata.metadata_for_region(region, None)
    if found is None:
        return None, None, None
    prefix, leading = found.national_prefix_for_parsing, found.leading_digits
    descriptions = [getattr(found, name) for name in _TYPES]
    kinds = "|".join(
        f"(?:{one.national_number_pattern})"
        for one in descriptions
        if one is not None and one.national_number_pattern and length in (one.possible_length or (length,))
    )
    general = found.general_desc.national_number_pattern
    lengths = found.general_desc.possible_length
    fits = bool(kinds) and (not lengths or length in lengths)
    return (
        re.compile(prefix) if prefix else None,
        re.compile(leading) if leading else None,
        re.compile(f"(?=(?:{general})\\Z)(?:{kinds})") if fits else None,
    )


@lru_cache(maxsize=20_000)
def _zone(prefix: str) -> str:
    try:
        number = phonenumbers.parse(prefix)
    except phonenumbers.NumberParseException:
        return ""
    names = [name for name in time_zones_for_geographical_number(number) if name != UNKNOWN_TIMEZONE]
    names = [name for name in names if name in available_timezones()]
    now = datetime.now(UTC)
    names.sort(key=lambda name: (now.astimezone(ZoneInfo(name)).utcoffset(), name))
    return names[len(names) // 2] if names else ""
