"""Samples the columns of a store and looks for personal data that their declarations don't name.

A column that holds text and isn't sealed can hold an address that nobody declared: a failure's words, a key made from a
name, a field of a JSON document. Looked at are all of them, whether declared as nobody's or as something of a person's: a
find counts as undeclared where the column's category doesn't cover it. Numbers, times and UUIDs hold no text and aren't
read; sealed values aren't opened. What is read never leaves the function: a result has counts, places and scores.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import JSON, Column, LargeBinary, Select, String, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeDecorator

from governance.datamap import AtRest, Base, DataUse, DeclaredColumn, KeysBase, Store, registry
from governance.db import Database
from governance.personal_data.detection import Search, find, surest
from governance.personal_data.kinds import CATEGORY, Kind

_BASES: Final = {Store.DATA: Base, Store.KEYS: KeysBase}
_UNREADABLE: Final = (AtRest.SEALED, AtRest.WRAPPED)
_PREFERRED: Final = (DataUse.SECURITY, DataUse.LEGAL_OBLIGATION)
_PLACES: Final = 8  # how many places random rows are taken from


@dataclass(slots=True)
class Tally:
    """Finds of one kind: in how many values, and the surest one's score."""

    values: int = 0
    score_max: float = 0.0

    def add(self, score: float) -> None:
        self.values += 1
        self.score_max = max(self.score_max, score)


@dataclass(slots=True)
class ColumnSample:
    """What was seen of one column. `rows`: read; `values`: not empty, and looked at; `characters`: of them.

    `undeclared`: finds that its declaration doesn't cover; `declared`: those that it does. `whole`: every row that was
    meant to be sampled was looked at within the time.
    """

    column: DeclaredColumn
    use: DataUse
    rows: int = 0
    values: int = 0
    characters: int = 0
    whole: bool = True
    undeclared: dict[Kind, Tally] = field(default_factory=dict)
    declared: dict[Kind, Tally] = field(default_factory=dict)


def sampled(store: Store) -> list[DeclaredColumn]:
    """The columns of a store that are looked at: of types that hold text or bytes, and not sealed or wrapped."""
    return [
        each
        for each in registry()
        if each.store is store
        and each.declaration.at_rest not in _UNREADABLE
        and isinstance(_plain_type(_column(each)), String | JSON | LargeBinary)
    ]


async def sample_columns(
    database: Database,
    store: Store,
    *,
    rows: int = 200,
    characters: int = 2_000,
    seconds: float = 60.0,
    search: Search = find,
) -> AsyncIterator[ColumnSample]:
    """One result a column of `sampled`. Of each up to `rows` rows, half the newest by primary key and half at random;
    of each value its first and last `characters`, in which `search` looks; all of it within `seconds`, shared evenly by the
    columns left. Each is read as `read_some` says.
    """
    columns = sampled(store)
    ends = time.monotonic() + seconds
    for number, column in enumerate(columns):
        now = time.monotonic()
        share = max(0.0, ends - now) / (len(columns) - number)
        yield await _sample(database, column, rows, characters, now + share, search)


async def _sample(
    database: Database, declared: DeclaredColumn, rows: int, characters: int, until: float, search: Search
) -> ColumnSample:
    use, values = await read_some(database, declared, rows)
    result = ColumnSample(declared, use, len(values))
    # Most columns hold a few words again and again: each is looked at once.
    counted = Counter(_cut(_text(value), characters) for value in values if value not in (None, "", b""))
    for text, times in counted.items():
        if time.monotonic() >= until:
            result.whole = False
            break
        result.values += times
        result.characters += len(text)
        for kind, score in (await asyncio.to_thread(surest, search, text)).items():
            covered = covers(declared.declaration.data_category, kind)
            tally = (result.declared if covered else result.undeclared).setdefault(kind, Tally())
            for _ in range(times):
                tally.add(score)
    return result


async def read_some(database: Database, declared: DeclaredColumn, rows: int) -> tuple[DataUse, list[Any]]:
    """Values of up to `rows` rows, half the newest by primary key and half at random, and the use that they were read for:
    security, else a legal obligation, else the first that the column declares. Sealed ones are handles, not opened."""
    use = _use(declared)
    async with database.session(use) as session:
        return use, await _values(session, declared, rows)


def _use(declared: DeclaredColumn) -> DataUse:
    """One that every personal column that is read declares: the column itself, and its key."""
    uses = set(DataUse) if not declared.declaration.personal else set(declared.declaration.data_uses)
    for each in (key.info["declaration"] for key in _key(declared)):
        if each.personal:
            uses &= each.data_uses
    return next((each for each in _PREFERRED if each in uses), min(uses, default=DataUse.SECURITY))


def covers(category: str, kind: Kind) -> bool:
    """Whether a column declared as holding `category` may hold such a thing: the same category, or one above or below."""
    needed = CATEGORY[kind]
    return category != "user" and (
        category == needed or needed.startswith(category + ".") or category.startswith(needed + ".")
    )


async def _values(session: AsyncSession, declared: DeclaredColumn, rows: int) -> list[Any]:
    """The newest half, and the rest from places chosen at random between the first and the last key."""
    mapper = _mapper(declared)
    column = _attribute(mapper, _column(declared))
    key = [_attribute(mapper, each) for each in _key(declared)]
    read: dict[tuple[Any, ...], Any] = {}

    async def take(statement: Select[Any]) -> None:
        for row in (await session.execute(statement)).all():
            read[tuple(row[1:])] = row[0]

    newest = [each.desc() for each in key]
    await take(select(column, *key).order_by(*newest).limit(max(1, rows // 2)))
    if len(read) >= max(1, rows // 2):
        first = (await session.execute(select(key[0]).order_by(key[0]).limit(1))).scalar()
        last = (await session.execute(select(key[0]).order_by(key[0].desc()).limit(1))).scalar()
        for _ in range(_PLACES):
            place = between(first, last)
            await take(select(column, *key).where(key[0] >= place).order_by(*key).limit(max(1, rows // 2 // _PLACES)))
    return list(read.values())


def between(first: Any, last: Any) -> Any:
    """A key at random from `first` to `last`: evenly by time for UUIDv7, integers and times; a text's by its first letter."""
    match first:
        case UUID():
            return UUID(int=random.randint(first.int, max(first.int, last.int)))  # noqa: S311  a sample, no secret
        case int():
            return random.randint(first, last)  # noqa: S311
        case datetime():
            return first + timedelta(seconds=random.uniform(0, (last - first).total_seconds()))  # noqa: S311
        case str():
            low, high = (ord(text[0]) if text else 0 for text in (first, last))
            return chr(random.randint(low, max(low, high)))  # noqa: S311
        case _:
            return first


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= 2 * characters else f"{text[:characters]}\n{text[-characters:]}"


def _column(declared: DeclaredColumn) -> Column[Any]:
    return _BASES[declared.store].metadata.tables[declared.table].columns[declared.column]


def _key(declared: DeclaredColumn) -> list[Column[Any]]:
    return list(_column(declared).table.primary_key.columns)


def _plain_type(column: Column[Any]) -> Any:
    return column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type


def _mapper(declared: DeclaredColumn) -> Mapper[Any]:
    table = _BASES[declared.store].metadata.tables[declared.table]
    return next(mapper for mapper in _BASES[declared.store].registry.mappers if mapper.local_table is table)


def _attribute(mapper: Mapper[Any], column: Column[Any]) -> Any:
    return getattr(mapper.class_, mapper.get_property_by_column(column).key)
