"""No column without a declaration, and none that the taxonomy doesn't know."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, String, Table
from sqlalchemy.orm import Mapped, MappedColumn, mapped_column

from governance.datamap import Base, DataUse, LegalBasis, OnErasure, declared, registry
from governance.errors import DeclarationError

GOOD = {"retention": "account", "on_erasure": OnErasure.NONE, "legal_basis": LegalBasis.NOT_PERSONAL}
USES = (DataUse.SERVICE,)


def test_an_undeclared_column_of_a_mapped_class_is_refused_by_name() -> None:
    with pytest.raises(DeclarationError, match=r"probe_a\.secret has no declaration"):

        class ProbeA(Base):
            __tablename__ = "probe_a"
            id: Mapped[int] = declared(Integer, 9001, "system.operations", USES, primary_key=True, **GOOD)
            secret: Mapped[str] = mapped_column(String)

    assert "probe_a" not in Base.metadata.tables


def test_an_undeclared_column_of_a_plain_table_is_refused_and_the_table_is_gone() -> None:
    with pytest.raises(DeclarationError, match=r"probe_b\.n has no declaration"):
        Table("probe_b", Base.metadata, Column("n", Integer, primary_key=True))
    assert "probe_b" not in Base.metadata.tables


@pytest.mark.parametrize(
    ("category", "options", "words"),
    [
        ("user.shoe_size", GOOD, "no Fides data category"),
        ("user.contact.email", GOOD, "names no legal basis"),
        ("user.contact.email", {**GOOD, "legal_basis": LegalBasis.CONTRACT}, "needs an erasure action"),
        ("system.operations", {**GOOD, "on_erasure": OnErasure.DELETE}, "other data needs none"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(category: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Table("probe_c", Base.metadata, _named("n", declared(Integer, 9002, category, USES, **options)))
    assert "probe_c" not in Base.metadata.tables


def _named(name: str, mapped: MappedColumn[Any]) -> Column[Any]:
    column = mapped.column
    column.name = column.key = name
    return column


def test_a_seal_id_is_given_once() -> None:
    with pytest.raises(DeclarationError, match=r"seal_id 100 is that of data_subject\.id"):
        import governance.subjects  # noqa: F401

        Table("probe_d", Base.metadata, _named("n", declared(Integer, 100, "system.operations", USES, **GOOD)))


def test_the_registry_knows_both_stores() -> None:
    import governance.vault.blind_index
    import governance.vault.keytree  # noqa: F401

    names = {column.name for column in registry()}
    assert {"data_subject.id", "key_node.content", "blind_index.digest"} <= names
