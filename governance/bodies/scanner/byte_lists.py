"""Bytes written as a list of numbers: decimal as Node, Go, Python and Java print them, hex as C and Go write them."""

import re
from collections.abc import Iterator
from itertools import groupby

from governance.bodies.scanner.needles import MATCHED_MIN

_DECIMAL = bytes(65 if chr(code) in "0123456789-, \t\r\n" else 32 for code in range(256))
_HEX = bytes(65 if chr(code) in "0123456789abcdefABCDEFxX,:; \t\r\n" else 32 for code in range(256))
_DECIMAL_MIN = b"A" * (2 * MATCHED_MIN - 1)  # a digit each, and what stands between them
_HEX_MIN = b"A" * (3 * MATCHED_MIN - 1)
_DECIMALS = re.compile(rb"(?<![\d.])-?\d{1,3}(?:(?:\s*,\s*|\s+)-?\d{1,3}(?!\d)){%d,}" % (MATCHED_MIN - 1))
_PREFIXED = re.compile(rb"0[xX][0-9a-fA-F]{1,2}(?:(?:\s*[,;]\s*|\s+)0[xX][0-9a-fA-F]{1,2}\b){%d,}" % (MATCHED_MIN - 1))
_COLONS = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{2}(?:\s*[:,;]\s*[0-9a-fA-F]{2}\b){%d,}" % (MATCHED_MIN - 1))


def written(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(start, end, the bytes) of every list of at least 16 numbers of a byte each."""
    for first, last in _stretches(data.translate(_DECIMAL), _DECIMAL_MIN):
        for found in _DECIMALS.finditer(data, first, last):
            numbers = (int(number) for number in found[0].replace(b",", b" ").split())
            for fits, row in groupby(numbers, _is_byte):
                if fits and len(value := bytes(number & 255 for number in row)) >= MATCHED_MIN:
                    yield found.start(), found.end(), value
    for first, last in _stretches(data.translate(_HEX), _HEX_MIN):
        for pattern in (_PREFIXED, _COLONS):
            for found in pattern.finditer(data, first, last):
                digits = re.findall(rb"[0-9a-fA-F]{1,2}(?![0-9a-fA-FxX])", found[0])
                yield found.start(), found.end(), bytes(int(each, 16) for each in digits)


def _is_byte(number: int) -> bool:
    return -128 <= number < 256


def _stretches(mask: bytes, wanted: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while (start := mask.find(wanted, at)) >= 0:
        at = mask.find(b" ", start)
        if at < 0:
            at = len(mask)
        yield start, at
