"""Key channels and processes on them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from governance.datamap import KeysBase
from governance.db import Database
from tests.governance.vault.channel_driver import Process


@pytest.fixture
async def postgres_keys(fresh_postgres: str) -> str:
    """URL of a key store on PostgreSQL, its tables made."""
    database = Database(fresh_postgres)
    async with database.engine.begin() as connection:
        await connection.run_sync(KeysBase.metadata.create_all)
    await database.aclose()
    return fresh_postgres


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """`start(role, url, *rest)`: a process on the channel of that key store; ended with the test."""
    started: list[Process] = []

    def begin(role: str, url: str, *rest: str) -> Process:
        started.append(Process(role, url, tmp_path / "run", *rest))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
