from __future__ import annotations

import random

import phonenumbers
import pytest
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_geographical_number

from phonebank.whatsappapi.services import phones

Written = tuple[str, str]  # a number as somebody wrote it, and the country chosen at the import
OTHER_DIGITS = [str.maketrans("0123456789", digits) for digits in ("０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९")]


def verdict(text: str, country: str) -> str:
    """The library's own, behind the few things that we mend first."""
    try:
        return phones._by_library(text.strip().lstrip("'"), country)
    except ValueError:
        return ""


def ours(text: str, country: str) -> str:
    try:
        return phones.to_e164(text, country)
    except ValueError:
        return ""


def spelled(chance: random.Random, code: int, national: str, region: str) -> str:
    """One of the ways in which people write a number."""
    trunk = phonenumbers.ndd_prefix_for_region(region, True) or "0"
    text = chance.choice(
        [f"+{code}{national}", f"{code}{national}", national, f"{trunk}{national}", f"00{code}{national}",
         f"011{code}{national}", f"+{code}{trunk}{national}", f"+{code} ({trunk}){national}"]
    )  # fmt: skip
    if chance.random() < 0.5:
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(" .()-/\u00a0  -") + text[at:]
    if chance.random() < 0.03:
        text = text.translate(chance.choice(OTHER_DIGITS))
    if chance.random() < 0.02:
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice("xaEX#,;+*～'\n\t") + text[at:]
    return text + (".0" if chance.random() < 0.01 else "")


def corpus(size: int, seed: int = 7) -> list[Written]:
    """Numbers of all regions and types, right, nearly right and wrong, with the right country, none or another."""
    chance, found = random.Random(seed), []
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    while len(found) < size:
        region = chance.choice(regions)
        example = phonenumbers.example_number_for_type(region, chance.randrange(11))
        if example is None:
            continue
        digits = list(phonenumbers.national_significant_number(example))
        for _ in range(chance.choice((0, 0, 1, 1, 2, 6))):
            digits[chance.randrange(len(digits))] = str(chance.randrange(10))
        if chance.random() < 0.1:
            digits.insert(chance.randrange(len(digits)), str(chance.randrange(10)))
        text = spelled(chance, example.country_code, "".join(digits), region)
        found.append((text, chance.choice([region, region, region, "", chance.choice(regions)])))
    return found


def test_verdicts_are_the_librarys() -> None:
    different = [one for one in corpus(25_000) if verdict(*one) != ours(*one)]
    assert not different


@pytest.mark.parametrize("region", ["US", "CA", "GB", "GG", "RU", "KZ", "IT", "VA", "BR", "MX", "AR", "DE"])
def test_verdicts_in_countries_that_share_a_code_or_have_manners_of_their_own(region: str) -> None:
    chance, code = random.Random(region), phonenumbers.country_code_for_region(region)
    for _ in range(700):
        national = "".join(chance.choices("0123456789", k=chance.randrange(6, 12)))
        for text in (national, "0" + national, f"{code}{national}", f"+{code}{national}", f"8{national}"):
            assert ours(text, region) == verdict(text, region), (text, region)


def test_many_at_once_get_the_same_verdicts() -> None:
    texts = [text for text, _ in corpus(3_000)]
    for country in ("", "ES", "US", "IT"):
        assert phones.parse_many(texts, country) == [ours(text, country) for text in texts]


def test_the_short_way_is_taken() -> None:
    """For numbers as lists have them: international, or of the country that was chosen."""
    good = [one for region in ("ES", "US", "DE", "FR", "IN", "BR", "GB") for one in as_lists_have_them(region)]
    assert sum(bool(phones._quick(text, phones._rules(region))) for text, region in good) > 0.95 * len(good)


def as_lists_have_them(region: str) -> list[Written]:
    found = []
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
        example = phonenumbers.example_number_for_type(region, kind)
        for shape in ("E164", "INTERNATIONAL", "NATIONAL"):
            text = phonenumbers.format_number(example, getattr(phonenumbers.PhoneNumberFormat, shape))
            found.append((text, region))
    return found


def test_time_zones_are_the_librarys() -> None:
    for text, country in corpus(3_000):
        phone = verdict(text, country)
        if phone:
            zones = time_zones_for_geographical_number(phonenumbers.parse(phone))
            assert phones.time_zone_of(phone) in (*zones, ""), phone
            assert bool(phones.time_zone_of(phone)) == (zones != (UNKNOWN_TIMEZONE,)), phone


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("+1 (212) 555-0101", "", "+12125550101"),
        ("0034 600 111 222", "", "+34600111222"),
        ("600111222", "es", "+34600111222"),
        ("'+12125550101", "", "+12125550101"),
        ("600111222.0", "ES", "+34600111222"),
        ("０6 12 34 56 78", "FR", "+33612345678"),
        ("+39 06 698 12345", "", "+390669812345"),
        ("(212) 555-0101", "US", "+12125550101"),
        (" +12125550101 ", "DE", "+12125550101"),
    ],
)
def test_spellings(text: str, country: str, expected: str) -> None:
    assert phones.to_e164(text, country) == expected


@pytest.mark.parametrize(
    ("text", "country", "says"),
    [
        ("", "", "no phone number"),
        ("600111222", "", "country is missing"),
        ("3.46E+10", "", "spreadsheet"),
        ("hello", "ES", "not a phone number"),
        ("+34 600", "", "number of digits"),
        ("1" * 100, "", "too long"),
        ("600111222", "XX", "not a country code"),
        ("+" * 50, "", "not a phone number"),
    ],
)
def test_what_is_no_number_is_told_why(text: str, country: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        phones.to_e164(text, country)


@pytest.mark.parametrize(
    ("phone", "zone"),
    [
        ("+12125550101", "America/New_York"),
        ("+13105550142", "America/Los_Angeles"),
        ("+34600111222", "Europe/Madrid"),
        ("+919876543210", "Asia/Calcutta"),
        ("+870773111632", ""),
        ("", ""),
    ],
)
def test_time_zones(phone: str, zone: str) -> None:
    assert phones.time_zone_of(phone) == zone
