"""SQLAlchemy types and events of sealed columns: what is bound is an envelope, what is read is a handle."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Dialect, FromClause, LargeBinary, event
from sqlalchemy.orm import DeclarativeBase, QueryContext
from sqlalchemy.types import TypeDecorator

from governance import clock, sinks
from governance.datamap import Base
from governance.errors import Withheld
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed, bind_loaded, seal_value

T = TypeVar("T")
_MARKS: dict[type[Any], Callable[[], Any]] = {str: lambda: sinks.WITHHELD, bytes: sinks.WITHHELD.encode}


_IDENTITY = ("user.contact", "user.authorization", "user.unique_id")
"""Categories that tell who somebody is: a mark would be somebody else, or lock them out."""


class SealedType(TypeDecorator[Sealed[Any]]):
    """A column of envelopes. Takes `Sealed` values only: a plain one is a TypeError, without its text."""

    impl = LargeBinary
    cache_ok = True
    seals = True

    def __init__(self, kind: type[Any] = str) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Sealed[Any] | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        if not isinstance(value, Sealed):
            raise TypeError("a sealed column takes sealed values only")
        return value.envelope

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Sealed[Any] | None:
        return Sealed(bytes(value), self.kind) if value is not None else None


@cache
def sealed_names(table: FromClause) -> tuple[str, ...]:
    """Names of a table's sealed columns."""
    return tuple(column.name for column in table.columns if isinstance(column.type, SealedType))


async def seal(keys: KeyStore, row: DeclarativeBase, *, at: datetime | None = None, **values: Any) -> None:
    """Seal values into a row's columns by name. The row has its id, and its subject where it has one, already.

    What the guard withholds is NULL, or where the column can't be that a mark of its type. Of who somebody is there is
    no mark: Withheld is raised, and the transaction with it is rolled back.

    `at`: when the row was made, if not now; its retention counts from there. Raises KeyGone where that is over.
    """
    at = at or clock.now()
    table = row.__table__
    for name, value in values.items():
        column = table.columns[name]
        kind = column.type
        if not isinstance(kind, SealedType):
            raise TypeError(f"{name} is no sealed column")
        if sinks.withholds(sinks.Sink.SEALED, value):
            if column.nullable:
                setattr(row, name, None)
                continue
            if column.info["declaration"].data_category.startswith(_IDENTITY):
                raise Withheld(f"{table.name}.{name} was withheld.")  # type: ignore[attr-defined]
            value = _MARKS[kind.kind]() if kind.kind in _MARKS else kind.kind()
        place = f"{row.__tablename__}.{name}"
        declaration = column.info["declaration"]
        subject_id = getattr(row, "subject_id", None)
        sealed = await seal_value(keys, declaration, place, kind.kind, value, subject_id, row.id, at)  # type: ignore[attr-defined]
        setattr(row, name, sealed)


def _bind(target: Any, session: Any, attributes: Any = None) -> None:
    names = sealed_names(target.__table__)
    keys = session.info.get("keys") if session is not None and names else None
    if keys is not None:
        bind_loaded(target, names, keys)


@event.listens_for(Base, "load", propagate=True)
def _on_load(target: Any, context: QueryContext) -> None:
    _bind(target, context.session)


@event.listens_for(Base, "refresh", propagate=True)
def _on_refresh(target: Any, context: QueryContext, attributes: Any) -> None:
    _bind(target, context.session)
