"""What a statement reads: which columns, and rows of which mapped classes. What can't be told is refused.

The check of uses (`session_use`) and the filter of rows (`vault/permitted`) hold for what is found here, so whatever would
hide a read from it is no statement of a session: text, a column's name as text, a function that isn't known here, a table
without its mapped class, a join that the ORM doesn't make, a class that is named only where SQLAlchemy adds no criterion
for it. Fails closed: forms that nobody needs yet are refused as well.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Never

from sqlalchemy import Alias, Column, FromClause, Join, Table, TextClause
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ClauseElement, CompoundSelect, Delete, Insert, Select, Update, functions
from sqlalchemy.sql import util as sql_util
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import ColumnClause, Extract, Label, _textual_label_reference, quoted_name
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.lambdas import LambdaElement
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.selectable import (
    AliasedReturnsRows,
    Exists,
    SelectBase,
    TableClause,
    TableSample,
    TextualSelect,
    Values,
)
from sqlalchemy.sql.visitors import HasTraverseInternals

from governance.datamap import Declaration
from governance.errors import UseRefused

FUNCTIONS = frozenset(
    (
        *("count", "sum", "min", "max", "avg", "row_number"),
        *("coalesce", "lower", "upper", "length", "abs", "date", "timezone"),
    )
)
"""What a statement may call: these compute from their arguments alone. Others run text (`query_to_xml`), read files or
sleep, and which do is each server's own list."""
_ENTITY = "parententity"  # SQLAlchemy's mark on what came in through a mapped class
_surface: Any = sql_util.surface_expressions
_first_mark: Any = sql_util.extract_first_column_annotation


@dataclass(slots=True)
class Reads:
    """`columns` and `tables`: whatever the statement touches. `entities`: mapped classes whose rows come out of it, or
    decide what does; a change's own conditions aren't among them."""

    columns: set[Column[Any]] = field(default_factory=set)
    tables: set[Table] = field(default_factory=set)
    entities: set[Mapper[Any]] = field(default_factory=set)


def read(statement: object, *, plain_tables: bool = False) -> Reads:
    """Raises UseRefused where it can't be told. `plain_tables`: tables may stand without their mapped classes."""
    walk = _Walk(plain_tables)
    if isinstance(statement, Select | CompoundSelect):
        walk.element(statement, _Scope())
    elif isinstance(statement, Insert | Update | Delete):
        walk.change(statement)
    else:
        _refuse(f"A session takes select, insert, update and delete, and no {type(statement).__name__}.")
    _by_the_orm(statement, walk.reads.entities)
    return walk.reads


@dataclass(slots=True)
class _Scope:
    """One SELECT: the mapped classes and aliases it names, and tables that it names without."""

    named: set[Any] = field(default_factory=set)
    bare: set[Table] = field(default_factory=set)
    written: Table | None = None
    """What a change writes, without a word of it: its own conditions don't read it for anybody."""


