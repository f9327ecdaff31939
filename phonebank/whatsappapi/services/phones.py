"""Phone numbers: what people write becomes E.164, and a number's prefix tells the time zone.

`phonenumbers` decides. Most numbers take a shorter way to the same verdict: separators off, country code found, one
regular expression per country code, made of the library's own patterns when the code is first met. It accepts only what
the library would surely accept as it stands; whatever it does not accept goes to the library itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from phonenumbers.phonemetadata import PhoneMetadata
from phonenumbers.tzdata import TIMEZONE_DATA

MAX_LENGTH = 60  # characters of one cell that may hold a number
# Removed before the short way; the library takes them for punctuation as well.
_SEPARATORS = str.maketrans("", "", " \u00a0.()-/")
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+")
_AS_DECIMAL = re.compile(r"\+?\d{7,15}\.0")
_TYPES = (
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail", "fixed_line",
    "mobile",
)  # fmt: skip
_NEVER = re.compile(r"(?!)")
NO_SUCH = gettext_lazy("No such number exists: check the country code and the number of digits.")


def to_e164(text: str, country: str = "") -> str:
    """The number in E.164 (+12125550123). `country` (ISO 3166, two letters) is for numbers written without a plus.

    Raises ValueError with a sentence for the person who wrote the number.
    """
    text = text.strip().lstrip("'")  # a spreadsheet's mark for "this is text"
    country = country.strip().upper()
    return _quick(text, _rules(country)) or _by_library(text, country)


def parse_many(numbers: Iterable[str], country: str = "") -> list[str]:
    """Each number in E.164, "" for what is none; the same verdicts as `to_e164`, without its sentences."""
    country = country.strip().upper()
    rules, found = _rules(country), []
    for text in numbers:
        text = text.strip().lstrip("'")
        try:
            found.append(_quick(text, rules) or _by_library(text, country))
        except ValueError:
            found.append("")
    return found


def time_zone_of(e164: str) -> str:
    """The IANA zone that the number's prefix points to; empty when it points nowhere.

    Where a prefix covers several zones (a mobile number in Australia) it is the one in their middle, so that local
    time is off by the least.
    """
    for end in _ends(e164[1:3]):
        prefix = e164[1:end]
        if (zone := _ZONE.get(prefix)) is not None:
            return zone
        if zones := TIMEZONE_DATA.get(prefix):
            zone = _ZONE[prefix] = _middle(zones)
            return zone
    return ""


_ZONE: dict[str, str] = {}  # of the prefixes met so far


@cache
def _ends(start: str) -> tuple[int, ...]:
    """Where the known prefixes that begin with these two digits (or are the first of them) may end, longest first."""
    sizes = {len(prefix) for prefix in TIMEZONE_DATA if prefix[:2] == start or prefix == start[:1]}
    return tuple(size + 1 for size in sorted(sizes, reverse=True))


def _by_library(text: str, country: str) -> str:
    if not text:
        raise ValueError(_("There is no phone number."))
    if len(text) > MAX_LENGTH:
        raise ValueError(_("This is too long for a phone number."))
    if _SHORTENED.fullmatch(text):
        raise ValueError(_("A spreadsheet shortened this number. Format the column as text and export it again."))
    if _AS_DECIMAL.fullmatch(text):
        text = text[:-2]
    if country and country not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(
            _("%(country)s is not a country code. Use two letters such as ES.") % {"country": f"{country!r}"}
        )
    if text.startswith("00"):
        text = "+" + text[2:]
    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and not text.startswith("+"):
            raise ValueError(_("The country is missing. Write the number as +34..., or choose a country.")) from None
        raise ValueError(_("This is not a phone number.")) from None
    if not phonenumbers.is_valid_number(number):
        raise ValueError(NO_SUCH)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@dataclass(frozen=True, slots=True)
class _Rules:
    """How numbers without a plus are read in a region that is the main one of its country code."""

    code: str
    abroad: re.Pattern[str]  # what people dial before a foreign number
    prefix: re.Pattern[str]  # what they dial before a number of their own country
    can_strip: bool  # whether the prefix is only taken off, nothing put in its place
    general: re.Pattern[str]


def _quick(text: str, rules: _Rules | None) -> str:
    """The number where the short way is sure of it, "" where it is not. ValueError: it is sure that there is none."""
    if text[-2:] == ".0":  # a number that a spreadsheet took for one: `_by_library` mends it
        return ""
    digits = text.translate(_SEPARATORS)
    if digits[:1] == "+":
        digits = digits[1:]
    elif text[:2] == "00":  # the same in most of the world, and what we promise for all of it
        digits = digits[2:]
    elif rules is not None and 7 <= len(digits) <= 24 and digits.isascii() and digits.isdigit():
        return _national(digits, rules)
    else:
        return ""
    if 7 <= len(digits) <= 17 and len(text) <= 30 and digits.isascii() and digits.isdigit() and digits[0] != "0":
        return _international(digits) or _refuse(digits)
    return ""


def _refuse(digits: str) -> str:
    """Raises ValueError for what surely is no number; "" where the library might take a prefix off and find one."""
    for size in (1, 2, 3):
        if (stripped := _STRIPPED.get(digits[:size])) is not None:
            if stripped.match(digits, size) is None:
                raise ValueError(NO_SUCH)
            return ""
    return ""


def _international(digits: str) -> str:
    for size in (1, 2, 3):
        known = _VALID.get(digits[:size])
        if known is None:
            if int(digits[:size]) not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
                continue
            known = _VALID[digits[:size]] = _pattern(int(digits[:size]))
        return "+" + digits if known.match(digits, size) else ""
    return ""


def _national(digits: str, rules: _Rules) -> str:
    """In the library's own order: dialled abroad, country code without a plus, national prefix."""
    if dialled := rules.abroad.match(digits):
        rest = digits[dialled.end() :]
        return _international(rest) if len(rest) >= 7 and rest[0] != "0" else ""
    if digits.startswith(rules.code):
        rest = digits[len(rules.code) :]
        return "" if rules.general.fullmatch(digits) or rules.prefix.match(rest) else _international(digits)
    if dialled := rules.prefix.match(digits):
        if not rules.can_strip:
            return ""
        digits = digits[dialled.end() :]
    return _international(rules.code + digits)


