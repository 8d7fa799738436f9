"""A store put back as it was, row by row, under a program that has it open."""

from typing import Any

from sqlalchemy import LargeBinary, delete, insert, select, type_coerce

from governance.datamap import METADATA, Store
from governance.db import Database


class OldCopy:
    """Every row of one store; `put_back` leaves that and nothing else."""

    def __init__(self, db: Database, store: Store) -> None:
        self._db = db
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._tables = METADATA[store].sorted_tables

    async def take(self) -> None:
        async with self._db.engine.connect() as connection:
            for table in self._tables:
                columns = [
                    type_coerce(c, LargeBinary).label(c.name) if getattr(c.type, "seals", False) else c
                    for c in table.columns
                ]
                found = await connection.execute(select(*columns))
                self._rows[table.name] = [dict(row._mapping) for row in found]

    async def put_back(self) -> None:
        async with self._db.engine.execution_options(writing=True).begin() as connection:
            for table in reversed(self._tables):
                await connection.execute(delete(table))
            for table in self._tables:
                for row in self._rows[table.name]:
                    sealed = {c.name for c in table.columns if getattr(c.type, "seals", False)}
                    values = {
                        name: type_coerce(value, LargeBinary) if name in sealed else value
                        for name, value in row.items()
                    }
                    await connection.execute(insert(table).values(values))
