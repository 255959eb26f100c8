"""Numbers that identify people, cards and machines: how they look, and the check digits that tell them from others."""

# The forms and checks are those of the issuing standards: ISO/IEC 7812 (cards, Luhn), ISO 13616 (IBAN, mod 97), and the
# national rules named beside each pattern.

from __future__ import annotations

import re
from ipaddress import ip_address

# A number begins and ends where no digit goes on; a letter, a comma or a bracket beside it may belong to the text.
_START, _END = r"(?<![0-9])(?<![0-9][.,/:+-])", r"(?![0-9]|[.,/:+-][0-9])"

CARD = re.compile(
    _START
    + r"(?:[2-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}|3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5})"
    + _END
)
IBAN = re.compile(
    r"(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?![A-Z0-9])"
)
IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.[0-9])")
IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]*[0-9])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_SLICE = re.compile(r"::[0-9]{1,3}")  # rows[::10] is no address: those below ::ffff belong to nobody
MAC = re.compile(r"(?<![0-9A-Fa-f:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])")
PLUS_PHONE = re.compile(r"(?<![0-9])\+[0-9]{1,3}(?:[ .()/-]{0,2}[0-9]){6,12}" + _END)  # +49 30 1234567
PHONE = re.compile(
    _START + r"(?:"
    r"00[1-9][0-9]{0,2}(?:[ .()/-]{1,2}[0-9]{2,5}){2,5}"  # 0049 30 1234567
    r"|\([0-9]{2,5}\)[ -]?[0-9]{3,4}[ .-]?[0-9]{3,5}"  # (212) 555-0199
    r"|(?:1[ .-])?[2-9][0-9]{2}([ .-])[2-9][0-9]{2}\1[0-9]{4}"  # 212-555-0199
    r"|0[0-9]{1,4}[ /-][0-9]{3,4}[ -]?[0-9]{3,5}"  # 030 1234567, 07700 900123
    r"|0[1-9](?:[ .-][0-9]{2}){4}"  # 06 12 34 56 78
    r")" + _END
)
NAMED = re.compile(
    r"(?i)(?<![a-z])(?:ssn|bsn|nino|pesel|nhs|aadhaar|curp|nric|mrn|passport|steuer-?id|social security|national id"
    r"|tax id|identity card|id card|insurance|patient id|medical record|account|licen[cs]e)"
    r"[ .:#=]{0,3}(?:(?:no|nr|number|id)\b)?[ .:#=]{1,3}"
    r"(?P<secret>[A-Z]{0,3}[0-9](?:[ -]?[0-9]){4,17}[A-Z]?)(?!\w|\.[0-9.])"
)
_DATE = re.compile(r"[0-9]{1,4}[-./ ][0-9]{1,2}[-./ ][0-9]{1,4}")
# The products of the ten symmetries of a pentagon: rotations 0 to 4, and 5 to 9 turned over.
_VERHOEFF_PRODUCT = [
    list(map(int, row))
    for row in (
        *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
        *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
    )
]
_VERHOEFF_STEP = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def is_card(text: str) -> bool:
    """Whether 13 to 19 digits are a payment card's: Luhn's check digit (ISO/IEC 7812-1).

    Example:
        >>> is_card("4111 1111 1111 1111"), is_card("4111 1111 1111 1112")
        (True, False)
    """
    digits = _digits(text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and _luhn(digits)


def is_iban(text: str) -> bool:
    """Whether the check digits of an IBAN are right (ISO 13616, mod 97).

    Example:
        >>> is_iban("DE89 3704 0044 0532 0130 00")
        True
    """
    groups = text.split(" ")
    return any(_is_iban("".join(groups[:count])) for count in range(1, len(groups) + 1))  # words may follow


def _is_iban(text: str) -> bool:
    moved = text[4:] + text[:4]
    return 15 <= len(text) <= 34 and int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


def is_foreign_ip(text: str) -> bool:
    """Whether a text is an IP address that is not this machine's own or a placeholder such as 0.0.0.0."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or _SLICE.fullmatch(text))


def is_phone(text: str) -> bool:
    """Whether a candidate has as many digits as a telephone number, and is not a date."""
    return 8 <= len(_digits(text)) <= 15 and not _DATE.fullmatch(text)


def _digits(text: str) -> list[int]:
    # isdigit() is true of the digits of all scripts, and of superscripts.
    return [int(char) for char in text if char in "0123456789"]


def _luhn(digits: list[int]) -> bool:
    doubled = (digit * 2 for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(digit - 9 if digit > 9 else digit for digit in doubled)) % 10 == 0


def _weighted(text: str, weights: list[int]) -> int:
    return sum(digit * weight for digit, weight in zip(_digits(text), weights, strict=False))


def _is_ssn(text: str) -> bool:
    area, group, serial = re.split(r"[- ]", text)
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def _is_nhs(text: str) -> bool:
    check = 11 - _weighted(text, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11
    return check % 11 == _digits(text)[9] and check != 10


def _is_sin(text: str) -> bool:
    return _luhn(_digits(text)) and text[0] not in "08"


def _is_dni(text: str) -> bool:
    number, letter = text[:-1].upper().replace("-", ""), text[-1].upper()
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number.translate(str.maketrans("XYZ", "012"))) % 23] == letter


def _is_nir(text: str) -> bool:
    compact = text.replace(" ", "").upper().replace("2A", "19").replace("2B", "18")
    return 97 - int(compact[:13]) % 97 == int(compact[13:])


def _is_cpf(text: str) -> bool:
    digits = _digits(text)
    first, second = _cpf_check(digits[:9]), _cpf_check(digits[:10])
    return len(set(digits)) > 1 and digits[9:] == [first, second]


def _cpf_check(digits: list[int]) -> int:
    rest = sum(digit * weight for digit, weight in zip(digits, range(len(digits) + 1, 1, -1), strict=True)) * 10 % 11
    return rest % 10


def _is_resident_id(text: str) -> bool:
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return "10X98765432"[_weighted(text[:17], weights) % 11] == text[-1].upper()


def _is_pesel(text: str) -> bool:
    month = int(text[2:4]) % 20
    check = -_weighted(text[:10], [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10
    return 1 <= month <= 12 and 1 <= int(text[4:6]) <= 31 and check == int(text[10])


def _is_personnummer(text: str) -> bool:
    digits = _digits(text)[-10:]
    return 1 <= digits[2] * 10 + digits[3] <= 12 and _luhn(digits)


def _is_aadhaar(text: str) -> bool:
    """Verhoeff's check over the dihedral group of the pentagon (J. Verhoeff, 1969)."""
    check = 0
    for place, digit in enumerate(reversed(_digits(text))):
        for _ in range(place % 8):
            digit = _VERHOEFF_STEP[digit]  # noqa: PLW2901 - the step is applied place times
        check = _VERHOEFF_PRODUCT[check][digit]
    return check == 0


NATIONAL = (
    ("US social security numbers: `123-45-6789`", _START + r"[0-9]{3}([- ])[0-9]{2}\1[0-9]{4}" + _END, _is_ssn),
    (
        "UK national insurance numbers",
        r"(?i)(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?(?:[0-9]{2} ?){3}[A-D](?!\w)",
        bool,
    ),
    ("UK NHS numbers, by their check digit", _START + r"[0-9]{3}([ -])[0-9]{3}\1[0-9]{4}" + _END, _is_nhs),
    ("Canadian social insurance numbers", _START + r"[0-9]{3}([ -])[0-9]{3}\1[0-9]{3}" + _END, _is_sin),
    ("Spanish DNI and NIE, by their letter", r"(?i)(?<![\w-])(?:[0-9]{8}|[XYZ]-?[0-9]{7})-?[A-Z](?![\w-])", _is_dni),
    ("Italian tax codes", r"(?i)(?<!\w)[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z](?!\w)", bool),
    (
        "French NIR, by its key",
        _START + r"[12] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}" + _END,
        _is_nir,
    ),
    ("Swiss AHV numbers", _START + r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}(?!\w)", bool),
    ("Brazilian CPF, by its check digits", _START + r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?!\w)", _is_cpf),
    ("Chinese resident identity numbers", r"(?<!\w)[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx](?!\w)", _is_resident_id),
    ("Indian Aadhaar numbers", _START + r"[2-9][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}" + _END, _is_aadhaar),
    ("Polish PESEL", r"(?<![\w.,+-])[0-9]{11}(?![\w]|[.,][0-9])", _is_pesel),
    ("Swedish personal numbers", _START + r"(?:19|20)?[0-9]{6}[-+][0-9]{4}" + _END, _is_personnummer),
)
