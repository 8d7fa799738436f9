"""COPY text: PostgreSQL's own examples, and what is cut or doesn't fit."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Boolean, Integer, LargeBinary, Uuid

from governance.backup import copy_text
from governance.db import UtcDateTime
from governance.errors import Rejected
from governance.vault.columns import SealedType

SCRIPT = rb"""SET client_encoding = 'UTF8';
COPY public.plain (id, "a ""b"", c", text) FROM stdin;
1	\N	a\tb\nc\\d\101\x41
2		\\N
\.

-- a comment
COPY "Odd.Schema"."odd table" (id) FROM stdin;
COPY not.a (start) FROM stdin;
\.
"""


def test_a_script_gives_its_rows() -> None:
    assert list(copy_text.parse(SCRIPT.splitlines(keepends=True))) == [
        ("plain", {"id": "1", 'a "b", c': None, "text": "a\tb\nc\\dAA"}),
        ("plain", {"id": "2", 'a "b", c': "", "text": "\\N"}),
        ("odd table", {"id": "COPY not.a (start) FROM stdin;"}),
    ]


@pytest.mark.parametrize(
    "script",
    [
        b"COPY t (a, b) FROM stdin;\n1\t2\n",
        b"COPY t (a, b) FROM stdin;\n1\n\\.\n",
        b"COPY t (a) FROM stdin;\n\xff\n\\.\n",
    ],
)
def test_what_is_cut_or_does_not_fit_is_refused(script: bytes) -> None:
    with pytest.raises(Rejected):
        list(copy_text.parse(script.splitlines(keepends=True)))


def test_values_are_of_their_columns_type() -> None:
    assert copy_text.value("\\x00ff", LargeBinary()) == b"\0\xff"
    assert copy_text.value("\\x00ff", SealedType(str)) == b"\0\xff"
    assert copy_text.value("2026-03-01 12:00:00.5+00", UtcDateTime()) == datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)
    assert copy_text.value("t", Boolean()) is True and copy_text.value("f", Boolean()) is False
    assert copy_text.value("0" * 32, Uuid()) == UUID(int=0) and copy_text.value(None, Uuid()) is None


@pytest.mark.parametrize(
    ("text", "kind"), [("x", Integer()), ("x", Uuid()), ("abc", LargeBinary()), ("x", UtcDateTime())]
)
def test_a_value_of_another_type_is_refused_without_its_words(text: str, kind: object) -> None:
    with pytest.raises(Rejected) as refused:
        copy_text.value(text, kind)  # type: ignore[arg-type]
    assert "abc" not in str(refused.value)