class _Walk:
    def __init__(self, plain_tables: bool) -> None:
        self.reads = Reads()
        self._plain_tables = plain_tables
        self._seen: set[int] = set()

    def element(self, element: Any, scope: _Scope) -> None:
        for named in (element, getattr(element, "table", None)):
            for name in (getattr(named, "name", None), getattr(named, "collation", None)):
                if isinstance(name, quoted_name) and name.quote is False:
                    _refuse("A name that isn't to be quoted is text: what it reads can't be told.")
        if isinstance(element, Select):
            self._select(element)
        elif isinstance(element, ColumnClause):
            self._column(element, scope)
        elif isinstance(element, _textual_label_reference):
            _refuse("A column that is named as text may not stand in a statement: which one it is can't be told.")
        elif isinstance(element, FunctionElement) and not _is_known(element):
            _refuse(
                f"{getattr(element, 'name', 'It')} is no function that a statement may call: what it reads isn't known."
            )
        elif isinstance(element, functions.count):
            self._all((each for each in element.clauses if not _is_star(each)), scope)
        elif isinstance(element, FromClause) and not isinstance(element, FunctionElement):
            self._from(element, scope)
        elif isinstance(element, Exists):
            self._select(_selected(element), star=True)
        elif isinstance(element, TextClause | TextualSelect | LambdaElement | UpdateBase | Extract):
            _refuse(f"{type(element).__name__} may not stand in a statement: what it reads can't be told.")
        elif isinstance(getattr(element, "operator", None), custom_op):
            _refuse("An operator of one's own holds text: what it reads can't be told.")
        else:
            self._all(element.get_children(), scope)

    def change(self, statement: Insert | Update | Delete) -> None:
        """What is written isn't read; what it is made of, what is returned, or selected to be written, is."""
        _without_text(statement)
        if not isinstance(statement.table, Table):
            _refuse("A change names a mapped class.")
        target = _plain(statement.table)
        conflicts = _conflicts(statement)
        returned, own, values = _Scope(), _Scope(written=None if statement._returning else target), _Scope()
        for element in statement._returning:
            self._whole(element)
            self.element(element, returned)
        self._all(_values(statement, conflicts), values)
        if conflicts and _personal(target) and (statement._returning or values.named or values.bare):
            _refuse(f"{target.name}: what an insert with a conflict clause returns, or writes, may be another's row.")
        for scope in (returned, values):
            self._enter(scope, set(scope.named))
        chosen = set(self.reads.entities)
        self._all(_conditions(statement, conflicts), own)
        if not statement._returning:
            # A condition, also one with a subquery, decides what is changed, which is its author's to answer for.
            self.reads.entities = chosen
        for scope in (returned, values, own):
            if ({_table(entity) for entity in scope.named} | scope.bare) - {target}:
                _refuse(f"{target.name} may not be changed from another table's columns: select them first.")

    def _all(self, elements: Iterable[Any], scope: _Scope) -> None:
        for element in elements:
            self.element(element, scope)

    def _select(self, statement: Any, *, star: bool = False) -> None:
        if not isinstance(statement, Select):
            self.element(statement, _Scope())
            return
        _without_text(statement)
        scope = _Scope()
        labels = _labels(statement)
        for element in _children(statement, "_correlate", "_correlate_except"):
            if not (star and _is_star(element)) and id(element) not in labels:
                self.element(element, scope)
        for element in statement._raw_columns:
            self._whole(element)
        self._enter(scope, set(_anchors(statement)))
        _by_the_orm(statement, {entity.mapper for entity in scope.named})

    def _whole(self, element: Any) -> None:
        """`select(Entity)` names its columns nowhere but here."""
        if isinstance(element, FromClause):
            for column in element.columns:
                self._touch(column)

    def _enter(self, scope: _Scope, anchored: set[Any]) -> None:
        for entity in scope.named - anchored:
            if _personal(entity.mapper.local_table):
                _refuse(f"{entity.mapper.local_table.name} must be selected from, or joined, by its mapped class.")
        entered = {_table(entity) for entity in anchored}
        if not self._plain_tables:
            for table in scope.bare - entered:
                if _personal(table):
                    _refuse(f"{table.name} is a plain table here: select its mapped class.")
        self.reads.entities.update(entity.mapper for entity in scope.named)

    def _column(self, column: ColumnClause[Any], scope: _Scope) -> None:
        if column.table is None:
            _refuse("A column without its table may not stand in a statement: what it reads can't be told.")
        if scope.written is None or scope.written not in (base.table for base in column.base_columns):
            self._touch(column)
        entity = column._annotations.get(_ENTITY)
        if entity is not None:
            self._name(entity, scope)
        elif isinstance(column.table, Table):
            scope.bare.add(_plain(column.table))
        else:
            self._from(column.table, scope)

    def _touch(self, column: Any) -> None:
        for base in column.base_columns:
            if isinstance(base, Column) and isinstance(base.table, Table):
                self.reads.columns.add(base.table.columns[base.key])
                self.reads.tables.add(base.table)

    def _name(self, entity: Any, scope: _Scope) -> None:
        if entity in scope.named:
            return
        scope.named.add(entity)
        selectable = entity.selectable
        if entity.is_aliased_class and not (isinstance(selectable, Alias) and isinstance(selectable.element, Table)):
            self._from(selectable, _Scope())

    def _from(self, element: FromClause, scope: _Scope) -> None:
        entity = element._annotations.get(_ENTITY)
        if isinstance(element, Join):
            _refuse("A join is made by `select().join()`, so that whose rows are joined is known.")
        if isinstance(element, Table):
            self.reads.tables.add(_plain(element))
            if entity is None:
                scope.bare.add(_plain(element))
            else:
                self._name(entity, scope)
        elif isinstance(element, Values | TableSample):
            _refuse(
                f"{type(element).__name__} may not stand in a statement: SQLAlchemy doesn't show what it is made of."
            )
        elif isinstance(element, TableClause):
            _refuse(f"{element.name} is no declared table.")
        elif id(element) not in self._seen:
            self._seen.add(id(element))
            _without_text(element)
            if entity is not None:
                self._name(entity, scope)
                if isinstance(element, Alias) and isinstance(element.element, Table):
                    self.reads.tables.add(_plain(element.element))
                    return
            inner = _Scope()
            self._all((element.element,) if isinstance(element, AliasedReturnsRows) else element.get_children(), inner)
            self._enter(inner, set())