# Country code -> what surely is a number of it, from behind the code to the end; and the beginnings that the library
# might take off first. Met together.
_VALID: dict[str, re.Pattern[str]] = {}
_STRIPPED: dict[str, re.Pattern[str]] = {}


def _pattern(code: int) -> re.Pattern[str]:
    """The library's verdict on a whole code: of the regions that share it, the first that claims a number decides.

    A region with leading digits claims by these, the others by one of their types.
    """
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    choices, claimed, stripped = [], "", ""
    for region in regions:
        found = PhoneMetadata.metadata_for_region(region, None)
        if found is None:  # ships and other codes of no country
            return _NEVER
        if region == regions[0]:
            _STRIPPED[str(code)] = re.compile(found.national_prefix_for_parsing or "(?!)")
        if region == regions[0] and found.national_prefix_for_parsing:
            stripped = f"(?!{found.national_prefix_for_parsing})"  # the library might take it off
        leading = f"(?={found.leading_digits})" if found.leading_digits else ""
        if types := _types(found):
            choices.append(f"{claimed}{leading}{types}")
        if found.leading_digits:
            claimed += f"(?!{found.leading_digits})"
    return re.compile(f"{stripped}(?:{'|'.join(choices)})") if choices else _NEVER


def _types(found: PhoneMetadata) -> str:
    """A region's own pattern: the general one, and one of the types that fit the length."""
    kinds = []
    for one in (getattr(found, name) for name in _TYPES):
        if one is not None and one.national_number_pattern:
            lengths = [size for size in one.possible_length or () if size > 0]
            sizes = f"(?=(?:{'|'.join(f'[0-9]{{{size}}}' for size in lengths)})\\Z)" if lengths else ""
            kinds.append(f"{sizes}(?:{one.national_number_pattern})\\Z")
    if not kinds:
        return ""
    general = found.general_desc
    lengths = [size for size in general.possible_length or () if size > 0]
    sizes = f"(?=(?:{'|'.join(f'[0-9]{{{size}}}' for size in lengths)})\\Z)" if lengths else ""
    return f"(?:{sizes}(?=(?:{general.national_number_pattern})\\Z)(?:{'|'.join(kinds)}))"


@cache
def _rules(country: str) -> _Rules | None:
    """None where only the library may read numbers without a plus."""
    found = PhoneMetadata.metadata_for_region(country, None) if country in phonenumbers.SUPPORTED_REGIONS else None
    if found is None or phonenumbers.region_code_for_country_code(found.country_code) != country:
        return None
    prefix = re.compile(found.national_prefix_for_parsing) if found.national_prefix_for_parsing else _NEVER
    return _Rules(
        str(found.country_code),
        re.compile(found.international_prefix) if found.international_prefix else _NEVER,
        prefix,
        not found.national_prefix_transform_rule and prefix.groups == 0,
        re.compile(found.general_desc.national_number_pattern),
    )


@cache
def _middle(zones: tuple[str, ...]) -> str:
    names = [name for name in zones if name in available_timezones()]
    now = datetime.now(UTC)
    names.sort(key=lambda name: (now.astimezone(ZoneInfo(name)).utcoffset(), name))
    return names[len(names) // 2] if names else ""
