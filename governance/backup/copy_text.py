"""PostgreSQL's COPY text format, as pg_restore writes it (PostgreSQL documentation, COPY, "Text Format")."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Boolean, Date, DateTime, Float, Integer, LargeBinary, Numeric, Uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from governance.errors import Rejected

_START = re.compile(r'COPY (?:(?:"(?:[^"]|"")*"|[^". ]+)\.)?("(?:[^"]|"")*"|[^". ]+) \((.*)\) FROM stdin;')
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^", ]+)')
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)", re.DOTALL)
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


def _text(raw: bytes) -> str:
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Rejected("The dump isn't in UTF-8.") from None


def _names(text: str) -> list[str]:
    return [quoted.replace('""', '"') if quoted else plain for quoted, plain in _NAME.findall(text)]


def _escaped(found: re.Match[str]) -> str:
    said = found[1]
    if said[0] in "01234567":
        return chr(int(said, 8))
    if len(said) > 1:
        return chr(int(said[1:], 16))
    return _LETTERS.get(said, said)


def _field(text: str) -> str | None:
    if text == "\\N":
        return None
    return _ESCAPE.sub(_escaped, text) if "\\" in text else text


def parse(lines: Iterable[bytes]) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Rows of every COPY block of a script: table name (without schema) and each column's text, None for NULL.

    Lines end with one newline byte each. Raises Rejected where a block is cut or a row doesn't fit its columns.
    """
    name, columns = "", None
    for raw in lines:
        line = _text(raw)
        if columns is None:
            found = _START.fullmatch(line)
            if found is not None:
                name, columns = _names(found[1])[0], _names(found[2])
        elif line == "\\.":
            columns = None
        else:
            fields = line.split("\t") if columns else []
            if len(fields) != len(columns):
                raise Rejected("The dump holds a row that doesn't fit its columns.")
            yield name, dict(zip(columns, map(_field, fields), strict=True))
    if columns is not None:
        raise Rejected("The dump is cut short.")


def value(text: str | None, kind: TypeEngine[Any]) -> Any:
    """A column's text as the value that its mapped type yields; a sealed column yields its envelope's bytes."""
    plain = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    try:
        made = _plain(text, plain) if text is not None else None
    except (ValueError, ArithmeticError):
        raise Rejected("The dump holds a value that isn't of its column's type.") from None
    if isinstance(kind, TypeDecorator) and not getattr(kind, "seals", False):
        return kind.process_result_value(made, _POSTGRESQL)
    return made


def _plain(text: str, kind: TypeEngine[Any]) -> object:
    match kind:
        case Uuid():
            return UUID(text)
        case LargeBinary():
            if not text.startswith("\\x"):
                raise Rejected("The dump writes bytes in another form than hex (bytea_output).")
            return bytes.fromhex(text[2:])
        case DateTime():
            return datetime.fromisoformat(text)
        case Date():
            return date.fromisoformat(text)
        case Boolean():
            return text == "t"
        case Integer():
            return int(text)
        case Float():
            return float(text)
        case Numeric():
            return Decimal(text)
        case JSON():
            return json.loads(text)
    return text
