"""Rows out of copies that nobody restored: what is read is what the database held, however nasty."""

import asyncio
import os
import shutil
import sqlite3
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Uuid,
    delete,
    insert,
    select,
)

from governance.backup import create, read
from governance.backup.copy import copy_store
from governance.backup.draft import draft
from governance.backup.erase_check import wanted
from governance.datamap import Base, Store
from governance.db import Database, UtcDateTime
from governance.errors import Rejected
from governance.ids import uuid7
from governance.vault.keys import KeyStore
from tests.governance.backup.rows import add_mail, everything

Stores = tuple[Database, KeyStore]
NASTY = Table(
    'na"sty Table',
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("text", Text, nullable=True),
    Column('odd "name", x', String, nullable=True),
    Column("raw", LargeBinary, nullable=True),
    Column("at", UtcDateTime, nullable=True),
    Column("day", Date, nullable=True),
    Column("flag", Boolean, nullable=True),
    Column("number", BigInteger, nullable=True),
    Column("float", Float, nullable=True),
    Column("exact", Numeric(30, 10), nullable=True),
    Column("json", JSON(none_as_null=True), nullable=True),
)
NAMES = [column.name for column in NASTY.columns]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.sampled_from(
    [
        "\\N",
        "\\.",
        "\\",
        "\t",
        "\n",
        "\r\n",
        "COPY public.t (a) FROM stdin;",
        "\\\n\\.\n",
        "",
        "\\x00",
        "\x0b\x0c\x08",
        "\x85\u2028",
    ]
)
json_values = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | texts, lambda part: st.lists(part) | st.dictionaries(texts, part)
)
rows = st.fixed_dictionaries(
    {
        "id": st.uuids(),
        "text": st.none() | texts,
        'odd "name", x': st.none() | texts,
        "raw": st.none() | st.binary(),
        "at": st.none() | st.datetimes(timezones=st.just(UTC)),
        "day": st.none() | st.dates(),
        "flag": st.none() | st.booleans(),
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "float": st.none() | st.floats(allow_nan=False),
        "exact": st.none() | st.decimals(-(10**19), 10**19, places=10),
        "json": st.none() | json_values,
    }
)


def by_id(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda row: str(row["id"]))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=st.lists(rows, max_size=25, unique_by=lambda row: row["id"]))
def test_a_real_dump_reads_as_the_database_does(
    fresh_postgres: str, tmp_path: Path, made: list[dict[str, Any]]
) -> None:
    async def through() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        db = Database(fresh_postgres)
        try:
            async with db.engine.begin() as connection:
                await connection.run_sync(NASTY.metadata.create_all)
                await connection.execute(delete(NASTY))
                if made:
                    await connection.execute(insert(NASTY), made)
                held = [dict(row) for row in (await connection.execute(select(NASTY))).mappings()]
            with draft(tmp_path / "dump") as opened:
                await copy_store(db, opened.path, opened.fd, lambda _: None)
                with read.opened(opened.path, tmp_path) as copy:
                    assert copy.tables() == {NASTY.name}
                    return held, [row for _, row in copy.rows({NASTY: NAMES})]
        finally:
            await db.aclose()

    held, found = asyncio.run(through())
    assert by_id(found) == by_id(held)
    assert [row["id"] for row in by_id(held)] == [row["id"] for row in by_id(made)]


async def test_a_dump_does_not_depend_on_the_servers_settings(fresh_postgres: str, tmp_path: Path) -> None:
    db = Database(fresh_postgres)
    at, raw = datetime(2026, 3, 1, 23, 30, tzinfo=UTC), b"\0\\x\xff"
    row = {"id": uuid7(), "raw": raw, "at": at, "exact": Decimal("1.5"), "day": date(2026, 1, 2)}
    name = db.engine.url.database
    async with db.engine.begin() as connection:
        for setting in ("bytea_output = escape", "datestyle = 'SQL, DMY'", "timezone = 'Asia/Kolkata'"):
            await connection.exec_driver_sql(f"ALTER DATABASE {name} SET {setting}")
        await connection.run_sync(NASTY.metadata.create_all)
        await connection.execute(insert(NASTY), row)
    with draft(tmp_path / "dump") as opened:
        await copy_store(db, opened.path, opened.fd, lambda _: None)
        with read.opened(opened.path, tmp_path) as copy:
            ((_, found),) = copy.rows({NASTY: ["raw", "at", "day"]})
    await db.aclose()
    assert found == {"raw": raw, "at": at, "day": date(2026, 1, 2)}


async def test_declared_rows_of_a_backup_read_as_they_rest(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    for number in range(30):
        await add_mail(data, keys, f"n{number}")
    out = tmp_path / "b"
    await create.create_data(create.Order(out, timedelta(days=1), 0), data, keys.db)
    wanted_all = {table: [column.name for column in table.columns] for table in Base.metadata.sorted_tables}
    found: dict[str, list[Any]] = {}
    with read.opened(out, tmp_path / "run") as copy:
        for name, row in copy.rows(wanted_all):
            found.setdefault(name, []).append(tuple(row.values()))
    held = {name: rows for name, rows in (await everything(data, Store.DATA)).items() if rows}
    assert {name: sorted(rows, key=repr) for name, rows in found.items()} == held
    assert len(found["outbox"]) == 30


async def test_a_raw_copy_with_its_wal_is_read_and_not_changed(tmp_path: Path) -> None:
    live = tmp_path / "live.db"
    connection = sqlite3.connect(live)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("CREATE TABLE outbox (id CHAR(32), recipient BLOB)")
    connection.execute("INSERT INTO outbox VALUES (?, ?)", ("0" * 32, b"only in the wal"))
    connection.commit()
    folder = tmp_path / "copied"
    folder.mkdir()
    for end in ("", "-wal"):
        shutil.copyfile(f"{live}{end}", folder / f"old.db{end}")
    connection.close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with read.opened(folder / "old.db", tmp_path / "run") as copy:
        assert copy.tables() == {"outbox"}
        # Columns and tables that the copy doesn't have are left out.
        ((name, row),) = copy.rows(wanted())
    assert (name, row["recipient"], set(row)) == ("outbox", b"only in the wal", {"id", "recipient"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("start", [b"SQLite format 3\0", b"PGDMP", b"VAPIBKUP", b"nothing"])
def test_what_is_no_copy_is_refused(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "b").write_bytes(start + os.urandom(9000))
    with pytest.raises(Rejected), read.opened(tmp_path / "b", tmp_path / "run") as copy:
        list(copy.rows(wanted()))
