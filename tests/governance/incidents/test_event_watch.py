"""What the event log says becomes an incident once, whoever reads it, however often, and after a kill too."""

import asyncio
import base64
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance import events
from governance.datamap import Store
from governance.db import Database
from governance.evidence import event_log, pending
from governance.evidence.entry import EntryType
from governance.incidents import event_watch, opening
from governance.incidents.event_watch import WATCHED
from governance.vault import event_signature
from tests.governance.incidents.conftest import Stores
from tests.governance.incidents.test_opening import entries

HIT = {"sink": "sql", "place": "router/x.py:1", "bytes": 40, "hash": "0" * 16}


@pytest.fixture
async def log(stores: Stores, event_log: Path) -> AsyncIterator[Path]:
    """The folder of a log whose lines are signed."""
    pending.attach(*stores)
    await event_signature.sign_events(stores[1], event_log.parent)
    yield event_log.parent
    events.sign_with(None)


async def take(stores: Stores, folder: Path) -> int:
    """How many entries that made."""
    return await event_log.take_over(folder, stores[0], event_watch.watch(stores[1]))


async def seen(db: Database) -> dict[str | None, int]:
    return {row.control: row.runs for row in await opening.listed(db)}


async def test_a_watched_event_is_an_incident_and_others_are_none(stores: Stores, log: Path) -> None:
    db = stores[0]
    assert await take(stores, log) == 0
    events.emit("account:role:changed", {"role": "legal"})
    for place in ("router/x.py:1", "router/y.py:2", "router/x.py:1"):
        events.emit("bodies:guard:hit", HIT | {"place": place})
    events.emit("vault:value:broken", {"table": "usage", "column": "client", "row": "7"})
    assert await take(stores, log) == 1 and await take(stores, log) == 0
    broken, hit = sorted(await opening.listed(db), key=lambda row: row.runs)
    assert (hit.control, hit.cause, hit.runs, hit.severity) == ("bodies:guard:hit", "event", 3, "high")
    assert hit.found == ["sink sql, place router/x.py:1", "sink sql, place router/y.py:2"]
    assert broken.found == ["table usage, column client"]
    assert sorted(kind for kind, _ in await entries(db)) == [
        EntryType.EVENTS_RECORDED, EntryType.INCIDENT_OPENED, EntryType.INCIDENT_OPENED,
    ]  # fmt: skip


async def test_many_readers_count_each_line_once(stores: Stores, log: Path) -> None:
    db = stores[0]
    events.emit("bodies:guard:hit", HIT)
    await take(stores, log)
    for _ in range(20):
        events.emit("bodies:guard:hit", HIT)
    counted = await asyncio.gather(*(take(stores, log) for _ in range(8)))
    assert sum(counted) == 1 and await seen(db) == {"bodies:guard:hit": 21}


