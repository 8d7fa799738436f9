"""Bank cards by issuer and Luhn's check. IBANs are Presidio's."""

import re
from collections.abc import Iterator
from typing import Final

from governance.personal_data.kinds import Span

# ISO/IEC 7812: first digits and lengths of the networks that issue to people. Anything else that passes Luhn is a number.
_CARD: Final = re.compile(
    r"(?<![\w.+-])(?:"
    r"4\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)([ -]?)\d{4}\2\d{4}\2\d{4}"  # Mastercard
    r"|3[47]\d\d([ -]?)\d{6}\3\d{5}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d([ -]?)\d{6}\4\d{4}"  # Diners
    r"|(?:6011|65\d\d|64[4-9]\d|35(?:2[89]|[3-8]\d)|62\d\d)([ -]?)\d{4}\5\d{4}\5\d{4}"  # Discover, JCB, UnionPay
    r")(?!\w|[.-]\d)"
)


def cards(text: str) -> Iterator[Span]:
    for found in _CARD.finditer(text):
        if luhn(found[0]):
            yield found.start(), found.end(), 0.95


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1 annex B; what isn't a digit is left out."""
    digits = [int(digit) for digit in number if digit.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1
