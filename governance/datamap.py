"""One declaration per stored column, and everything that is derived from it.

A column says once what it holds (Fides data category), why (data uses), how it rests, how long (a rule of the retention
schedule) and what erasure does to it. A column without a declaration can't be imported: the listener below raises while
its table is being built, for declarative classes and plain `Table(...)` alike.
Taxonomy: fideslang (CC-BY-4.0, Ethyca). Legal bases: GDPR Art. 6(1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fideslang.default_taxonomy import DEFAULT_TAXONOMY
from sqlalchemy import Column, MetaData, Table, event
from sqlalchemy.orm import DeclarativeBase, MappedColumn, mapped_column
from sqlalchemy.types import TypeEngine

from governance.errors import DeclarationError

_CATEGORIES = frozenset(category.fides_key for category in DEFAULT_TAXONOMY.data_category)
_USES = frozenset(use.fides_key for use in DEFAULT_TAXONOMY.data_use)


class DataUse(StrEnum):
    """Purposes (Fides data uses) that this program knows. Opening a personal value names one."""

    SERVICE = "essential.service"
    AUTHENTICATION = "essential.service.authentication"
    PAYMENT = "essential.service.payment_processing"
    SECURITY = "essential.service.security"
    SUPPORT = "essential.service.operations.support"
    OPERATIONS = "essential.service.operations"
    NOTICES = "essential.service.notifications.email"
    FRAUD = "essential.fraud_detection"
    LEGAL_OBLIGATION = "essential.legal_obligation"
    FINANCE = "finance"
    ANALYTICS = "analytics.reporting.system"


class AtRest(StrEnum):
    """How a value rests."""

    SEALED = "sealed"  # AES-256-GCM under a key of its subject
    BLIND_INDEX = "blind_index"  # keyed hash, in the key store only
    HASHED = "hashed"  # hash of a high-entropy secret
    WRAPPED = "wrapped"  # a key under the key-encryption key
    PLAIN = "plain"


class KeyBasis(StrEnum):
    """What a subject's key is for. Erasure destroys the erasable one; a basis key ends with its basis's period."""

    ERASABLE = "erasable"
    TAX = "tax"  # Art. 17(3)(b): accounting vouchers
    CLAIMS = "claims"  # Art. 17(3)(e): establishment, exercise or defence of legal claims
    REQUEST = "request"  # Art. 5(2), 12(3): the record of the person's own request


BASIS_USES: dict[KeyBasis, frozenset[DataUse]] = {
    KeyBasis.ERASABLE: frozenset(DataUse),
    KeyBasis.TAX: frozenset((DataUse.LEGAL_OBLIGATION, DataUse.FINANCE)),
    KeyBasis.CLAIMS: frozenset((DataUse.LEGAL_OBLIGATION,)),
    KeyBasis.REQUEST: frozenset((DataUse.LEGAL_OBLIGATION,)),
}
"""The uses that a key of that basis serves, whatever a column declares."""


class OnErasure(StrEnum):
    """What erasure (GDPR Art. 17) does to the column."""

    DELETE = "delete"  # the row goes
    SHRED = "shred"  # unreadable with the subject's erasable key, then the row goes
    KEEP_TAX = "keep:tax"  # stays under the legal basis named, Art. 17(3)
    KEEP_CLAIMS = "keep:claims"
    KEEP_REQUEST = "keep:request"
    DETACH = "detach"  # the row stays, the link to the subject goes
    NONE = "none"  # holds nothing of a person

    @property
    def basis(self) -> KeyBasis:
        """The subject's key that seals such a column."""
        return KeyBasis(self.value.removeprefix("keep:")) if self.value.startswith("keep:") else KeyBasis.ERASABLE


class LegalBasis(StrEnum):
    """GDPR Art. 6(1), or that no personal data is held."""

    CONTRACT = "Art. 6(1)(b) contract"
    LEGAL_OBLIGATION = "Art. 6(1)(c) legal obligation"
    LEGITIMATE_INTEREST = "Art. 6(1)(f) legitimate interest"
    CONSENT = "Art. 6(1)(a) consent"
    NOT_PERSONAL = "no personal data"


