"""A session states the data use that it reads for, and the store holds it to it. GDPR Art. 5(1)(b).

Plain columns linked to a person (token counts, times, postings) are personal data as well as sealed ones. A SELECT that
touches one (in its columns, its conditions, its order, an aggregate or a subquery) whose declaration doesn't name the
session's use is refused, and so is one that only counts rows of a table none of whose columns declares it. Sealed columns
come as handles that ask again when they are opened. What a statement returns from a change (RETURNING) counts as read,
and so do what a change selects and the columns that it makes a new value of; what is written to a row that was loaded is a
value. What a statement reads is `statement.read`'s to tell.

Which rows of such a statement are there is `permitted` 's matter (governance/vault/permitted.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import ClauseElement, Column, Table, event, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session

from governance.datamap import AtRest, DataUse, Declaration
from governance.errors import UseRefused
from governance.statement import Reads, read

_WHOSE = frozenset(("", "id", "subject_id"))  # the table itself, and its rows' ids


class RowFilter(Protocol):
    """Whose rows a use sees; `Permitted` is one."""

    def criteria(self, use: DataUse, reads: Reads) -> tuple[Any, ...]:
        """Options for the statement that leave out the rows that it may not see."""


class GovernedSession(Session):
    """Every session of a `Database` is one; `info["use"]` is what it reads for, `info["permitted"]` its `RowFilter`."""


@contextmanager
def reading_for(session: AsyncSession, use: DataUse) -> Iterator[None]:
    """Within a transaction opened for one use, read for another that the work has as well, and says so here."""
    before = session.info["use"]
    session.info["use"] = use
    try:
        yield
    finally:
        session.info["use"] = before


@contextmanager
def rewrapping(session: AsyncSession) -> Iterator[None]:
    """Read envelopes, and whose they are, to seal them anew: rotation opens nothing for a use, so it states none."""
    session.info["rewrapping"] = True
    try:
        yield
    finally:
        del session.info["rewrapping"]


@event.listens_for(GovernedSession, "do_orm_execute")
def _check(state: ORMExecuteState) -> None:
    info = state.session.info
    use = info.get("use")
    if not isinstance(use, DataUse):
        raise UseRefused("A session that states no use may read nothing.")
    rewrapping = "rewrapping" in info
    reads = read(state.statement, plain_tables=rewrapping)
    for name in _undeclared(reads, use):
        if rewrapping and name.partition(".")[2] in _WHOSE:
            continue
        raise UseRefused(f"{name} may not be read for {use.value}: it doesn't declare that use.")
    rows: RowFilter | None = info.get("permitted")
    if rows is not None and (options := rows.criteria(use, reads)):
        state.statement = state.statement.options(*options)


@event.listens_for(GovernedSession, "before_flush")
def _values_alone(session: Session, _context: object, _instances: object) -> None:
    """An expression that is set on a row would be written by the flush, whose statements no check sees."""
    for row in (*session.new, *session.dirty):
        for name, value in inspect(row).dict.items():
            if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
                raise UseRefused(
                    f"{type(row).__name__}.{name} is set to what the database works out: update it by a statement."
                )


def _undeclared(reads: Reads, use: DataUse) -> Iterator[str]:
    for column in reads.columns:
        if not _declares(column, use):
            yield f"{column.table.name}.{column.name}"
    for table in reads.tables:
        if use not in _uses_of(table):
            yield table.name


def _declares(column: Column[Any], use: DataUse) -> bool:
    declaration = column.info.get("declaration")
    if not isinstance(declaration, Declaration):
        return True
    return use in declaration.data_uses or not declaration.personal or declaration.at_rest is AtRest.SEALED


@lru_cache(maxsize=1024)
def _uses_of(table: Table) -> frozenset[DataUse]:
    declared = [column.info.get("declaration") for column in table.columns]
    if not all(isinstance(each, Declaration) and each.personal for each in declared):
        # A table that also holds something else may be counted for it.
        return frozenset(DataUse)
    return frozenset(use for each in declared if isinstance(each, Declaration) for use in each.data_uses)
