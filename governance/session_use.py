"""A session states the data use that it reads for, and the store holds it to it. GDPR Art. 5(1)(b).

Plain columns linked to a person (token counts, times, postings) are personal data as well as sealed ones. A SELECT that
touches one (in its columns, its conditions, its order, an aggregate or a subquery) whose declaration doesn't name the
session's use is refused, and so is one that only counts rows of a table none of whose columns declares it. Sealed columns
come as handles that ask again when they are opened. What a statement returns from a change (RETURNING) counts as read.

Which rows of such a statement are there is `permitted` 's matter (governance/vault/permitted.py).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy import Column, Table, event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql import ClauseElement, Delete, Insert, Select, Update, visitors

from governance.datamap import AtRest, DataUse, Declaration
from governance.errors import UseRefused

_WHOSE = frozenset(("", "id", "subject_id"))  # the table itself, and its rows' ids


class GovernedSession(Session):
    """Every session of a `Database` is one; `info["use"]` is what it reads for."""


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
    use = state.session.info.get("use")
    if not isinstance(use, DataUse):
        raise UseRefused("A session that states no use may read nothing.")
    for name in _undeclared(state.statement, use):
        if "rewrapping" in state.session.info and name.partition(".")[2] in _WHOSE:
            continue
        raise UseRefused(f"{name} may not be read for {use.value}: it doesn't declare that use.")


def _undeclared(statement: object, use: DataUse) -> Iterator[str]:
    if isinstance(statement, Insert | Update | Delete):
        touched: Iterable[object] = [column for each in statement._returning for column in visitors.iterate(each)]
        selected: Iterable[object] = statement.exported_columns
    elif isinstance(statement, ClauseElement):
        touched = visitors.iterate(statement)
        selected = statement.selected_columns if isinstance(statement, Select) else ()
    else:
        return
    for element in touched:
        if isinstance(element, Table):
            if use not in _uses_of(element):
                yield str(element.name)
        elif isinstance(element, Select) and element is not statement:
            # `select(Entity)` names its columns nowhere but here.
            yield from _refused(element.selected_columns, use)
        else:
            yield from _refused((element,), use)
    yield from _refused(selected, use)


def _refused(elements: Iterable[object], use: DataUse) -> Iterator[str]:
    for element in elements:
        for column in getattr(element, "base_columns", ()):
            if isinstance(column, Column) and not _declares(column, use):
                yield f"{column.table.name}.{column.name}"


def _declares(column: Column[object], use: DataUse) -> bool:
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
