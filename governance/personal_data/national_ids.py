"""National numbers of people that are sought, and when a number counts as one.

Each has a check digit, or a form that nothing else has; where neither is enough (nine digits are nine digits), a word must
announce it. Those of the countries with the most customers of AI services, and of which a number lets others act in a
person's name or gives away birth date and sex. Left out, and why: numbers of businesses and plates, which are nobody's
body; UK NHS numbers, since one phone number in eleven has their check digit.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from governance.personal_data.kinds import Span
from governance.personal_data.money import luhn


@dataclass(frozen=True, slots=True)
class NationalId:
    """A form, its check, and the words one of which must stand within 40 characters before it (None: none need)."""

    country: str
    form: str
    check: Callable[[str], bool]
    words: str | None = None


def _digits(text: str) -> list[int]:
    return [int(each) for each in text if each.isdigit()]


def _weighted(text: str, weights: tuple[int, ...]) -> int:
    return sum(a * b for a, b in zip(_digits(text), weights, strict=False))


def _us(text: str) -> bool:
    """SSA: area not 000, 666 or 9xx; no group of zeros."""
    number = "".join(map(str, _digits(text)))
    return number[:3] not in ("000", "666") and number[0] != "9" and number[3:5] != "00" and number[5:] != "0000"


def _de_tax(text: str) -> bool:
    """ISO/IEC 7064, MOD 11,10."""
    product = 10
    for digit in _digits(text)[:10]:
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == _digits(text)[10]


def _fr(text: str) -> bool:
    """NIR: 97 minus the number modulo 97; Corsica's departments count as 19 and 18."""
    plain = text.replace(" ", "").upper()
    number = int(plain[:13].replace("2A", "19").replace("2B", "18"))
    return 97 - number % 97 == int(plain[13:])


_SPANISH: Final = "TRWAGMYFPDXBNJZSQVHLCKE"


def _es(text: str) -> bool:
    plain = text.replace("-", "").upper()
    number = "XYZ".find(plain[0])
    return _SPANISH[int((str(number) if number >= 0 else plain[0]) + plain[1:-1]) % 23] == plain[-1]


_ODD: Final = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
    2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
    strict=True))  # fmt: skip


def _it(text: str) -> bool:
    """DM 23 dicembre 1976: odd places by table, even ones by value."""
    plain = text.upper()
    even = (ord(each) - 48 if each.isdigit() else ord(each) - 65 for each in plain[1:15:2])
    return chr((sum(_ODD[each] for each in plain[0:15:2]) + sum(even)) % 26 + 65) == plain[15]


def _nl(text: str) -> bool:
    """The eleven test of the BSN."""
    return _weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and any(_digits(text))


def _pl(text: str) -> bool:
    return (10 - _weighted(text[:10], (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(text[10])


def _se(text: str) -> bool:
    plain = "".join(map(str, _digits(text)))[-10:]
    return luhn(plain) and 1 <= int(plain[2:4]) <= 12 and 1 <= int(plain[4:6]) % 60 <= 31


def _fi(text: str) -> bool:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10].upper()


_VERHOEFF: Final = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def _in(text: str) -> bool:
    """Aadhaar: Verhoeff's check over the dihedral group of ten."""
    value = 0
    for place, digit in enumerate(reversed(_digits(text))):
        value = _dihedral(value, int(_VERHOEFF[place % 8][digit]))
    return value == 0


def _dihedral(a: int, b: int) -> int:
    if a < 5:
        return (a + b) % 5 if b < 5 else (a + b - 5) % 5 + 5
    return (a - 5 - b) % 5 + 5 if b < 5 else (a - b) % 5


def _kr(text: str) -> bool:
    """Until October 2020; later numbers have no check digit, and are taken where a word announces them."""
    plain = text.replace("-", "")
    return (11 - _weighted(plain[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(plain[12])


def _cn(text: str) -> bool:
    """GB 11643: ISO/IEC 7064, MOD 11-2."""
    return (
        "10X98765432"[_weighted(text[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11]
        == text[17].upper()
    )


def _br(text: str) -> bool:
    digits = _digits(text)
    first = sum(d * w for d, w in zip(digits, range(10, 1, -1), strict=False)) * 10 % 11 % 10
    second = sum(d * w for d, w in zip(digits, range(11, 1, -1), strict=False)) * 10 % 11 % 10
    return digits[9:] == [first, second] and len(set(digits)) > 1


def _any(text: str) -> bool:
    return True


_MONTH_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
NATIONAL_IDS: Final = (
    NationalId("US", r"\d{3}-\d{2}-\d{4}", _us),
    NationalId("US", r"\d{3}[ .]?\d{2}[ .]?\d{4}", _us, r"ssn|social security|itin"),
    NationalId("GB", r"(?!BG|GB|NK|KN|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D]", _any),
    NationalId("DE", r"[1-9]\d(?: ?\d{3}){3}", _de_tax, r"steuer|idnr|tax id|\btin\b"),
    NationalId("FR", r"[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", _fr),
    NationalId("ES", r"[0-9XYZ]\d{7}-?[A-Z]", _es, r"\b(?:dni|nif|nie)\b|identidad"),
    NationalId("IT", r"[A-Z]{6}[\dLMNP-V]{2}[A-EHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]", _it),
    NationalId("NL", r"\d{9}", _nl, r"\bbsn\b|burgerservicenummer|sofinummer"),
    NationalId("PL", r"\d{11}", _pl, r"pesel"),
    NationalId("SE", r"(?:19|20)?\d{6}[-+]?\d{4}", _se, r"personnummer|samordningsnummer|personal identity"),
    NationalId("FI", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", _fi),
    NationalId("IN", r"[2-9]\d{3} ?\d{4} ?\d{4}", _in, r"aadha?ar|आधार|uidai"),
    NationalId("KR", rf"\d\d{_MONTH_DAY}-[1-8]\d{{6}}", _kr),
    NationalId("KR", rf"\d\d{_MONTH_DAY}-?[1-8]\d{{6}}", _any, r"\brrn\b|resident registration|주민(?:등록)?번호"),
    NationalId("CN", rf"[1-9]\d{{5}}(?:19|20)\d\d{_MONTH_DAY}\d{{3}}[\dXx]", _cn),
    NationalId("BR", r"\d{3}\.\d{3}\.\d{3}-\d\d", _br),
    NationalId("BR", r"\d{11}", _br, r"\bcpf\b"),
    # Of any country: ICAO 9303 gives nine places, and its check digit isn't printed beside the number.
    NationalId(
        "*",
        r"(?=[A-Z]*\d)[A-Z0-9]{7,9}",
        _any,
        r"passport|reisepass|passeport|pasaporte|passaporto|паспорт|护照|旅券|여권",
    ),
)
_FORMS: Final = tuple(
    (
        each,
        re.compile(rf"(?<![\w.-])(?:{each.form})(?!\w|[.-]\d)"),
        re.compile(each.words, re.IGNORECASE) if each.words else None,
    )
    for each in NATIONAL_IDS
)


def national_ids(text: str) -> Iterator[Span]:
    for national, form, words in _FORMS:
        for found in form.finditer(text):
            announced = words is None or words.search(text[max(0, found.start() - 40) : found.start()])
            if announced and national.check(found[0]):
                yield found.start(), found.end(), 0.85
