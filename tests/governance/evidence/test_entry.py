"""Entries: no field takes text, the form is canonical, and a commitment opens with its salt alone."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from governance.errors import DeclarationError
from governance.evidence import fields
from governance.evidence.entry import FIELDS, Entry, EntryType, checked, commitment, parse
from governance.evidence.merkle import leaf_hash
from tests.governance.evidence.made import ROOT

PERSONAL = ("ada@example.org", "Ada Lovelace", "203.0.113.9", "ada", "user1", "")


def test_every_type_declares_its_fields() -> None:
    assert set(FIELDS) == set(EntryType)
    assert all(len(kind.value.split(":")) == 3 for kind in EntryType)


@pytest.mark.parametrize("kind", EntryType)
def test_no_field_of_any_type_takes_text(kind: EntryType) -> None:
    for name, field in FIELDS[kind].items():
        for text in PERSONAL:
            with pytest.raises((DeclarationError, ValueError)) as refused:
                field(text)
            assert not text or text not in str(refused.value), f"{name} quotes what it refused"


def test_a_detail_has_every_field_of_its_type_and_no_other() -> None:
    good = {"kind": "root", "keys": 1}
    assert checked(EntryType.KEY_ROTATED, good) == good
    for wrong in ({"kind": "root"}, {**good, "note": 1}, {"kind": "root", "keys": -1}, {"kind": "root", "keys": True}):
        with pytest.raises(DeclarationError):
            checked(EntryType.KEY_ROTATED, wrong)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (fields.count, 2**53), (fields.count, 1.0), (fields.flag, 1), (fields.identifier, str(UUID(int=1))),
        (fields.digest, "A" * 64), (fields.digest, b"short"), (fields.ranges, [(2, 2)]), (fields.ranges, [(0, 1)] * 1001),
        (fields.one_of(("a",)), "b"), (fields.named("nothing"), "a"),
    ],
)  # fmt: skip
def test_a_field_takes_its_kind_alone(field: fields.Field, value: Any) -> None:
    with pytest.raises(DeclarationError):
        field(value)


def test_names_are_declared_in_code_and_narrow() -> None:
    fields.declare_names("test", ["bodies-not-stored"])
    assert fields.named("test")("bodies-not-stored") == "bodies-not-stored"
    for wrong in ("Ada Lovelace", "ada@example.org", "x" * 65, ""):
        with pytest.raises(DeclarationError):
            fields.declare_names("test", [wrong])


def test_what_isnt_canonical_isnt_read() -> None:
    made = Entry(
        UUID(int=1), datetime(2026, 3, 1, tzinfo=UTC), EntryType.INCIDENT_CLOSED, {"incident": str(UUID(int=2))}
    )
    assert parse(made.canonical) == made
    whole = json.loads(made.canonical)
    for wrong in (
        json.dumps(whole).encode(), made.canonical + b"\n", made.canonical.replace(b"closed", b"shut"), b"{}", b"[", b"[]", b"1",
        json.dumps(whole | {"note": "x"}, sort_keys=True, separators=(",", ":")).encode(),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            parse(wrong)


def test_a_commitment_binds_salt_and_entry() -> None:
    assert commitment(b"s" * 32, b"e") != commitment(b"t" * 32, b"e")
    assert commitment(b"s" * 32, b"e") != commitment(b"s" * 32, b"f")
    for salt in (b"", b"s" * 31, b"s" * 33):  # HMAC would pad or hash them
        with pytest.raises(ValueError):
            commitment(salt, b"e")


def test_the_vectors_that_the_docs_print() -> None:
    page = (ROOT / "docs" / "privacy" / "transparency-log.md").read_text()
    block = dict(
        line.split(None, 1) for line in page.partition("## Test vectors")[2].split("```")[1].strip().splitlines()
    )
    salt, canonical = bytes.fromhex(block["salt"]), block["entry"].encode()
    assert parse(canonical).canonical == canonical
    made = commitment(salt, canonical)
    assert made.hex() == block["leaf"]
    assert leaf_hash(made).hex() == block["hash"]
