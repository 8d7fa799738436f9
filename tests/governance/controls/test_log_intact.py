"""The control over the log itself: it fails where the log, the event log or the stores aren't as they were recorded."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete

from governance import events
from governance.controls.control import Outcome
from governance.controls.log_intact import LogIntact
from governance.datamap import DataUse
from governance.db import Database
from governance.evidence import event_log, own, pending
from governance.evidence.log import Log
from governance.evidence.pending import DataEvidence
from governance.evidence.verify import Report
from governance.vault.keys import KeyStore
from tests.governance.evidence.test_log import add

Stores = tuple[Database, KeyStore]


@pytest.fixture
def log(stores: Stores, tmp_path: Path) -> Log:
    pending.attach(*stores)
    return Log(tmp_path / "log" / "transparency", *stores, "log.example.com")


@pytest.fixture
def control(log: Log, tmp_path: Path) -> LogIntact:
    async def of_events(report: Report) -> list[str]:
        return await asyncio.to_thread(event_log.differences, tmp_path / "log", report.entries)

    return LogIntact(lambda: own.check(log), of_events)


async def filled(stores: Stores, log: Log, folder: Path) -> None:
    await add(stores[0], 3)
    await log.advance()  # the log begins with its first round
    events.open_sink(folder)
    await events.emit_async("tests:line:written", {"number": 1})
    await event_log.take_over(folder, stores[0])
    await log.advance()


async def test_a_log_that_is_whole_passes_and_none_is_unproven(
    stores: Stores, log: Log, control: LogIntact, tmp_path: Path
) -> None:
    assert (await control.run()).outcome is Outcome.UNPROVEN
    await filled(stores, log, tmp_path / "log")
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.examined == found.counts["opened"] == 4


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", ["tile", "entry", "event"])
async def test_what_was_changed_fails_it(
    stores: Stores, log: Log, control: LogIntact, tmp_path: Path, what: str
) -> None:
    await filled(stores, log, tmp_path / "log")
    if what == "entry":
        async with stores[0].transaction(DataUse.SECURITY) as session:
            await session.execute(delete(DataEvidence).where(DataEvidence.position == 1))
    else:
        file = tmp_path / "log" / ("events.jsonl" if what == "event" else "transparency/tile/0/000.p/4")
        data = file.read_bytes()
        file.write_bytes(data[:20] + bytes((data[20] ^ 1,)) + data[21:])
    found = await control.run()
    assert found.outcome is Outcome.FAILED and found.failures