class Store(StrEnum):
    """The two stores; they share no transaction."""

    DATA = "data"
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a column holds. `seal_id` is given once, never changed or reused: it binds sealed values to their column."""

    seal_id: int
    data_category: str
    data_uses: frozenset[DataUse]
    at_rest: AtRest
    retention: str
    on_erasure: OnErasure
    legal_basis: LegalBasis

    @property
    def personal(self) -> bool:
        return self.data_category.startswith("user")


@dataclass(frozen=True, slots=True)
class DeclaredColumn:
    """A registry row: where the column is, and what it declares."""

    store: Store
    table: str
    column: str
    declaration: Declaration

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"


_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base of the data store."""

    metadata = MetaData(naming_convention=_NAMING, info={"store": Store.DATA})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'id', '')}>"


class KeysBase(DeclarativeBase):
    """Declarative base of the key store, which data backups never hold."""

    metadata = MetaData(naming_convention=_NAMING, info={"store": Store.KEYS})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'id', '')}>"


_named: dict[int, str] = {}  # the column that has a seal_id
METADATA: dict[Store, MetaData] = {Store.DATA: Base.metadata, Store.KEYS: KeysBase.metadata}


def declared(
    kind: TypeEngine[Any] | type[TypeEngine[Any]],
    seal_id: int,
    category: str,
    uses: tuple[DataUse, ...],
    *,
    retention: str,
    on_erasure: OnErasure,
    at_rest: AtRest = AtRest.PLAIN,
    legal_basis: LegalBasis = LegalBasis.CONTRACT,
    args: tuple[Any, ...] = (),
    **options: Any,
) -> MappedColumn[Any]:
    """A mapped column with its declaration. `args`: constraints; `options`: for `mapped_column`."""
    declaration = Declaration(seal_id, category, frozenset(uses), at_rest, retention, on_erasure, legal_basis)
    return mapped_column(kind, *args, info={"declaration": declaration}, **options)


def impersonal(kind: Any, seal_id: int, at_rest: AtRest = AtRest.PLAIN, **options: Any) -> MappedColumn[Any]:
    """A column of the service's own machinery: nothing of a person, kept while the service runs."""
    return declared(
        kind,
        seal_id,
        "system.operations",
        (DataUse.SECURITY,),
        at_rest=at_rest,
        retention="service",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
        **options,
    )


@event.listens_for(Column, "after_parent_attach")
def _require_declaration(column: Column[Any], table: Any) -> None:
    """Art. 5(1)(b), (e) and Art. 25: no column without purpose, form, period and end."""
    if not isinstance(table, Table) or "store" not in table.metadata.info:
        return
    name = f"{table.name}.{column.name}"
    declaration = column.info.get("declaration")
    if not isinstance(declaration, Declaration):
        raise DeclarationError(f"Column {name} has no declaration.")
    if declaration.data_category not in _CATEGORIES:
        raise DeclarationError(f"Column {name}: {declaration.data_category!r} is no Fides data category.")
    if not declaration.data_uses:
        raise DeclarationError(f"Column {name} declares no data use.")
    for use in declaration.data_uses:
        if use not in _USES:
            raise DeclarationError(f"Column {name}: {use!r} is no Fides data use.")
    sealed = bool(getattr(column.type, "seals", False))
    if sealed != (declaration.at_rest is AtRest.SEALED):
        raise DeclarationError(f"Column {name}: its type and at_rest disagree on whether it is sealed.")
    if declaration.personal and declaration.legal_basis is LegalBasis.NOT_PERSONAL:
        raise DeclarationError(f"Column {name} holds personal data and names no legal basis.")
    if declaration.personal != (declaration.on_erasure is not OnErasure.NONE):
        raise DeclarationError(f"Column {name}: personal data needs an erasure action, other data needs none.")
    beyond = declaration.data_uses - BASIS_USES[declaration.on_erasure.basis]
    if sealed and beyond:
        raise DeclarationError(f"Column {name}: its key serves {declaration.on_erasure.basis}, not {min(beyond)}.")
    other = _named.setdefault(declaration.seal_id, name)
    if other != name and any(each.name == other for each in registry()):
        raise DeclarationError(f"Column {name}: seal_id {declaration.seal_id} is that of {other}.")
    _named[declaration.seal_id] = name


def registry() -> Iterator[DeclaredColumn]:
    """Every declared column of both stores, by table and column."""
    for store, metadata in METADATA.items():
        for table in sorted(metadata.tables.values(), key=lambda table: table.name):
            for column in table.columns:
                declaration = column.info.get("declaration")
                if declaration is not None:
                    yield DeclaredColumn(store, str(table.name), str(column.name), declaration)
