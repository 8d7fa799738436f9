"""Every run leaves its result, its evidence and, where it failed, one incident: together, or not at all."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from governance.bodies import incidents
from governance.controls import due, runs
from governance.controls.control import ControlResult, Outcome
from governance.controls.registry import Registry
from governance.controls.runs import ControlRun
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import NotFound
from governance.evidence import pending
from governance.evidence.entry import EntryType
from tests.governance.controls.made import CODE, FAILED, PASSED, UNPROVEN, Made, Other

Later = Callable[[timedelta], None]


async def evidence(db: Database) -> list[dict[str, object]]:
    found = await pending.newest(Store.DATA, db, 100)
    return [dict(entry.detail) for _, entry in reversed(found) if entry.type is EntryType.CONTROL_RUN]


async def test_a_run_is_recorded_with_its_evidence(data: Database) -> None:
    registry = Registry([Made(PASSED), Other(UNPROVEN)])
    for control in registry:
        await runs.run(data, control, CODE)
    last = await runs.latest(data)
    assert {name: run.outcome for name, run in last.items()} == {"made": Outcome.PASSED, "other": Outcome.UNPROVEN}
    common = {"code": CODE, "failed": 0}
    assert await evidence(data) == [
        {"control": "made", "result": "passed", "examined": 3, **common},
        {"control": "other", "result": "unproven", "examined": 0, **common},
    ]
    [(_, newest), *_] = await pending.newest(Store.DATA, data, 1)
    assert last["other"].evidence_id == newest.id
    assert await incidents.listed(data) == []


async def test_failing_runs_of_one_control_are_one_incident(data: Database, event_log: Path) -> None:
    control = Made(FAILED)
    Registry([control])
    first, second = [await runs.run(data, control, CODE) for _ in range(2)]
    [incident] = await incidents.listed(data)
    assert (incident.control, incident.runs, incident.found) == ("made", 2, list(FAILED.failures))
    assert first.outcome is second.outcome is Outcome.FAILED and second.failures == FAILED.failures
    assert [each["failed"] for each in await evidence(data)] == [1, 1]
    said = [json.loads(line) for line in event_log.read_text().splitlines()]
    assert [(each["event"], each["control"]) for each in said] == [("controls:check:failed", "made")] * 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotFound("The folder isn't there."), "It couldn't look: The folder isn't there."),
        (ValueError("kanarie@example.org"), "It couldn't look: ValueError."),
    ],
)
async def test_a_control_that_cannot_look_has_failed(data: Database, error: Exception, said: str) -> None:
    async def look() -> ControlResult:
        raise error

    control = Made(look)
    Registry([control])
    run = await runs.run(data, control, CODE)
    assert run.outcome is Outcome.FAILED and run.failures == (said,)


async def test_a_control_that_does_not_end_is_cut_off_and_has_failed(data: Database) -> None:
    async def look() -> ControlResult:
        await asyncio.Event().wait()
        raise AssertionError

    control = type("Slow", (Made,), {"seconds_max": 0.05})(look)
    Registry([control])
    run = await runs.run(data, control, CODE)
    assert run.failures == ("It didn't come to an end within 0.05 seconds.",)


async def test_a_run_that_is_called_off_leaves_nothing(data: Database) -> None:
    began = asyncio.Event()

    async def look() -> ControlResult:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    control = Made(look)
    registry = Registry([control])
    task = asyncio.create_task(runs.run(data, control, CODE))
    await began.wait()
    assert await runs.latest(data) == {}  # it goes on
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with data.session(DataUse.SECURITY) as session:
        assert await session.scalar(select(func.count()).select_from(ControlRun)) == 0
    assert due.by_cadence(registry, await runs.latest(data)) == [control]


async def test_result_evidence_and_incident_are_one_change(data: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise OSError

    control = Made(FAILED)
    Registry([control])
    monkeypatch.setattr(incidents, "open_or_add", broken)
    with pytest.raises(OSError, match=r"^$"):
        await runs.run(data, control, CODE)
    assert await evidence(data) == [] and await runs.latest(data) == {}


async def test_a_run_whose_process_was_killed_has_failed(data: Database, later: Later) -> None:
    registry = Registry([Made(PASSED)])
    code = "import sys; from tests.governance.controls import killed; killed.main(sys.argv[1])"
    url = data.engine.url.render_as_string(hide_password=False)
    process = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, url], capture_output=True, check=False
    )
    assert process.returncode == -9
    assert await runs.latest(data) == {}  # it may still go on
    later(timedelta(minutes=2))
    run = (await runs.latest(data))["made"]
    assert run.outcome is Outcome.FAILED and run.evidence_id is None
    for _ in range(2):
        await runs.bury(data, registry)
    run = (await runs.latest(data))["made"]
    assert run.outcome is Outcome.FAILED and run.evidence_id is not None and "died" in run.failures[0]
    assert len(await evidence(data)) == len(await incidents.listed(data)) == 1


async def test_what_is_due_by_cadence_and_what_shows_nothing_any_more(data: Database, later: Later) -> None:
    registry = Registry([Made(PASSED), Other(UNPROVEN)])
    made, other = registry
    assert due.by_cadence(registry, {}) == due.without_fresh_pass(registry, {}) == [made, other]
    for control in registry:
        await runs.run(data, control, CODE)
    last = await runs.latest(data)
    assert due.by_cadence(registry, last) == [] and due.without_fresh_pass(registry, last) == [other]
    later(timedelta(hours=1))
    assert due.by_cadence(registry, last) == [made, other] and due.without_fresh_pass(registry, last) == [other]
    later(timedelta(hours=2))
    assert due.without_fresh_pass(registry, last) == [made, other]


async def test_a_control_that_nothing_runs_any_more_opens_one_incident(data: Database, later: Later) -> None:
    registry = Registry([Made(PASSED), Other(PASSED)])
    await runs.run(data, registry.get("made"), CODE)  # the other never ran: it is new
    await runs.open_stale(data, registry)
    assert await incidents.listed(data) == []
    later(timedelta(hours=3))
    for _ in range(2):
        await runs.open_stale(data, registry)
    [incident] = await incidents.listed(data)
    assert incident.control == "made" and "hasn't run" in incident.found[0]


async def test_the_newest_runs_of_a_control_come_first(data: Database) -> None:
    control = Made(PASSED)
    Registry([control])
    await runs.run(data, control, CODE)
    control.look = FAILED
    await runs.run(data, control, CODE)
    assert [each.outcome for each in await runs.history(data, "made")] == [Outcome.FAILED, Outcome.PASSED]
    assert (await runs.latest(data))["made"].outcome is Outcome.FAILED
