"""What the event log says becomes an incident once, whoever reads it, however often, and after a kill too."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from governance import events
from governance.db import Database
from governance.incidents import event_watch, opening
from governance.incidents.event_watch import WATCHED
from tests.governance.incidents.conftest import Stores
from tests.governance.incidents.test_opening import entries

HIT = {"sink": "sql", "place": "router/x.py:1", "bytes": 40, "hash": "0" * 16}


@pytest.fixture
def log(event_log: Path) -> Path:
    return event_log.parent


async def test_a_watched_event_is_an_incident_and_others_are_none(stores: Stores, log: Path) -> None:
    db = stores[0]
    assert await event_watch.take_over(log, db) == 0
    events.emit("account:role:changed", {"role": "legal"})
    for place in ("router/x.py:1", "router/y.py:2", "router/x.py:1"):
        events.emit("bodies:guard:hit", HIT | {"place": place})
    events.emit("vault:value:broken", {"table": "usage", "column": "client", "row": "7"})
    assert await event_watch.take_over(log, db) == 4 and await event_watch.take_over(log, db) == 0
    broken, hit = sorted(await opening.listed(db), key=lambda row: row.runs)
    assert (hit.control, hit.cause, hit.runs, hit.severity) == ("bodies:guard:hit", "event", 3, "high")
    assert hit.found == ["sink sql, place router/x.py:1", "sink sql, place router/y.py:2"]
    assert broken.found == ["table usage, column client"]
    assert len(await entries(db)) == 2


async def test_many_readers_count_each_line_once(stores: Stores, log: Path) -> None:
    db = stores[0]
    events.emit("bodies:guard:hit", HIT)
    await event_watch.take_over(log, db)
    for _ in range(20):
        events.emit("bodies:guard:hit", HIT)
    counted = await asyncio.gather(*(event_watch.take_over(log, db) for _ in range(8)))
    [row] = await opening.listed(db)
    assert sum(counted) == 20 and row.runs == 21


async def test_what_isnt_committed_is_read_again(stores: Stores, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = stores[0]
    events.emit("bodies:guard:hit", HIT)

    async def dies(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr(opening, "open_or_count", dies)
        with pytest.raises(OSError, match=r"^$"):
            await event_watch.take_over(log, db)
    assert await event_watch.take_over(log, db) == 1
    assert (await opening.listed(db))[0].runs == 1


async def test_it_goes_on_in_the_next_segment(stores: Stores, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = stores[0]
    monkeypatch.setattr(events, "SEGMENT_BYTES_MAX", 400)
    for number in range(3):
        events.emit("bodies:guard:hit", HIT | {"place": f"a.py:{number}"})
    await event_watch.take_over(log, db)
    for number in range(9):
        events.emit("bodies:guard:hit", HIT | {"place": f"b.py:{number}"})
    assert len(events.segments(log)) > 3
    assert await event_watch.take_over(log, db) == 9
    [row] = await opening.listed(db)
    assert row.runs == 12 and len(row.found) == 12


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_lines_that_arent_ours_and_half_lines_are_passed_over(stores: Stores, log: Path) -> None:
    db = stores[0]
    events.emit("bodies:guard:hit", HIT)
    whole = json.dumps({"event": "vault:key:bulk", "actor": "job"}).encode()
    with (log / "events.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n[]\n{"event": []}\n7\nnull\n' + whole[:10])
    assert await event_watch.take_over(log, db) == 1
    with (log / "events.jsonl").open("ab") as file:
        file.write(whole[10:] + b"\n")
    assert await event_watch.take_over(log, db) == 1
    assert {row.control for row in await opening.listed(db)} == {"bodies:guard:hit", "vault:key:bulk"}


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_two_machines_have_a_log_each(stores: Stores, log: Path, tmp_path: Path) -> None:
    db: Database = stores[0]
    events.emit("bodies:guard:hit", HIT)
    other = tmp_path / "other"
    events.open_sink(other)
    events.emit("bodies:guard:hit", HIT)
    for _ in range(2):
        for folder in (log, other):
            await event_watch.take_over(folder, db)
    [row] = await opening.listed(db)
    assert row.runs == 2


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
