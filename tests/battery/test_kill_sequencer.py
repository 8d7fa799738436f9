"""SIGKILL before and after every durable step of the sequencer: it goes on, and no entry is lost or taken in twice."""

import asyncio
import os
from pathlib import Path

import pytest

from governance.datamap import Store
from governance.vault.keyring_file import FileKeyring
from tests.governance.evidence.killed import Opened, Urls, go_on_and_judge, kill_at
from tests.services import tables
from tests.services.postgres import Postgres

WHOLE = bool(os.environ.get("BATTERY"))
FIRST = 126  # of each store: tiles become full while this goes on
STRIDE = 1 if WHOLE else 3
MODES = ["before", "after"] if WHOLE else ["alternating"]


async def made(home: Path, server: Postgres | None) -> Urls:
    urls = {}
    for store in Store:
        made = tables.sqlite(home / f"{store}.db", store) if server is None else tables.postgresql(server, store)
        urls[store] = await made
    FileKeyring.create(home / "root.key")
    async with Opened(urls, home) as opened:
        await opened.add(FIRST)
    return urls


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"] if WHOLE else ["sqlite"])
def test_no_step_of_the_sequencer_loses_or_doubles_an_entry(
    database: str, mode: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    urls = asyncio.run(made(tmp_path, request.getfixturevalue("postgres") if database == "postgresql" else None))

    async def add() -> None:
        async with Opened(urls, tmp_path) as opened:
            await opened.add(1)

    entries, step, killed = 2 * FIRST, 1 - STRIDE, True
    while killed:
        asyncio.run(add())
        entries += 2
        step += STRIDE
        killed = kill_at(step, mode == "after" or (mode == "alternating" and step % 2 == 0), urls, tmp_path)
        asyncio.run(go_on_and_judge(urls, tmp_path, entries))
    assert step > 15
