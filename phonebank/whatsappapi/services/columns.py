"""What the columns of a list hold, told by their headers, and what a row of it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted

from django.utils.translation import gettext as _

from phonebank.whatsappapi.services.consent_words import source_of
from phonebank.whatsappapi.services.csv_files import FileProblem, plain
from phonebank.whatsappapi.services.phones import time_zone_of, to_e164

VALUE_MAX = 1000  # characters of one cell
NAME_MAX = 120

# Headers by what they hold, best first.
_ALIASES = {
    "phone": (
        "phone phonenumber whatsapp whatsappnumber mobile mobilenumber mobilephone cell cellphone msisdn "
        "telephone telephonenumber tel number contactnumber primaryphone phone1value telefono teléfono "
        "móvil movil celular numero número numerodetelefono númerodeteléfono telefone telemovel telemóvel "
        "téléphone portable numérodetéléphone telefon telefonnummer handy handynummer rufnummer cellulare "
        "telefoon telefoonnummer mobiel gsm numer nummer телефон номер номертелефона هاتف جوال رقمالهاتف "
        "טלפון 电话 手机 手机号 電話 電話番号 전화번호 휴대폰 फोन nohp nomor simu"
    ),
    "name": (
        "name fullname contactname displayname firstname nombre nombrecompleto nom nomcomplet prénom nome "
        "nomecompleto vorname naam voornaam имя фио imię isim ad الاسم اسم שם 姓名 名前 氏名 이름 नाम nama jina"
    ),
    "consent": (
        "consentsource optinsource sourceofconsent consent optin permission consentimiento consentimento "
        "consentement einwilligung consenso toestemming согласие zgoda onay موافقة"
    ),
}
ALIASES = {what: tuple(map(plain, names.split())) for what, names in _ALIASES.items()}
KNOWN = frozenset(alias for aliases in ALIASES.values() for alias in aliases)
# Line, phone, name, attributes as JSON, time zone, source of consent.
Person = tuple[int, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a row things stand, and how to read them. All columns that hold nothing known become merge tags."""

    headers: Sequence[str]
    phone: int
    name: int | None = None
    consent: int | None = None
    country: str = ""
    consent_source: str = ""

    @property
    def attributes(self) -> dict[int, str]:
        """Places of merge tags, and their names as JSON writes them."""
        taken = {self.phone, self.name, self.consent}
        return {i: quoted(name[:60]) for i, name in enumerate(self.headers) if name and i not in taken}


def find_columns(headers: Sequence[str]) -> dict[str, int | None]:
    """The place of phone, name and consent; None for what no header names."""
    plains = [plain(header) for header in headers]
    return {
        what: next((plains.index(alias) for alias in aliases if alias in plains), None)
        for what, aliases in ALIASES.items()
    }


def named_columns(headers: Sequence[str], names: Mapping[str, str]) -> dict[str, int | None]:
    """As `find_columns`, where some were named by hand. Raises FileProblem."""
    plains, at = [plain(header) for header in headers], find_columns(headers)
    for what, name in names.items():
        if name and plain(name) not in plains:
            raise FileProblem(_("There is no column “%(name)s”.") % {"name": name})
        if name:
            at[what] = plains.index(plain(name))
    if at["phone"] is None:
        shown = ", ".join(f"“{header[:30]}”" for header in headers[:8])
        raise FileProblem(
            _("No column holds phone numbers: the first line names %(shown)s. Name one of them “phone”.")
            % {"shown": shown}
        )
    return at


def refuse_twins(headers: Sequence[str]) -> None:
    """Raises FileProblem when two columns have one name: nobody could tell which a merge tag means."""
    plains = [plain(header) for header in headers]
    repeated = {one for one in plains if one and plains.count(one) > 1}
    if repeated:
        name = next(header for header in headers if plain(header) in repeated)
        raise FileProblem(_("Two columns are named “%(name)s”. Rename one.") % {"name": name})


def read_row(line: int, cells: list[str], layout: Layout, attributes: Mapping[int, str]) -> Person:
    """`attributes` is the layout's. Raises ValueError with a sentence for the person whose file it is."""
    width = len(layout.headers)
    cells = [cell.strip() for cell in cells]
    if len(cells) != width:
        if any(cells[width:]):
            raise ValueError(_("This line has more cells than the first one."))
        cells = cells[:width] + [""] * (width - len(cells))
    if max(map(len, cells)) > VALUE_MAX:
        raise ValueError(_("A cell has more than %(value_max)s characters.") % {"value_max": VALUE_MAX})
    phone = to_e164(cells[layout.phone], layout.country)
    name = cells[layout.name] if layout.name is not None else ""
    if len(name) > NAME_MAX:
        raise ValueError(_("The name has more than %(name_max)s characters.") % {"name_max": NAME_MAX})
    source = source_of(cells[layout.consent] if layout.consent is not None else "", layout.consent_source)
    values = ", ".join([f"{tag}: {quoted(cells[i])}" for i, tag in attributes.items() if cells[i]])
    return line, phone, name, f"{{{values}}}", time_zone_of(phone), source
