"""Jobs run when they are due, once, in one process; what failed, was missed or was cut short runs again."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from governance import clock
from governance.db import Database
from governance.errors import NotFound
from governance.jobs import due
from governance.jobs.due import JobState
from governance.jobs.leader import FileLeader, Leader, leader_of
from governance.jobs.scheduler import Job, Jobs
from governance.period import Period
from governance.vault.keys import KeyStore

HOUR = Period.parse("PT1H")
Stores = tuple[Database, KeyStore]
sqlite = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


class Counted:
    """A job that counts its runs; `work` is what it does."""

    def __init__(self, work: Callable[[], Awaitable[None]] | None = None) -> None:
        self.runs = 0
        self._work = work

    async def __call__(self) -> None:
        self.runs += 1
        if self._work is not None:
            await self._work()

    async def ran(self, times: int = 1) -> None:
        async with asyncio.timeout(5):
            while self.runs < times:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(db: Database, leader: Leader, run: Counted, **options: timedelta) -> AsyncIterator[Jobs]:
    jobs = Jobs(db, leader, [Job("job", HOUR, run, **options)], tick_s=0.05)
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.aclose()


async def state(db: Database) -> JobState:
    [only] = await due.states(db)
    return only


async def until_ended(db: Database, *outcomes: str) -> JobState:
    async with asyncio.timeout(5):
        while (found := await state(db)).outcome is None or (outcomes and found.outcome not in outcomes):
            await asyncio.sleep(0.01)
    return found


async def test_a_job_runs_when_it_is_due_and_then_after_its_interval(stores: Stores, tmp_path: Path) -> None:
    db, run = stores[0], Counted()
    leader = leader_of(db.engine.url.render_as_string(hide_password=False), tmp_path / "run")
    async with running(db, leader, run):
        await run.ran()
        after = await until_ended(db)
        await asyncio.sleep(0.2)
    assert run.runs == 1 and (after.outcome, after.failures) == (due.DONE, 0)
    assert timedelta(minutes=59) < after.due_at - clock.now() <= timedelta(hours=1)


@sqlite
async def test_a_job_that_isnt_due_waits_until_it_is_asked_for(stores: Stores, tmp_path: Path) -> None:
    run = Counted()
    async with running(stores[0], FileLeader(tmp_path), run, first_after=timedelta(minutes=5)):
        await asyncio.sleep(0.3)
        assert run.runs == 0
        await due.sooner(stores[0], "job", clock.now() + timedelta(hours=1))
        await asyncio.sleep(0.1)
        assert run.runs == 0  # that was later
        await due.ask(stores[0], "job")
        await run.ran()
    with pytest.raises(NotFound):
        await due.ask(stores[0], "another")


@sqlite
async def test_what_was_missed_is_caught_up_once(stores: Stores, tmp_path: Path) -> None:
    await due.declare(stores[0], {"job": clock.now() - timedelta(hours=5)})
    run = Counted()
    async with running(stores[0], FileLeader(tmp_path), run):
        await run.ran()
        await asyncio.sleep(0.3)
    assert run.runs == 1


@sqlite
async def test_a_job_that_fails_is_tried_again_later_and_says_so_without_words(
    stores: Stores, tmp_path: Path, event_log: Path
) -> None:
    async def fail() -> None:
        raise ValueError("kanarie@example.org")

    run = Counted(fail)
    async with running(stores[0], FileLeader(tmp_path / "run"), run):
        await run.ran()
        first = await until_ended(stores[0])
        assert (first.outcome, first.failures) == ("ValueError", 1)
        assert timedelta(seconds=50) < first.due_at - clock.now() <= timedelta(minutes=1)
        await due.ask(stores[0], "job")
        await run.ran(2)
        async with asyncio.timeout(5):
            while (second := await state(stores[0])).due_at - clock.now() < timedelta(seconds=100):
                await asyncio.sleep(0.01)
    assert second.failures == 2
    said = [json.loads(line) for line in event_log.read_text().splitlines()]
    assert [(each["event"], each["type"], each["failures"]) for each in said] == [
        ("jobs:job:failed", "ValueError", 1), ("jobs:job:failed", "ValueError", 2),
    ]  # fmt: skip
    assert "kanarie" not in event_log.read_text()


def test_the_wait_after_failures_doubles_up_to_the_interval() -> None:
    async def nothing() -> None: ...

    job = Job("job", HOUR, nothing)
    waits = [(job.retry_at(failures) - clock.now()).total_seconds() for failures in (0, 1, 2, 3, 7, 5000)]
    assert waits == pytest.approx([0, 60, 120, 240, 3600, 3600], abs=1)


@sqlite
async def test_a_run_that_was_cut_short_runs_again_and_the_second_time_later(stores: Stores, tmp_path: Path) -> None:
    db = stores[0]
    await due.declare(db, {"job": clock.now()})
    await due.begin(db, "job")  # and its process died
    run = Counted()
    async with running(db, FileLeader(tmp_path / "one"), run):
        await run.ran()
    await due.ask(db, "job")
    for _ in range(3):
        await due.begin(db, "job")  # it takes down whoever runs it
    again = Counted()
    async with running(db, FileLeader(tmp_path / "two"), again):
        await asyncio.sleep(0.3)
    found = await state(db)
    assert again.runs == 0 and found.outcome == "cut" and found.due_at > clock.now() + timedelta(seconds=60)


@sqlite
async def test_a_shutdown_cuts_a_run_and_leaves_it_due(stores: Stores, tmp_path: Path) -> None:
    db, ended = stores[0], asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    run = Counted(wait)
    async with running(db, FileLeader(tmp_path), run):
        await run.ran()
    assert ended.is_set() and (await state(db)).cut and (await state(db)).due_at <= clock.now()


@sqlite
async def test_a_job_that_is_no_longer_declared_goes(stores: Stores, tmp_path: Path) -> None:
    await due.declare(stores[0], {"old": clock.now(), "job": clock.now()})
    async with running(stores[0], FileLeader(tmp_path), Counted()):
        async with asyncio.timeout(5):
            while [each.name for each in await due.states(stores[0])] != ["job"]:
                await asyncio.sleep(0.01)


@sqlite
async def test_who_doesnt_lead_takes_no_jobs_of_another_version_away(stores: Stores, tmp_path: Path) -> None:
    """Two versions of the program during an upgrade."""
    old, new = Counted(), Counted()
    leads, follows = FileLeader(tmp_path), FileLeader(tmp_path)
    first = Jobs(stores[0], leads, [Job("old", HOUR, old), Job("both", HOUR, old)], tick_s=0.05)
    second = Jobs(stores[0], follows, [Job("new", HOUR, new), Job("both", HOUR, new)], tick_s=0.05)
    await first.start()
    await old.ran(2)
    await second.start()
    await asyncio.sleep(0.3)
    assert {each.name for each in await due.states(stores[0])} == {"old", "both"}
    await first.aclose()
    await new.ran()
    assert {each.name for each in await due.states(stores[0])} == {"new", "both"}
    await second.aclose()


@sqlite
@pytest.mark.parametrize("ran", [False, True], ids=["never ran", "ran"])
async def test_a_due_time_that_nobody_can_have_set_silences_no_job(stores: Stores, tmp_path: Path, ran: bool) -> None:
    run = Counted()
    far = clock.now() + timedelta(days=400)
    if ran:
        async with running(stores[0], FileLeader(tmp_path), run):
            await run.ran()
            await until_ended(stores[0])
        await due.end(stores[0], "job", due.DONE, far)
    else:
        await due.declare(stores[0], {"job": far})
    async with running(stores[0], FileLeader(tmp_path), run):
        await run.ran(2 if ran else 1)
        await asyncio.sleep(0.3)
    assert run.runs == (2 if ran else 1)


async def test_one_leads_and_another_takes_over(stores: Stores, tmp_path: Path) -> None:
    url = stores[0].engine.url.render_as_string(hide_password=False)
    one, two = leader_of(url, tmp_path), leader_of(url, tmp_path)
    assert await one.leads() and not await two.leads() and await one.leads()
    await one.aclose()
    assert await two.leads() and not await one.leads()
    await two.aclose()
    await one.aclose()


@pytest.mark.parametrize("stores", ["postgresql"], indirect=True)
async def test_who_lost_its_connection_leads_no_longer(stores: Stores, tmp_path: Path) -> None:
    url = stores[0].engine.url.render_as_string(hide_password=False)
    one, two = leader_of(url, tmp_path), leader_of(url, tmp_path)
    assert await one.leads()
    one._connection.terminate()  # type: ignore[attr-defined]
    async with asyncio.timeout(5):
        while not await two.leads():  # the server has to notice
            await asyncio.sleep(0.02)
    assert not await one.leads() and not await one.leads()
    await one.aclose()
    await two.aclose()


async def test_a_leader_killed_in_a_run_is_followed_by_one_that_runs_it_again(stores: Stores, tmp_path: Path) -> None:
    url, file = stores[0].engine.url.render_as_string(hide_password=False), tmp_path / "said"

    def process(seconds: str) -> "subprocess.Popen[bytes]":
        arguments = [url, str(tmp_path / "run"), str(file), seconds]
        return subprocess.Popen([sys.executable, "-m", "tests.governance.jobs.worker", *arguments])

    def said(*words: str) -> list[list[str]]:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
            if [line[0] for line in lines] == list(words):
                return lines
            time.sleep(0.02)
        raise AssertionError(lines)

    first = process("60")
    await asyncio.to_thread(said, "begin")
    second = process("0")
    await asyncio.sleep(1.5)  # it waits, and doesn't run what another runs
    assert (await asyncio.to_thread(said, "begin"))[0][1] == str(first.pid)
    first.kill()
    first.wait()
    lines = await asyncio.to_thread(said, "begin", "begin", "end")
    assert lines[1][1] == lines[2][1] == str(second.pid)
    assert (await until_ended(stores[0], due.DONE)).failures == 0
    second.kill()
    second.wait()