def _anchors(statement: Select[Any]) -> Iterator[Any]:
    """Classes and aliases that SQLAlchemy adds loader criteria for: those selected, selected from, joined, or compared."""
    for element in (*statement._raw_columns, *(e for m in statement._memoized_select_entities for e in m._raw_columns)):
        # Of an expression with several it takes the first.
        yield element._annotations.get(_ENTITY) or _first_mark(element, _ENTITY)
    for element in statement._from_obj:
        yield element._annotations.get(_ENTITY)
    for joins in (statement._setup_joins, *(m._setup_joins for m in statement._memoized_select_entities)):
        for target, _, _, flags in joins:
            if flags["full"]:
                _refuse("A full join keeps rows that the other side doesn't have: nothing of it would be filtered.")
            yield target._annotations.get(_ENTITY)
    for criterion in statement._where_criteria:
        for element in _surface(criterion):
            yield element._annotations.get(_ENTITY)


def _by_the_orm(statement: Any, entities: set[Mapper[Any]]) -> None:
    """Loader criteria are the ORM's: a statement that it doesn't take for its own gets none."""
    if statement._propagate_attrs.get("compile_state_plugin") != "orm":
        for table in (mapper.local_table for mapper in entities):
            if _personal(table):
                _refuse(f"{table.description} must be selected from, or joined, by its mapped class.")


def _children(statement: Any, *but: str) -> Iterable[Any]:
    """What was written into it. SQLAlchemy's own `get_children` adds each column's table, without the class's mark."""
    return HasTraverseInternals.get_children(statement, omit_attrs=but)


def _labels(statement: Select[Any]) -> set[int]:
    """Orders and groups by what the statement selects under that label. SQLAlchemy takes a selected label first, and else
    a table's column of that name."""
    selected = {each.name for each in statement._raw_columns if isinstance(each, Label)}
    return {
        id(each)
        for each in (*statement._order_by_clauses, *statement._group_by_clauses)
        if isinstance(each, _textual_label_reference) and each.element in selected
    }


def _conflicts(statement: Any) -> list[Any]:
    found = getattr(statement, "_post_values_clause", None)
    conflicts = [] if found is None else [found]
    for each in conflicts:
        if not isinstance(each, sqlite.dml.OnConflictClause | postgresql.dml.OnConflictClause):
            _refuse("An insert takes one conflict clause, and nothing else behind its values.")
        if not all(isinstance(column, str | Column) for column in each.inferred_target_elements or ()):
            _refuse("A conflict is one of columns.")
    return conflicts


def _values(statement: Any, conflicts: list[Any]) -> Iterator[Any]:
    """What is written is made of these: not the columns written, which SQLAlchemy's traversal gives as well, but the values
    of an INSERT of several rows, which it leaves out."""
    yield from _children(statement, "_where_criteria", "_returning", "table", "_values", "_post_values_clause")
    several = [row for rows in getattr(statement, "_multi_values", ()) for row in rows]
    written = [getattr(each, "update_values_to_set", None) for each in conflicts]
    for row in (getattr(statement, "_values", None), *several, *written):
        for value in row.values() if isinstance(row, Mapping) else row or ():
            if isinstance(value, ClauseElement):
                yield value


def _conditions(statement: Any, conflicts: list[Any]) -> Iterator[Any]:
    yield from getattr(statement, "_where_criteria", ())
    for each in conflicts:
        for condition in (each.inferred_target_whereclause, getattr(each, "update_whereclause", None)):
            if condition is not None:
                yield condition


def _is_known(function: FunctionElement[Any]) -> bool:
    return getattr(function, "name", None) in FUNCTIONS and not getattr(function, "packagenames", ())


def _without_text(element: Any) -> None:
    for name in ("_prefixes", "_suffixes", "_hints", "_statement_hints"):
        if getattr(element, name, None):
            _refuse("A statement with a prefix, a suffix or a hint holds text: what it reads can't be told.")


def _selected(element: Exists) -> Any:
    inner: Any = element.element
    while not isinstance(inner, SelectBase):
        inner = inner.element
    return inner


def _is_star(element: Any) -> bool:
    return isinstance(element, ColumnClause) and element.table is None and element._is_star


def _plain(table: Table) -> Table:
    found: Table = table.metadata.tables[table.key]
    return found


def _table(entity: Any) -> Table | None:
    return entity.mapper.local_table if entity is not None and not entity.is_aliased_class else None


def _personal(table: Any) -> bool:
    """Whether rows of it may be a person's; of a table that isn't declared here nobody knows."""
    if "store" not in table.metadata.info:
        return True
    declared = (column.info.get("declaration") for column in table.columns)
    return any(isinstance(each, Declaration) and each.personal for each in declared)


def _refuse(why: str) -> Never:
    raise UseRefused(why)
