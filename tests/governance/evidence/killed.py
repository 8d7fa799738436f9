"""A sequencer that kills itself at its n-th durable step, before or after it; run in a forkserver's child."""

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from governance.datamap import DataUse, Store
from governance.db import Database
from governance.evidence import own, pending
from governance.evidence.entry import EntryType
from governance.evidence.log import Log
from governance.ids import uuid7
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from tests.governance.backup.killed import Trap

STEPS = ("fsync", "replace", "unlink", "mkdir")
SERVERS = multiprocessing.get_context("forkserver")
SERVERS.set_forkserver_preload([__name__])
Urls = dict[Store, str]


class Opened:
    """Both stores and their log, for a block."""

    def __init__(self, urls: Urls, home: Path) -> None:
        self.data, keys_db = Database(urls[Store.DATA]), Database(urls[Store.KEYS])
        self.keys = KeyStore(keys_db, FileKeyring(home / "root.key"))
        self.data.context["keys"] = self.keys
        pending.attach(self.data, self.keys)
        self.log = Log(home / "log", self.data, self.keys, "log.example.com")

    async def __aenter__(self) -> "Opened":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.data.aclose()
        await self.keys.db.aclose()

    async def add(self, number: int) -> None:
        """So many entries in each store."""
        for db in (self.data, self.keys.db):
            async with db.transaction(DataUse.SECURITY) as session:
                for _ in range(number):
                    await pending.record(
                        session, EntryType.INCIDENT_CLOSED, detail={"incident": uuid7(), "row": "0" * 64}
                    )


def child(step: int, after: bool, urls: Urls, home: Path) -> None:
    trap = Trap(step, after)
    for name in STEPS:
        setattr(os, name, trap.wrap(getattr(os, name)))

    @event.listens_for(Engine, "commit")
    def _commit(_connection: Any) -> None:
        trap.wrap(lambda: None)()  # before it either way: what comes after it is before the next step

    async def act() -> None:
        async with Opened(urls, home) as opened:
            await opened.log.advance()

    asyncio.run(act())


def kill_at(step: int, after: bool, urls: Urls, home: Path) -> bool:
    """Whether the child was killed; False where it came to its end first."""
    process = SERVERS.Process(target=child, args=(step, after, urls, home))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), "the child failed"
    return process.exitcode != 0


async def go_on_and_judge(urls: Urls, home: Path, entries: int) -> None:
    """The next round finishes what was cut short; every entry is in the log, once."""
    async with Opened(urls, home) as opened:
        published = opened.log.folder.latest()
        done = await opened.log.advance()
        assert done is not None and done.size == entries and not (opened.log.folder.path / "staged").exists()
        report = await own.check(opened.log)
        assert report is not None and report.findings == [] and (report.opened, report.size) == (entries, entries)
        # Whoever saw a checkpoint before the kill sees it again.
        if published is not None:
            assert opened.log.folder.checkpoint_at(published[0].size)[0] == published[0]
