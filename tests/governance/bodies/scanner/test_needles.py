"""Any 16 bytes of a needle in a row, in each spelling; fewer aren't found, and what isn't a needle isn't either."""

import base64

import pytest

from governance.bodies.scanner.automaton import Automaton
from governance.bodies.scanner.needles import MATCHED_MIN, Needle
from governance.bodies.scanner.search import Search
from governance.errors import Rejected

NEEDLE = b"Kanarie-7f3b9c2d8e1a4f60-Xyz with spaces, and_more"


def matched(data: bytes, *needles: Needle) -> list[tuple[str, int]]:
    automaton = Automaton(needles or [Needle("n", NEEDLE)])
    return sorted({(match.form, match.matched) for match in automaton.search(data)})


@pytest.mark.parametrize("start", range(len(NEEDLE) - MATCHED_MIN + 1))
def test_every_fragment_of_16_bytes_is_found_and_none_of_13(start: int) -> None:
    fragment = NEEDLE[start : start + MATCHED_MIN]
    assert [form for form, _ in matched(b"...." + fragment + b"....")] == ["text"]
    # White space and dashes beside what is there count as there: a little less than 16 bytes may be found as well.
    assert matched(b"...." + fragment[:13] + b"....") == []
    assert [form for form, _ in matched(b"." + fragment.hex().encode() + b".")] == ["hex"]
    for before in range(3):
        coded = base64.b64encode(b"." * before + NEEDLE[start : start + MATCHED_MIN + 2])
        if start + MATCHED_MIN + 2 <= len(NEEDLE):
            assert any(form == "base64" for form, _ in matched(coded))


@pytest.mark.parametrize("start", range(len(NEEDLE) - MATCHED_MIN + 1))
def test_base64_of_nothing_but_16_bytes_is_found(start: int) -> None:
    fragment = NEEDLE[start : start + MATCHED_MIN]
    for coded in (base64.b64encode(fragment), base64.urlsafe_b64encode(fragment).rstrip(b"=")):
        assert [(form, size >= MATCHED_MIN) for form, size in matched(b'"' + coded + b'"')] == [("base64", True)]
        search = Search([Needle("n", NEEDLE)])
        search.bytes(b'"' + base64.b64encode(fragment.upper()) + b'"', "here")
        assert [each.form for each in search.report().findings] == ["base64 > text"]
    assert matched(base64.b64encode(fragment[:13])) == []


@pytest.mark.parametrize("start", range(len(NEEDLE) - MATCHED_MIN + 1))
def test_base32_of_any_16_bytes_is_found(start: int) -> None:
    fragment = NEEDLE[start : start + MATCHED_MIN]
    for coded in (base64.b32encode(b"x" * (start % 5) + fragment), base64.b32encode(fragment).lower()):
        assert [(form, size >= MATCHED_MIN) for form, size in matched(b'"' + coded + b'"')] == [("base32", True)]
    assert matched(base64.b32encode(fragment[:13])) == []


def test_all_of_a_needle_counts_as_all_of_it() -> None:
    assert matched(NEEDLE) == [("text", len(NEEDLE))]
    assert matched(NEEDLE.upper().replace(b" ", b"\r\n  ")) == [("text", len(NEEDLE))]
    assert matched(NEEDLE.decode().encode("utf-16-be")) == [("text", len(NEEDLE))]
    assert matched(NEEDLE.hex(" ").upper().encode())[-1] == ("hex", len(NEEDLE))


def test_letters_beyond_ascii_are_found_in_each_encoding_and_case() -> None:
    text = "Räuber Größe Ünlü çay ßtraße Ελλάδα 日本語のテキスト"
    needle = Needle("n", text.encode())
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        for cased in (text, text.lower(), text.upper()):
            found = matched(b"xx" + cased.encode(encoding) + b"yy", needle)
            assert any(size >= len(needle.value) - 2 for _, size in found), (encoding, cased)


def test_what_is_no_text_is_found_as_bytes() -> None:
    value = bytes(range(128, 168))
    assert ("text", len(value)) in matched(b"x" + value, Needle("n", value))


@pytest.mark.parametrize("value", [b"", b"fifteen bytes..", b" " * 40, b"a b c d e f g        "])
def test_a_needle_that_would_match_anything_is_refused(value: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        Needle("n", value)
    assert value.decode().strip() == "" or value.decode().strip() not in str(refused.value)


def test_a_needle_shows_its_name_alone() -> None:
    assert "Kanarie" not in repr(Needle("where", NEEDLE))
