"""What each form takes, and its nearest neighbour that it must leave."""

from collections.abc import Callable, Iterable

import pytest

from governance.personal_data.birth import births
from governance.personal_data.contact import Span, addresses, phones, url_users
from governance.personal_data.money import cards, luhn
from governance.personal_data.names import names
from governance.personal_data.own_values import BLANK, blanked
from governance.personal_data.secrets import secrets

Finder = Callable[[str], Iterable[Span]]
CASES: list[tuple[Finder, str, list[str]]] = [
    (phones, "ring +41 44 668 18 00 now", ["+41 44 668 18 00"]),
    (phones, "41446681800 requests", []),
    (phones, "cell 192.0.2.146", []),
    (addresses, "from 203.0.113.7.", ["203.0.113.7"]),
    (addresses, "Chrome/126.0.0.0 version 10.2.3.4 RFC 9111 section 5.2.2.5 and 999.1.1.1 127.0.0.1 224.0.0.1 1.2.3.4.5", []),
    (addresses, "[2001:db8::7]:443 fe80::1%eth0 ::1 :: a::b 12:30:45 00:1b:44:11:3a:b7", ["2001:db8::7", "fe80::1"]),
    (url_users, "https://anna:pw@h.example/x https://git@h.example redis://app:***@h http://h/@x", ["https://anna:pw@h.example"]),
    (cards, "4111111111111111, 4111-1111-1111-1111", ["4111111111111111", "4111-1111-1111-1111"]),
    (cards, "4111111111111112 4111 11111111 1111 0000000000000000 9999999999999995 14111111111111111", []),
    (births, "DOB: 1984-03-02; due 1984-03-02", ["1984-03-02"]),
    (secrets, "password=hunter222 password=*** pwd: null secret = os.urandom(32)", ["hunter222"]),
    (secrets, "account:password:changed password:01a21677-d402-72e2-b84a-01b3f5be62b0", []),
    (secrets, "sk-va-AbCd sk-va- sk-learn-2.0", []),
    (names, "my name is Ana Díaz and", ["Ana Díaz"]),
    (names, "name: Claude Sonnet\nname: Nightly Backup\nDear Customer,\nHello World", []),
    (names, "model name: Anna Schmidt", []),
    (names, "Dear John. We write", ["John"]),
]  # fmt: skip


@pytest.mark.parametrize(("finder", "text", "expected"), CASES, ids=[f"{f.__name__}: {t[:30]}" for f, t, _ in CASES])
def test_a_form(finder: Finder, text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end, _ in finder(text)] == expected


def test_luhn() -> None:
    assert luhn("79927398713") and not luhn("79927398710")
    assert [luhn(f"7992739871{digit}") for digit in range(10)].count(True) == 1


@pytest.mark.parametrize(
    "personal",
    ["DE50526018159083016613", "4111111111111111", "anna-maria.schmidt-lehmann42@example.org", "Anna-Maria-Schmidt-Lehmann-1984",
     "+493090182000000", "203.0.113.7", "RSSMRA85T10A562S"],
)  # fmt: skip
def test_nothing_personal_is_blanked(personal: str) -> None:
    assert blanked(f"x {personal} y") == f"x {personal} y"


def test_what_is_blanked_keeps_its_place() -> None:
    text = "id 01a21677-d402-72e2-b84a-01b3f5be62b0 of anna@example.org at 2026-11-26T05:58:08Z"
    blank = blanked(text)
    assert len(blank) == len(text) and blank.count(BLANK) == 56 and "anna@example.org" in blank
