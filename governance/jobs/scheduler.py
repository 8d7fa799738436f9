"""Runs declared jobs when they are due, in the one process that leads; a run that was cut short or missed is run once.

APScheduler's memory store holds references to functions and nothing else: jobs are declared anew at each start, their due
times lie in `due`. A job's time moves on only when its run has ended, so what dies in a run leaves it due: the next
leader runs it again, and every job must bear that.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.jobstores.base import JobLookupError  # type: ignore[import-untyped]
from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]

from governance import clock, events
from governance.db import Database
from governance.jobs import due
from governance.jobs.leader import Leader
from governance.period import Period

logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it warns of each tick that a slow store makes late
_TICK: Final = "tick"
_BACKOFF: Final = timedelta(minutes=1)  # after the first failure; doubles up to the job's own interval


@dataclass(frozen=True, slots=True)
class Job:
    """A job: `run` is idempotent. `first_after`: how long after it was first declared it is due."""

    name: str
    every: Period
    run: Callable[[], Awaitable[None]]
    first_after: timedelta = timedelta()

    def retry_at(self, failures: int) -> datetime:
        """When to try again after so many failures in a row: at once after none."""
        wait = _BACKOFF * 2 ** min(failures - 1, 20) if failures else timedelta()
        return min(clock.now() + wait, self.every.after(clock.now()))

    def due(self, at: datetime) -> datetime:
        """When it is due where its row says `at`: now, where that is later than it could have been set to. A clock that was
        ahead for a while, or a row that was changed, would silence the job for good."""
        now = clock.now()
        return now if at > max(self.every.after(now), now + self.first_after) + clock.SKEW else at


class Jobs:
    """One process's scheduler. Made by `start`, which every serving process may, and ended by `aclose`."""

    def __init__(self, db: Database, leader: Leader, jobs: Sequence[Job], *, tick_s: float = 2.0) -> None:
        self._db = db
        self._leader = leader
        self._jobs = {job.name: job for job in jobs}
        self._tick_s = tick_s
        self._led = False
        self._failing = False
        self._closing = False
        self._ticking: asyncio.Task[None] | None = None
        self._planned: dict[str, datetime] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        defaults = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        self._scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)

    async def start(self) -> None:
        """Look from now on whether this process leads, and what is due."""
        self._scheduler.add_job(self._tick, "interval", seconds=self._tick_s, id=_TICK, next_run_time=datetime.now(UTC))
        self._scheduler.start()

    async def aclose(self) -> None:
        """Cut short what runs, which stays due, and let the lead go."""
        self._closing = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        # A tick is short, and is let end: APScheduler would cancel it on its way to the store, and what runs once more
        # while it closes its connections, which can leave a connection that nobody closes.
        if self._ticking is not None:
            running.append(self._ticking)
        await asyncio.gather(*running, return_exceptions=True)
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        await self._leader.aclose()

    async def _tick(self) -> None:
        self._ticking = asyncio.current_task()
        try:
            if not self._closing:
                await self._look()
        finally:
            self._ticking = None

    async def _look(self) -> None:
        """Take or keep the lead, and plan what the table says: a command may have made a job due."""
        try:
            led, self._led = self._led, await self._leader.leads()
            if not self._led:
                self._forget()
                return
            if not led:
                await due.declare(self._db, {job.name: clock.now() + job.first_after for job in self._jobs.values()})
            for state in await due.states(self._db):
                job = self._jobs.get(state.name)
                if job is None or state.name in self._running:
                    continue
                at = job.due(state.due_at)
                if not led and state.cut:
                    # Who led before died within it: again at once, and later the next time, or it takes all of us down.
                    at = max(at, job.retry_at(state.failures - 1))
                    await due.end(self._db, job.name, "cut", at)
                    await events.emit_async("jobs:job:cut", {"job": job.name, "failures": state.failures})
                self._plan(job.name, at)
            self._failing = False
        except Exception as error:
            # The store can't be reached: the next tick tries again. Its text could hold an address.
            await self._failed(error)

    def _plan(self, name: str, at: datetime) -> None:
        if self._planned.get(name) == at:
            return
        self._planned[name] = at
        # What was due while nobody led is due now, once.
        moment = datetime.now(UTC) + (at - clock.now())
        self._scheduler.add_job(self._run, "date", run_date=moment, args=(name,), id=name, replace_existing=True)

    def _forget(self) -> None:
        for name in self._planned:
            with suppress(JobLookupError):
                self._scheduler.remove_job(name)
        self._planned.clear()

    async def _run(self, name: str) -> None:
        if self._closing or name in self._running:
            return
        task = asyncio.current_task()
        assert task is not None
        self._running[name] = task
        try:
            if not await self._leader.leads():
                return
            self._plan(name, await self._one(self._jobs[name]))
        except Exception as error:
            await self._failed(error)
            self._planned.pop(name, None)  # still due: the next tick plans it again
        finally:
            del self._running[name]

    async def _failed(self, error: Exception) -> None:
        """Said once, not with every tick that the store is away."""
        said, self._failing = self._failing, True
        if not said:
            await events.emit_async("jobs:scheduler:failed", {"type": type(error).__name__})

    async def _one(self, job: Job) -> datetime:
        """One run; when the next is due."""
        failures = await due.begin(self._db, job.name)
        # A crash from here to `end`: the job stays due, and whoever leads next runs it again.
        try:
            await job.run()
        except Exception as error:
            outcome, next_at = type(error).__name__, job.retry_at(failures)
            await events.emit_async("jobs:job:failed", {"job": job.name, "type": outcome, "failures": failures})
        else:
            outcome, next_at = due.DONE, job.every.after(clock.now())
        await due.end(self._db, job.name, outcome, next_at)
        return next_at
