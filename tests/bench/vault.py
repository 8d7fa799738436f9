"""What sealing costs: per value, against bare AES-256-GCM, and per request, against the same journal record in plain.

Each figure is the best of several rounds of CPU time; the variants of one comparison take turns within a round, so that
a noisy machine disturbs them alike.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from rich.console import Console
from rich.table import Table

import router.migrations.tables  # noqa: F401
from governance import clock
from governance.datamap import METADATA, DataUse, Store
from governance.db import Database
from governance.ids import uuid7
from governance.subjects import new_subject
from governance.vault import envelope
from governance.vault.columns import seal
from governance.vault.envelope import Key
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from governance.vault.purpose import Actor, stating
from policies import retention
from router.billing import journal
from router.billing.meter_event import MeterEvent
from router.billing.usage_log import Usage

ROUNDS = 7
TIMES = 2000

KEY, LIMIT = Key(uuid7(), os.urandom(32)), Key(uuid7(), os.urandom(32))
CONTEXT = envelope.column_context(214, uuid7(), uuid7())
VALUE = msgspec.msgpack.encode("ada.lovelace@example.org")


def cpu_us(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds of CPU a call, the best round of each."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            begun = time.process_time_ns()
            for _ in range(TIMES):
                work()
            best[name] = min(best[name], (time.process_time_ns() - begun) / TIMES / 1000)
    return best


def values() -> dict[str, float]:
    """Sealing and opening one e-mail address."""
    bare = AESGCM(KEY.secret)
    under_one = envelope.seal(KEY, VALUE, CONTEXT)
    under_two = envelope.seal(KEY, VALUE, CONTEXT, limit=LIMIT)
    sealed_bare = bare.encrypt(bytes(12), VALUE, CONTEXT)
    return cpu_us(
        {
            "AES-256-GCM alone, encrypt": lambda: bare.encrypt(os.urandom(12), VALUE, CONTEXT),
            "seal under one key": lambda: envelope.seal(KEY, VALUE, CONTEXT),
            "seal under two keys": lambda: envelope.seal(KEY, VALUE, CONTEXT, limit=LIMIT),
            "AES-256-GCM alone, decrypt": lambda: bare.decrypt(bytes(12), sealed_bare, CONTEXT),
            "open under one key": lambda: envelope.open_envelope(KEY, under_one, CONTEXT),
            "open under two keys": lambda: envelope.open_envelope(KEY, under_two, CONTEXT, limit=LIMIT),
        }
    )


def event(subject_id: UUID) -> MeterEvent:
    return MeterEvent(
        request_id=uuid7(), account_id=uuid7(), subject_id=subject_id, api_key_id=uuid7(),
        at_ms=time.time_ns() // 1_000_000, endpoint="chat", model="gpt", provider="openai", input_tokens=1200,
        cached_input_tokens=0, cache_write_tokens=0, output_tokens=300, estimated=False, charge_microcredits=4321, latency_ms=900,
        first_byte_ms=300, status=200, outcome="completed", ip="203.0.113.9", user_agent="OpenAI/Python 3.57.0",
    )  # fmt: skip


def request() -> dict[str, float]:
    """The journal record that a request waits for."""
    one, lease = event(uuid7()), uuid7()
    plain = msgspec.msgpack.Encoder().encode
    fields = {name: getattr(one, name) for name in one.__slots__}
    return cpu_us(
        {
            "journal record, plain": lambda: plain(fields),
            "journal record, sealed": lambda: journal.seal_record(one, lease, KEY, LIMIT),
        }
    )


async def rows(folder: Path) -> dict[str, float]:
    """The usage row that follows it, off the request's path: address and user agent sealed under two keys each."""
    data, keys_db = (Database(f"sqlite+aiosqlite:///{folder}/{name}.db") for name in ("data", "keys"))
    for db, store in ((data, Store.DATA), (keys_db, Store.KEYS)):
        async with db.engine.begin() as connection:
            await connection.run_sync(METADATA[store].create_all)
    keyring = FileKeyring.create(folder / "root.key")
    keys = KeyStore(keys_db, keyring, limits=retention.load().limits(), cache_seconds=3600)
    subject = await new_subject(keys)
    with stating(Actor.SYSTEM, DataUse.SECURITY):
        best = await _sealed_and_opened(keys, subject)
    await data.aclose()
    await keys_db.aclose()
    return best


async def _sealed_and_opened(keys: KeyStore, subject: UUID) -> dict[str, float]:
    best: dict[str, float] = {}
    row = Usage(id=uuid7(), subject_id=subject)
    for _ in range(ROUNDS):
        begun = time.process_time_ns()
        for _ in range(TIMES):
            await seal(keys, row, at=clock.now(), ip="203.0.113.9", user_agent="OpenAI/Python 3.57.0")
        taken = (time.process_time_ns() - begun) / TIMES / 1000
        best["usage row, two values sealed"] = min(best.get("usage row, two values sealed", taken), taken)
        begun = time.process_time_ns()
        for _ in range(TIMES):
            await row.ip.open(DataUse.SECURITY)  # type: ignore[union-attr]
        taken = (time.process_time_ns() - begun) / TIMES / 1000
        best["usage row, one value opened"] = min(best.get("usage row, one value opened", taken), taken)
    return best


async def destructions(folder: Path) -> dict[str, float]:
    """One erasure among 2,000 subjects, root key and log included; wall time, since it waits for the disk."""
    db = Database(f"sqlite+aiosqlite:///{folder}/many.db")
    async with db.engine.begin() as connection:
        await connection.run_sync(METADATA[Store.KEYS].create_all)
    keys = KeyStore(db, FileKeyring.create(folder / "many.key"))
    subjects = [uuid7() for _ in range(2000)]
    begun = time.perf_counter()
    for subject in subjects:
        await keys.create_subject_key(subject)
    made = (time.perf_counter() - begun) / len(subjects) * 1e6
    begun = time.perf_counter()
    for subject in subjects[:50]:
        await keys.erase_subject(subject)
    erased = (time.perf_counter() - begun) / 50 * 1e6
    await db.aclose()
    return {"make a subject's key (wall)": made, "erase a subject among 2,000 (wall)": erased}


def show(console: Console, title: str, figures: dict[str, float], against: dict[str, str]) -> None:
    shown = Table("what", "us", "per second", "ratio", title=title, title_justify="left")
    for name, us in figures.items():
        base = figures[against[name]] if name in against else None
        shown.add_row(name, f"{us:.1f}", f"{1e6 / us:,.0f}", f"{us / base:.1f} x" if base else "")
    console.print(shown)


def main() -> None:
    console = Console()
    encrypt, decrypt = "AES-256-GCM alone, encrypt", "AES-256-GCM alone, decrypt"
    show(console, "One value, CPU", values(), {
        "seal under one key": encrypt, "seal under two keys": encrypt,
        "open under one key": decrypt, "open under two keys": decrypt,
    })  # fmt: skip
    show(console, "One request, CPU", request(), {"journal record, sealed": "journal record, plain"})
    with tempfile.TemporaryDirectory() as folder:
        show(console, "Behind it, CPU", asyncio.run(rows(Path(folder))), {})
        show(console, "Keys on SQLite", asyncio.run(destructions(Path(folder))), {})


if __name__ == "__main__":
    main()
