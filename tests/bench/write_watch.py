"""What the audit hook costs a request: its CPU time without and with the hook, the audited events that it raises, and what
the hook takes for each kind.

A hook can't be taken away, so each variant runs in a forked process of its own; they take turns, and the best round counts.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

import router.migrations.tables  # noqa: F401
from governance.bodies import write_watch
from governance.bodies.write_watch import Declared
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from governance.vault.mirrors import DataMirror, LogMirror
from governance.vault.permitted import Permitted
from governance.vault.purpose import Actor, stating
from governance.vault.staff_opening import StaffLog
from policies import retention
from tests.router.billing.book import Flaky
from tests.router.gateway.rig import rigged
from tests.router.gateway.scripted import says, serving
from tests.services import tables

ROUNDS = 5
REQUESTS = 300
TIMES = 50_000
ANSWER = (
    b'{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}'
)
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


def in_a_process_of_its_own(measure: Callable[[], float]) -> float:
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        os.write(writing, repr(measure()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        figure = float(told.read())
    os.waitpid(process, 0)
    return figure


def watch() -> None:
    write_watch.install(Declared(Path("/nowhere"), ((Path("/nowhere"), "x"),)), strict=False)


async def requests(begin: Callable[[], None]) -> float:
    """Chats through the gateway and its journal, one after the other; CPU microseconds each, upstream included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        urls = [await tables.sqlite(folder / f"{store}.db", store) for store in (Store.DATA, Store.KEYS)]
        data, keys_db = Flaky(urls[0]), Database(urls[1])
        mirrors = DataMirror(data), LogMirror(folder)
        keyring = FileKeyring.create(folder / "root.key")
        keys = KeyStore(keys_db, keyring, limits=retention.load().limits(), mirrors=mirrors)
        data.context["keys"] = keys
        Permitted(data, keys)
        StaffLog(keys)
        with stating(Actor.SYSTEM, *DataUse):
            async with serving(says(REPLY)) as server, rigged(folder, data, keys, server.url, per_minute=10**9) as rig:
                for _ in range(20):
                    assert (await rig.ask().done()).status == 200
                begin()
                begun = time.process_time_ns()
                for _ in range(REQUESTS):
                    await rig.ask().done()
                taken = (time.process_time_ns() - begun) / REQUESTS / 1000
        await data.aclose()
        await keys_db.aclose()
        return taken


def events_of_a_request() -> float:
    number = [0]

    def count(_event: str, _arguments: tuple[object, ...]) -> None:
        number[0] += 1

    asyncio.run(requests(lambda: sys.addaudithook(count)))
    return number[0] / REQUESTS


def each(event: str, *arguments: object) -> float:
    """CPU nanoseconds that the hook takes for one event within a request."""

    def taken() -> float:
        begun = time.process_time_ns()
        for _ in range(TIMES):
            sys.audit(event, *arguments)
        return (time.process_time_ns() - begun) / TIMES

    with stating(Actor.GATEWAY):
        before = min(taken() for _ in range(ROUNDS))
        watch()
        return min(taken() for _ in range(ROUNDS)) - before


def main() -> None:
    variants: dict[str, Callable[[], None]] = {"without the hook": lambda: None, "with the hook": watch}
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(ROUNDS):
        for name, begin in variants.items():
            best[name] = min(best[name], in_a_process_of_its_own(lambda begin=begin: asyncio.run(requests(begin))))  # type: ignore[misc]
    events = in_a_process_of_its_own(events_of_a_request)
    kinds = {
        "an event that isn't watched": ("socket.connect", None, ("127.0.0.1", 1)),
        "a file opened for reading": ("open", "/nowhere/y", "r", os.O_RDONLY),
        "a declared file opened for writing": ("open", "/nowhere/x", None, os.O_WRONLY),
        "one that isn't declared": ("open", "/nowhere/y", None, os.O_WRONLY),
    }
    shown = Table("what", "us", title="The watch over what requests write, CPU", title_justify="left")
    for name, us in best.items():
        shown.add_row(f"a chat request {name}", f"{us:.0f}")
    for name, event in kinds.items():
        ns = in_a_process_of_its_own(lambda event=event: each(*event))  # type: ignore[misc]
        shown.add_row(f"the hook: {name}", f"{ns / 1000:.2f}")
        if name.startswith("an event"):
            shown.add_row(f"{events:.0f} audited events a request, at that", f"{events * ns / 1000:.1f}")
    Console().print(shown)


if __name__ == "__main__":
    main()
