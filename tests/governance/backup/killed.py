"""A process that kills itself at its n-th durable step, before or after it; run in a forkserver's child."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from governance.backup import create, in_use, registry, restore
from governance.backup import postgres as postgres_programs
from governance.backup.container import read_key
from governance.backup.expiry import key_file_of
from governance.datamap import Store
from governance.db import Database
from governance.vault.keyring_file import FileKeyring
from tests.governance.backup.rooted import RootedKeys, adopter

STEPS = ("fsync", "link", "replace", "unlink")
SERVERS = multiprocessing.get_context("forkserver")
SERVERS.set_forkserver_preload([__name__])


class Trap:
    """Counts steps; SIGKILL at number `step`, before it is done or right after."""

    def __init__(self, step: int, after: bool) -> None:
        self.left, self.after = step, after

    def _reached(self) -> bool:
        self.left -= 1
        self._kill(self.left == 0 and not self.after)
        return self.left == 0

    @staticmethod
    def _kill(now: bool) -> None:
        if now:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def trapped(*args: Any, **options: Any) -> Any:
            ours = self._reached()
            try:
                return real(*args, **options)
            finally:
                self._kill(ours)

        return trapped

    def wrap_async(self, real: Callable[..., Any]) -> Callable[..., Any]:
        async def trapped(*args: Any, **options: Any) -> Any:
            ours = self._reached()
            try:
                return await real(*args, **options)
            finally:
                self._kill(ours)

        return trapped


def _set(trap: Trap) -> None:
    for name in STEPS:
        setattr(os, name, trap.wrap(getattr(os, name)))
    registry.record = trap.wrap_async(registry.record)
    # After the start of pg_dump or pg_restore: it runs, and is orphaned.
    asyncio.create_subprocess_exec = trap.wrap_async(asyncio.create_subprocess_exec)
    postgres_programs.run = trap.wrap_async(postgres_programs.run)


async def act(action: str, urls: dict[str, str], home: str, out: str, *, force: bool = False) -> None:
    """One backup or restore of one store."""
    data, keys_db = Database(urls["data"]), Database(urls["keys"])
    keys = RootedKeys(keys_db, FileKeyring(Path(home) / "root.key"))
    file, run_folder = Path(out), Path(home) / "run"
    order = create.Order(file, timedelta(days=30), 1)
    if action == "create data":
        await create.create_data(order, data, keys_db)
    elif action == "create keys":
        await create.create_keys(order, keys, key_file_of(file), run_folder)
    else:
        rows = await registry.rows(keys_db)
        await data.aclose()
        await keys_db.aclose()
        lock = in_use.alone(run_folder)
        if action == "restore data":
            source = restore.choose(file, Store.DATA, rows, force=force)
            await restore.restore_data(source, urls["data"], lock, run_folder)
        else:
            source = restore.choose(file, Store.KEYS, rows, force=force)
            secret, adopt = read_key(key_file_of(file)), adopter(keys.keyring)
            await restore.restore_keys(source, urls["keys"], lock, run_folder, secret, adopt, rows)
        os.close(lock)
        return
    await data.aclose()
    await keys_db.aclose()


def child(step: int, after: bool, action: str, urls: dict[str, str], home: str, out: str) -> None:
    _set(Trap(step, after))
    asyncio.run(act(action, urls, home, out))


def kill_at(step: int, after: bool, action: str, urls: dict[str, str], home: str, out: str) -> bool:
    """Whether the child was killed; False where it came to its end first."""
    process = SERVERS.Process(target=child, args=(step, after, action, urls, home, out))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), "the child failed"
    return process.exitcode != 0
