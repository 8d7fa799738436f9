"""The guard at the two stores: parameters of every statement, and what a statement's own text quotes.

A parameter that holds a fragment of a body is replaced: by NULL where its column may be, else by a mark that differs
from value to value, so that a unique column takes it. Numbers, times and ids are never texts of 32 bytes, so money and
keys go on as they were.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import JSON, Column, Uuid, event

from governance import sinks
from governance.bodies.content import LEAST, encoded
from governance.bodies.guards import Guard
from governance.db import Database
from governance.sinks import Sink

_QUOTED: Final = re.compile(
    r"'(?:[^']|'')*'" r'|"(?:[^"]|"")*"' r"|\$(\w*)\$.*?\$\1\$" r"|/\*.*?\*/" r"|--[^\n]*", re.DOTALL
)
_INSTEAD: Final = {"'": "'withheld'", "$": "'withheld'", '"': '"withheld"', "/": "/* withheld */", "-": "--"}
_NUMBERED: Final = re.compile(r"(?:_m\d+|__\d+)$")
_TEXTUAL: Final = (str, bytes, bytearray, memoryview, list, tuple, dict)  # SQLite's driver wraps bytes
_HEX: Final = re.compile(r"[0-9a-f]{32}")
_PLAIN_MAX: Final = 1000


def watch_engine(database: Database, guard: Guard) -> None:
    """Look at every statement of this store's engine, executed once or with many rows, before a cursor gets it."""
    plain: set[str] = set()  # statements that quote nothing long

    def unquoted(statement: str) -> str:
        if statement in plain:
            return statement
        found = [token[0] for token in _QUOTED.finditer(statement) if len(token[0]) >= LEAST]
        if not found:
            if len(plain) < _PLAIN_MAX:
                plain.add(statement)
            return statement
        for token in found:
            if sinks.withholds(Sink.SQL, _meant(token)):
                statement = statement.replace(token, _INSTEAD[token[0]])
        return statement

    def look(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        if executemany and isinstance(parameters, list):
            rows: Any = [_row(guard, each, context) for each in parameters]
            return unquoted(statement), rows
        return unquoted(statement), _row(guard, parameters, context)

    event.listen(database.engine.sync_engine, "before_cursor_execute", look, retval=True)


def _meant(token: str) -> str:
    """What a literal or a quoted name says: a quote in it is written twice."""
    quote = token[0]
    return token[1:-1].replace(quote * 2, quote) if quote in "'\"" else token


def _row(guard: Guard, row: Any, context: Any) -> Any:
    if isinstance(row, Mapping):
        found = [name for name, value in row.items() if _withheld(value, context, name)]
        return {**row, **{name: _instead(guard, row[name], _column(context, name)) for name in found}} if found else row
    if not isinstance(row, Sequence):
        return row
    told = getattr(getattr(context, "compiled", None), "positiontup", None) or ()
    # Of rows that were put together into one statement nobody tells the names.
    names: Sequence[str | None] = told if len(told) == len(row) else [None] * len(row)
    places = [place for place, value in enumerate(row) if _withheld(value, context, names[place])]
    if not places:
        return row
    values = list(row)
    for place in places:
        values[place] = _instead(guard, values[place], _column(context, names[place]))
    return type(row)(values)  # type: ignore[call-arg]


def _withheld(value: object, context: Any, name: str | None) -> bool:
    if not isinstance(value, _TEXTUAL) or _is_id(value, context, name):
        return False
    return sinks.withholds(Sink.SQL, value) or (
        isinstance(value, str) and _escapes(value) and sinks.withholds(Sink.SQL, _decoded(value))
    )


def _escapes(value: str) -> bool:
    """Whether it may be a JSON column's text, in which what isn't ASCII, a quote or a new line is written otherwise."""
    return "\\" in value and value[:1] in ("{", "[", '"')


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _is_id(value: object, context: Any, name: str | None) -> bool:
    """An id is bound as one, and is nothing else; SQLite takes it as text. Where nobody tells, its form does."""
    if not isinstance(value, str) or len(value) != LEAST or not _HEX.fullmatch(value):
        return False
    bound = (getattr(getattr(context, "compiled", None), "binds", None) or {}).get(name)
    return bound is None or isinstance(bound.type, Uuid)


def _column(context: Any, name: str | None) -> Column[Any] | None:
    """The column that an INSERT or UPDATE gives this parameter to."""
    if name is None:
        return None
    table = getattr(getattr(getattr(context, "compiled", None), "statement", None), "table", None)
    columns = getattr(table, "c", None)
    return columns.get(_NUMBERED.sub("", name)) if columns is not None else None


def _instead(guard: Guard, value: Any, column: Column[Any] | None) -> Any:
    if column is not None and column.nullable:
        return None
    if column is not None and isinstance(column.type, JSON):
        return "null"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"withheld-{guard.digest(bytes(value))}".encode()
    if isinstance(value, str):
        mark = f"withheld-{guard.digest(encoded(value))}"
        return mark[: getattr(column.type, "length", None) or len(mark)] if column is not None else mark
    return type(value)()
