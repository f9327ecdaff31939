from __future__ import annotations

import random

import phonenumbers
import pytest

from phonebank.whatsappapi.services import phones


def by_library(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    return (
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if phonenumbers.is_valid_number(number)
        else None
    )


def by_us(text: str) -> str | None:
    try:
        return phones.to_e164(text)
    except ValueError:
        return None


def corpus(size: int) -> list[str]:
    """Numbers of all regions and types, right, nearly right and wrong, in several spellings."""
    chance, found = random.Random(7), []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in range(11):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            national = phonenumbers.national_significant_number(example)
            found += [
                text,
                f"+{example.country_code}0{national}",
                f"+{example.country_code} ({national[:2]}) {national[2:]}",
            ]
            found.append(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL))
            for _ in range(8):
                digits = list(text)
                for _ in range(chance.choice((1, 1, 2, 6))):
                    digits[chance.randrange(1, len(digits))] = str(chance.randrange(10))
                if chance.random() < 0.2:
                    digits.insert(chance.randrange(2, len(digits)), str(chance.randrange(10)))
                found.append("".join(digits))
    codes = list(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
    while len(found) < size:
        found.append(f"+{chance.choice(codes)}" + "".join(chance.choices("0123456789", k=chance.randrange(5, 13))))
    return found


def test_verdicts_are_the_librarys() -> None:
    different = [(text, by_library(text), by_us(text)) for text in corpus(25_000) if by_library(text) != by_us(text)]
    assert not different


def test_the_short_way_is_taken() -> None:
    good = [text for text in corpus(20_000) if by_library(text) == text]
    short = sum(phones._is_valid(text[1:]) for text in good)
    assert short > 0.85 * len(good)


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