async def test_what_isnt_committed_is_read_again(stores: Stores, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = stores[0]
    events.emit("bodies:guard:hit", HIT)

    async def dies(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr(opening, "open_or_count", dies)
        with pytest.raises(OSError, match=r"^$"):
            await take(stores, log)
    assert await entries(db) == []
    assert await take(stores, log) == 1
    assert await seen(db) == {"bodies:guard:hit": 1}


async def test_it_goes_on_in_the_next_segment(stores: Stores, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = stores[0]
    monkeypatch.setattr(events, "SEGMENT_BYTES_MAX", 400)
    for number in range(3):
        events.emit("bodies:guard:hit", HIT | {"place": f"a.py:{number}"})
    await take(stores, log)
    for number in range(9):
        events.emit("bodies:guard:hit", HIT | {"place": f"b.py:{number}"})
    assert len(events.segments(log)) > 3
    await take(stores, log)
    [row] = await opening.listed(db)
    assert row.runs == 12 and len(row.found) == 12


async def test_segments_that_are_touched_or_removed_change_nothing(
    stores: Stores, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = stores[0]
    monkeypatch.setattr(events, "SEGMENT_BYTES_MAX", 400)
    for number in range(6):
        events.emit("bodies:guard:hit", HIT | {"place": f"a.py:{number}"})
    await take(stores, log)
    first, second, *_ = events.segments(log)
    os.utime(second)
    assert events.segments(log)[:2] == [first, second]
    assert await take(stores, log) == 0
    first.unlink()
    events.emit("bodies:guard:hit", HIT)
    assert await take(stores, log) >= 1 and await take(stores, log) == 0
    assert await seen(db) == {"bodies:guard:hit": 7}


async def test_an_older_copy_of_a_segment_counts_nothing_twice(stores: Stores, log: Path) -> None:
    db, file = stores[0], log / "events.jsonl"
    events.emit("bodies:guard:hit", HIT)
    old = file.read_bytes()
    events.emit("bodies:guard:hit", HIT)
    await take(stores, log)
    with file.open("r+b") as cut:
        cut.truncate(len(old))
    await take(stores, log)
    events.emit("bodies:guard:hit", HIT)
    await take(stores, log)
    assert await seen(db) == {"bodies:guard:hit": 3}
    entries_ = [entry for _, entry in await pending.newest(Store.DATA, db, 99)]
    assert event_log.differences(log, entries_)


async def test_a_line_that_isnt_signed_by_our_key_is_no_such_event_and_isnt_hidden(stores: Stores, log: Path) -> None:
    """Whoever can append to the file can put a key of their own beside it as well."""
    db, forger = stores[0], Ed25519PrivateKey.generate()
    with (log / event_signature.PUBLIC).open("a") as keys:
        keys.write(base64.b64encode(forger.public_key().public_bytes_raw()).decode() + "\n")
    events.sign_with(lambda line: base64.b64encode(forger.sign(line)).decode())
    events.emit("bodies:guard:hit", HIT)
    events.sign_with(None)
    events.emit("bodies:guard:hit", HIT)
    events.emit("vault:key:bulk", {"actor": "job"})
    events.emit("account:role:changed", {"role": "legal"})
    await take(stores, log)
    [row] = await opening.listed(db)
    assert (row.control, row.cause, row.severity, row.runs) == ("events:log:unsigned", "event", "medium", 2)
    assert row.found == ["2 of bodies:guard:hit", "1 of vault:key:bulk"]


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_lines_that_arent_ours_and_half_lines_are_passed_over(stores: Stores, log: Path) -> None:
    db = stores[0]
    events.emit("bodies:guard:hit", HIT)
    whole = json.dumps({"event": "vault:key:bulk", "actor": "job"}).encode()
    with (log / "events.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n[]\n{"event": []}\n7\nnull\n' + whole[:10])
    await take(stores, log)
    assert await seen(db) == {"bodies:guard:hit": 1}
    with (log / "events.jsonl").open("ab") as file:
        file.write(whole[10:] + b"\n")
    await take(stores, log)
    assert await seen(db) == {"bodies:guard:hit": 1, "events:log:unsigned": 1}


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_two_machines_have_a_log_each(stores: Stores, log: Path, tmp_path: Path) -> None:
    db: Database = stores[0]
    events.emit("bodies:guard:hit", HIT)
    other = tmp_path / "other"
    events.open_sink(other)
    events.emit("bodies:guard:hit", HIT)
    for _ in range(2):
        for folder in (log, other):
            await take(stores, folder)
    assert await seen(db) == {"bodies:guard:hit": 2}


def test_what_is_watched_is_said_somewhere() -> None:
    """An event that is renamed where it is emitted would be watched for in vain."""
    root = Path(__file__).parents[3]
    source = "".join(
        path.read_text()
        for package in ("governance", "router")
        for path in (root / package).rglob("*.py")
        if path.name != "event_watch.py"
    )
    assert [event for event in WATCHED if not re.search(f'"{event}"', source)] == []
