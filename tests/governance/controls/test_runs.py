"""Every run leaves its result, its evidence and, where it failed, one incident: together, or not at all."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from governance import clock
from governance.bodies import attestation
from governance.controls import waiting
from governance.controls.control import ControlResult, Outcome
from governance.controls.registry import Registry
from governance.controls.runs import ControlRun, Runs
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import NotFound
from governance.evidence import pending
from governance.evidence.entry import EntryType
from governance.evidence.log import Log
from governance.evidence.pending import DataEvidence
from governance.ids import uuid7
from governance.incidents import opening
from governance.period import Period
from governance.vault.keys import KeyStore
from tests.governance.controls.made import CODE, FAILED, PASSED, UNPROVEN, Made, Other

LATER = datetime(2099, 1, 1, tzinfo=UTC)
Later = Callable[[timedelta], None]


@pytest.fixture
async def kept(data: Database, stores: tuple[Database, KeyStore]) -> Runs:
    return Runs(data, await attestation.signer(*stores))


async def evidence(db: Database) -> list[dict[str, object]]:
    found = await pending.newest(Store.DATA, db, 100)
    return [dict(entry.detail) for _, entry in reversed(found) if entry.type is EntryType.CONTROL_RUN]


async def test_a_run_is_recorded_with_its_evidence(kept: Runs, data: Database) -> None:
    registry = Registry([Made(PASSED), Other(UNPROVEN)])
    for control in registry:
        await kept.run(control, CODE)
    last = await kept.latest()
    assert {name: run.outcome for name, run in last.items()} == {"made": Outcome.PASSED, "other": Outcome.UNPROVEN}
    common = {"code": CODE, "failed": 0}
    assert await evidence(data) == [
        {"control": "made", "result": "passed", "examined": 3, **common},
        {"control": "other", "result": "unproven", "examined": 0, **common},
    ]
    [(_, newest), *_] = await pending.newest(Store.DATA, data, 1)
    assert last["other"].evidence_id == newest.id
    assert await opening.listed(data) == []


async def test_failing_runs_of_one_control_are_one_incident(kept: Runs, data: Database, event_log: Path) -> None:
    control = Made(FAILED)
    Registry([control])
    first, second = [await kept.run(control, CODE) for _ in range(2)]
    [incident] = await opening.listed(data)
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
async def test_a_control_that_cannot_look_has_failed(kept: Runs, data: Database, error: Exception, said: str) -> None:
    async def look() -> ControlResult:
        raise error

    control = Made(look)
    Registry([control])
    run = await kept.run(control, CODE)
    assert run.outcome is Outcome.FAILED and run.failures == (said,)


async def test_a_control_that_does_not_end_is_cut_off_and_has_failed(kept: Runs, data: Database) -> None:
    async def look() -> ControlResult:
        await asyncio.Event().wait()
        raise AssertionError

    control = type("Slow", (Made,), {"seconds_max": 0.05})(look)
    Registry([control])
    run = await kept.run(control, CODE)
    assert run.failures == ("It didn't come to an end within 0.05 seconds.",)


async def test_a_run_that_is_called_off_leaves_nothing(kept: Runs, data: Database) -> None:
    began = asyncio.Event()

    async def look() -> ControlResult:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    control = Made(look)
    registry = Registry([control])
    task = asyncio.create_task(kept.run(control, CODE))
    await began.wait()
    assert await kept.latest() == {}  # it goes on
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with data.session(DataUse.SECURITY) as session:
        assert await session.scalar(select(func.count()).select_from(ControlRun)) == 0
    assert waiting.by_cadence(registry, await kept.latest()) == [control]


async def test_result_evidence_and_incident_are_one_change(
    kept: Runs, data: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise OSError

    control = Made(FAILED)
    Registry([control])
    monkeypatch.setattr(opening, "open_or_add", broken)
    with pytest.raises(OSError, match=r"^$"):
        await kept.run(control, CODE)
    assert await evidence(data) == [] and await kept.latest() == {}


async def test_a_run_whose_process_was_killed_has_failed(kept: Runs, data: Database, later: Later) -> None:
    registry = Registry([Made(PASSED)])
    code = "import sys; from tests.governance.controls import killed; killed.main(sys.argv[1])"
    url = data.engine.url.render_as_string(hide_password=False)
    process = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, url], capture_output=True, check=False
    )
    assert process.returncode == -9
    assert await kept.latest() == {}  # it may still go on
    later(timedelta(minutes=2))
    run = (await kept.latest())["made"]
    assert run.outcome is Outcome.FAILED and run.evidence_id is None
    for _ in range(2):
        await kept.bury(registry)
    run = (await kept.latest())["made"]
    assert run.outcome is Outcome.FAILED and run.evidence_id is not None and "died" in run.failures[0]
    assert len(await evidence(data)) == len(await opening.listed(data)) == 1


async def test_what_is_due_by_cadence_and_what_shows_nothing_any_more(kept: Runs, data: Database, later: Later) -> None:
    registry = Registry([Made(PASSED), Other(UNPROVEN)])
    made, other = registry
    assert waiting.by_cadence(registry, {}) == waiting.without_fresh_pass(registry, {}) == [made, other]
    for control in registry:
        await kept.run(control, CODE)
    last = await kept.latest()
    assert waiting.by_cadence(registry, last) == [] and waiting.without_fresh_pass(registry, last) == [other]
    later(timedelta(hours=1))
    assert waiting.by_cadence(registry, last) == [made, other] and waiting.without_fresh_pass(registry, last) == [other]
    later(timedelta(hours=2))
    assert waiting.without_fresh_pass(registry, last) == [made, other]


async def test_a_control_that_nothing_runs_any_more_opens_one_incident(
    kept: Runs, data: Database, later: Later
) -> None:
    registry = Registry([Made(PASSED), Other(PASSED)])
    await kept.run(registry.get("made"), CODE)  # the other never ran: it is new
    await kept.open_stale(registry)
    assert await opening.listed(data) == []
    later(timedelta(hours=3))
    for _ in range(2):
        await kept.open_stale(registry)
    [incident] = await opening.listed(data)
    assert incident.control == "made" and "hasn't run" in incident.found[0]


async def test_a_run_that_was_removed_beside_its_entry_is_a_failure(kept: Runs, data: Database) -> None:
    registry = Registry([Made(PASSED), Other(PASSED)])
    for control in registry:
        await kept.run(control, CODE)
    failing = Made(FAILED)
    Registry([failing])
    bad = await kept.run(failing, CODE)
    assert {name: run.outcome for name, run in (await kept.judged()).items()} == {
        "made": Outcome.FAILED, "other": Outcome.PASSED,
    }  # fmt: skip
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(ControlRun).where(ControlRun.id == bad.id))
    assert (await kept.latest())["made"].outcome is Outcome.PASSED  # the older one would stand again
    found = (await kept.judged())["made"]
    assert found.outcome is Outcome.FAILED and "removed" in found.failures[0] and found.evidence_id == bad.evidence_id
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(ControlRun))
    assert {name: run.outcome for name, run in (await kept.judged()).items()} == dict.fromkeys(
        ("made", "other"), Outcome.FAILED
    )
    # A run that follows answers for itself.
    await kept.run(failing, CODE)
    assert "removed" not in (await kept.judged())["made"].failures[0]


@pytest.mark.parametrize("changed", [{"control": "other"}, {"ended_at": None, "ends_by": LATER}])
async def test_a_failing_run_that_is_called_another_or_said_to_go_on_is_a_failure(
    kept: Runs, data: Database, changed: dict[str, object]
) -> None:
    Registry([Made(PASSED), Other(PASSED)])
    await kept.run(Made(PASSED), CODE)
    bad = await kept.run(Made(FAILED), CODE)
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(update(ControlRun).where(ControlRun.id == bad.id).values(changed))
    found = (await kept.judged())["made"]
    assert found.outcome is Outcome.FAILED and "removed from the store or changed" in found.failures[0]


async def test_a_clock_that_was_ahead_hides_nothing_that_came_after(
    kept: Runs, data: Database, stores: tuple[Database, KeyStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "log", *stores, "log.example.com")
    good, bad = Made(PASSED), Made(FAILED)
    Registry([good])
    ahead = time.time_ns() + 10**9 * 86_400
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time_ns", lambda: ahead)  # what ids are made of
        wrong.setattr(clock, "_now", lambda: datetime.now(UTC) + timedelta(days=1))
        early = await kept.run(good, CODE)
    assert not early.fresh(Period.parse("P9D"))  # it shows nothing of a time that is yet to come
    await log.advance()
    await kept.run(bad, CODE)
    for _ in range(2):  # before it has its position, and with it
        assert (await kept.latest())["made"].outcome is Outcome.FAILED
        await log.advance()
    # Nor does one whose entry is gone come to the front.
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(DataEvidence).where(DataEvidence.id == early.evidence_id))
    assert (await kept.latest())["made"].outcome is Outcome.FAILED
    assert (await kept.judged())["made"].outcome is Outcome.FAILED


async def test_the_newest_runs_of_a_control_come_first(kept: Runs, data: Database) -> None:
    control = Made(PASSED)
    Registry([control])
    await kept.run(control, CODE)
    control.look = FAILED
    await kept.run(control, CODE)
    assert [each.outcome for each in await kept.history("made")] == [Outcome.FAILED, Outcome.PASSED]
    assert (await kept.latest())["made"].outcome is Outcome.FAILED


FORGED = {
    "outcome": "passed", "examined": 99, "failed": 0, "failures": [], "missing": "x", "counts": {"a": 1}, "control": "made",
    "code": "cd" * 32, "started_at": LATER, "ended_at": LATER, "entry_id": uuid7(), "attestation": "",
}  # fmt: skip


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
@pytest.mark.parametrize("field", FORGED)
async def test_a_row_that_was_not_signed_as_it_is_is_a_failed_run(kept: Runs, data: Database, field: str) -> None:
    control = Other(ControlResult(3, ("a", "b"), counts={"b": 2}))
    Registry([control, Made(PASSED)])
    run = await kept.run(control, CODE)
    signer = kept._signer
    told = signer.opened(run.attestation)
    assert told["predicate"]["result"] == "failed" and told["predicate"]["evidence"] == str(run.evidence_id)
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(update(ControlRun).values({field: FORGED[field]}))
    [found] = (await kept.latest()).values()
    assert found.outcome is Outcome.FAILED and found.failures == (
        "The record of the run isn't what this service signed.",
    )
