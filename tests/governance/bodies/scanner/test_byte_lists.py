"""Bytes as lists of numbers, as programs of several languages print them."""

import gzip
import json
import random
from collections.abc import Callable

import pytest

from governance.bodies.scanner import byte_lists
from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.search import Search
from governance.bodies.scanner.stream import WINDOW

TEXT = 'Kanarie 7f3b9c2d8e1a4f60 "Xyz" é/more'.encode()


def forms(data: bytes) -> set[str]:
    search = Search([Needle("n", TEXT)])
    search.bytes(data, "here")
    return {finding.form for finding in search.report().findings}


def joined(form: str, between: str = ", ") -> Callable[[bytes], str]:
    return lambda value: between.join(form % byte for byte in value)


WRITTEN: dict[str, Callable[[bytes], str]] = {
    "Node": lambda value: json.dumps({"type": "Buffer", "data": list(value)}),
    "Node in lines": lambda value: json.dumps({"type": "Buffer", "data": list(value)}, indent=8),
    "in JSON in JSON": lambda value: json.dumps(json.dumps(list(value), indent=2)),
    "Go": lambda value: f"body=[{' '.join(map(str, value))}]",
    "Python": lambda value: f"{list(value)}",
    "Java": lambda value: f"{[byte - 256 if byte > 127 else byte for byte in value]}",
    "C": joined("0x%02x"),
    "C in lines": joined("0x%02X", ",\n  "),
    "Go source": lambda value: f"[]byte{{{', '.join(map(hex, value))}}}",
    "colons": lambda value: value.hex(":").upper(),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_list_is_read(name: str) -> None:
    written = WRITTEN[name](TEXT).encode()
    assert any("byte list > text" in form for form in forms(b"took 350, 1234, " + written + b" and so on 3, 4"))
    assert any("byte list" in form for form in forms(WRITTEN[name](TEXT[3:19]).encode()))
    assert forms(WRITTEN[name](b"another text of this length").encode()) == set()


@pytest.mark.parametrize("cut", [5, 40, 80])
def test_a_list_is_read_where_two_reads_meet(cut: int) -> None:
    written = json.dumps(list(TEXT)).encode()
    assert "byte list > text" in forms(b". " * ((WINDOW - cut) // 2) + written)


def test_what_is_compressed_in_a_list_is_read() -> None:
    assert "byte list > gzip > text" in forms(json.dumps({"data": list(gzip.compress(TEXT * 2))}).encode())


def test_lists_of_other_numbers_are_none() -> None:
    numbers = random.Random(1)
    for size in (10, 1000, 100_000):
        listed = json.dumps([numbers.randrange(256, 999) for _ in range(size)])
        assert list(byte_lists.written(listed.encode())) == []
    assert list(byte_lists.written(b" " * 5000 + b"2026-11-26 08:00:00, 1.5, 2.25" * 20)) == []


@pytest.mark.parametrize(
    "escaped",
    [
        "".join(f"\\{byte:03o}" for byte in TEXT),
        "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"7' else f"\\{byte:03o}" for byte in TEXT),
        json.dumps("".join(f"\\{byte:03o}" for byte in TEXT)),
        "".join(f"%u{ord(character):04X}" for character in TEXT.decode()),
    ],
)
def test_octal_escapes_and_those_of_javascript_are_undone(escaped: str) -> None:
    assert any(form.startswith("escaped") for form in forms(f"said {escaped} then".encode()))
