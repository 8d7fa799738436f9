"""One run: positive control, cases, search, verdict. Against a gateway that runs already, or against this program."""

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from governance import clock
from governance.bodies.scanner.control import positive_control
from governance.errors import ConfigurationError
from router.probe import own, program
from router.probe.case import Case, Credential
from router.probe.cases.matrix import matrix
from router.probe.places import RUNNING, STOPPED, Places, settled
from router.probe.result import Control, Gap, Result, judge, outcomes
from router.probe.scratch_databases import scratch_databases
from router.probe.seeds import Seeds
from router.probe.sender import Outcome, Sender
from router.probe.target import Target
from router.probe.trace import Trace
from router.probe.upstream.server import Upstream, running

_OWN_HANG_S = 4.0
SETTLES_S = 10.0  # for a gateway that isn't ours: its buffers are nobody's to flush
_QUIET_S = 10.0
_AGAIN_ROUNDS = 3
_AGAIN_EACH = 3  # plain cases of a wire
_AGAIN_PAUSE_S = 1.0
Keep = Callable[[str], bool]


class Progress(Protocol):
    """Told of what goes on: a stage, how far it is, and how long it will be where that is known."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def silent(stage: str, done: int, total: int | None) -> None:
    """For runs that nobody watches."""


@dataclass(frozen=True, slots=True)
class Options:
    """`postgres_data` is the server's data directory; `shared` looks at /dev/shm, temp folders and core dump places.

    `cases` takes a sample by name; `trace` follows write calls with strace; `scratch` is where the control is planted.
    """

    postgres: str | None = None
    postgres_data: tuple[Path, ...] = ()
    redis: str | None = None
    shared: bool = True
    trace: bool = False
    cases: Keep = lambda name: True
    scratch: Path | None = None


async def probe_own(
    options: Options, *, workers: int = 1, keep: bool = False, settles_s: float = 0.0, progress: Progress = silent
) -> Result:
    """Probe this program in a scratch home: while it runs, and after it has stopped.

    `keep` leaves the home where it is. Raises NotStarted, ConfigurationError.
    """
    begun, since = clock.now(), time.time()
    cases = matrix(own.own_lanes(), _OWN_CREDENTIALS, web=True, keep=options.cases)
    upstream = Upstream({case.tag: case for case in cases}, hang_s=_OWN_HANG_S)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(running(upstream))
        instance = await stack.enter_async_context(
            own.instance(port, workers=workers, postgres=options.postgres, redis=options.redis, keep=keep)
        )
        trace = Trace(gateway=("127.0.0.1", instance.port), upstream_port=port) if options.trace else None
        progress("start", 0, None)
        instance.start(trace.command if trace else (), trace.pass_fds if trace else ())
        if trace:
            trace.started()
        control = await _control(options, progress)  # while it starts
        await instance.ready()
        target = instance.target(await instance.keys(), options.redis, since if options.shared else None)
        run = _Run(target, cases, upstream, progress)
        await run.send()
        await settled(target.look, settles_s, _QUIET_S)
        places = await run.places(stack, options.scratch)
        await places.look(target, RUNNING)
        if trace:
            trace.check(target.pids)
        instance.stop()
        if trace:
            trace.end()
            places.bytes(trace.kept(), target, RUNNING)
        await places.look(replace(target, look=(*target.look, *options.postgres_data)), STOPPED)
        return run.result(begun, control, places, trace, kept=instance.folder if keep else None)


async def probe_target(
    target: Target, options: Options, *, upstream_port: int, hang_s: float = 15.0, settles_s: float = SETTLES_S,
    progress: Progress = silent,
) -> Result:  # fmt: skip
    """Probe a gateway that runs already and whose upstream is `http://127.0.0.1:upstream_port`, on which this listens.

    It waits `settles_s` after the last request, for what is written late.
    Raises ConfigurationError where the port is taken, or a place to search doesn't exist.
    """
    begun = clock.now()
    target = replace(target, since=time.time() if options.shared else None)
    for path in target.look:
        if not path.exists():
            raise ConfigurationError(f"There is nothing at {path} to look through.")
    if options.trace and not target.pids:
        raise ConfigurationError("To trace a gateway its processes must be named.")
    cases = matrix(target.lanes, tuple(target.keys), web=False, keep=options.cases)
    upstream = Upstream({case.tag: case for case in cases}, hang_s=hang_s)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(running(upstream, upstream_port))
        except OSError:
            raise ConfigurationError(
                f"Port {upstream_port} of this machine is taken: the probe must listen there."
            ) from None
        control = await _control(options, progress)
        trace = None
        if options.trace:
            trace = Trace(gateway=_address(target.url), upstream_port=upstream_port)
            trace.attach(target.pids)
            stack.callback(trace.end)
        run = _Run(target, cases, upstream, progress)
        await run.send()
        await settled(target.look, settles_s, _QUIET_S)
        places = await run.places(stack, options.scratch)
        if trace:
            trace.check(target.pids)
            trace.end()
            places.bytes(trace.kept(), target, RUNNING)
        await places.look(replace(target, look=(*target.look, *options.postgres_data)), RUNNING)
        return run.result(begun, control, places, trace)


_OWN_CREDENTIALS = (Credential.GOOD, Credential.POOR, Credential.LIMITED)


class _Run:
    """The parts that both modes share."""

    def __init__(self, target: Target, cases: Sequence[Case], upstream: Upstream, progress: Progress) -> None:
        self._target = target
        self._cases = cases
        self._upstream = upstream
        self._progress = progress
        self._sent: dict[str, Outcome] = {}  # by case; what came last, where it was sent again

    async def send(self) -> None:
        target = self._target
        sender = Sender(target.url, target.keys, headers=target.headers, patience_s=target.patience_s, tls=target.tls)

        def done(outcome: Outcome) -> None:
            self._sent[outcome.case] = outcome
            self._progress("send", len(self._sent), len(self._cases))

        await sender.send_all(self._cases, done)
        # All of a small sample is under way at once: one stall of the machine would void the run.
        for _ in range(_AGAIN_ROUNDS):
            if not (again := self._not_carried()):
                return
            await asyncio.sleep(_AGAIN_PAUSE_S)
            await sender.send_all(again, done)

    async def places(self, stack: AsyncExitStack, scratch: Path | None) -> Places:
        """Every canary was made when its request was built or answered: now they are all known."""
        self._seeds = await asyncio.to_thread(Seeds, scratch)
        stack.callback(self._seeds.end)
        canaries = [canary for case in self._cases for canary in case.marks]
        self._progress("search", 0, None)
        return Places(canaries, self._seeds, lambda done, total, place: self._progress("search", done, total))

    def result(
        self, begun: datetime, control: Control, places: Places, trace: Trace | None, kept: Path | None = None
    ) -> Result:
        traced = trace.descriptors() if trace else ()
        unread = (
            *places.unread,
            *(Gap(name, "strace showed a write in part") for name in sorted(trace.cut if trace else ())),
        )
        carried = self._carried()
        control = replace(control, seeded=len(self._seeds.names), seeded_missed=places.seeded_missed)
        verdict, reasons = judge(
            control=control, carried=carried, ended=self._ended(), findings=places.findings, unread=unread, traced=traced,
            named_bytes=places.named_bytes, unfollowed=trace.unfollowed if trace else (),
        )  # fmt: skip
        return Result(
            verdict=verdict,
            reasons=reasons,
            started=begun,
            ended=clock.now(),
            target=self._target.url,
            version=program.version(),
            program=program.digest(),
            cases=len(self._sent),
            outcomes=outcomes(self._sent.values()),
            carried=carried,
            canaries=sum(1 for case in self._cases for _ in case.marks),
            control=control,
            findings=places.findings,
            unread=unread,
            seen_by_others=self._seen_by_others(),
            bytes_read=places.bytes_read,
            files=places.files,
            traced=traced if trace else None,
            kept=str(kept) if kept is not None else None,
        )

    def _carried(self) -> dict[str, bool]:
        """By wire: whether a prompt reached the upstream and its completion the caller."""
        answered = {outcome.case for outcome in self._sent.values() if outcome.answered}
        carried = {case.lane.wire.value: False for case in self._cases if case.lane is not None}
        for case in self._cases:
            if case.lane is not None and case.name in answered and case.tag in self._upstream.carried:
                carried[case.lane.wire.value] = True
        return carried

    def _not_carried(self) -> list[Case]:
        """A few plain cases of each wire that has carried nothing."""
        again: list[Case] = []
        for wire in (wire for wire, done in self._carried().items() if not done):
            again += [case for case in self._cases if case.plain and case.lane and case.lane.wire == wire][:_AGAIN_EACH]
        return again

    def _ended(self) -> dict[str, dict[str, int]]:
        """By wire: how its plain cases ended, by status or by what became of them."""
        ended: dict[str, Counter[str]] = {}
        for case in self._cases:
            if case.lane is not None and case.plain and (outcome := self._sent.get(case.name)):
                ended.setdefault(case.lane.wire.value, Counter())[str(outcome.status or outcome.how)] += 1
        return {wire: dict(sorted(counts.items())) for wire, counts in ended.items()}

    def _seen_by_others(self) -> dict[str, int]:
        seen: Counter[str] = Counter()
        for name, count in self._upstream.sent_on.items():
            _, direction, field = name.rsplit("/", 2)
            seen[f"sent on to the upstream: {field} ({direction})"] += count
        if self._upstream.redirected:
            seen["redirects followed with the prompt"] = self._upstream.redirected.total()
        return dict(sorted(seen.items()))


async def _control(options: Options, progress: Progress) -> Control:
    """Plants and finds, in a folder of its own and, where they are searched, in a database of its own and in Redis."""
    progress("positive control", 0, None)
    async with AsyncExitStack() as stack:
        postgres = None
        if options.postgres is not None:
            made = await stack.enter_async_context(scratch_databases(options.postgres, ("control",)))
            postgres = made["control"]
        folder = Path(tempfile.mkdtemp(prefix="valueapi-probe-control-", dir=options.scratch))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        found = await positive_control(
            folder, postgres_url=postgres, redis_url=options.redis, shared=options.shared,
            progress=lambda done, total: progress("positive control", done, total),
        )  # fmt: skip
    return Control(found.planted, tuple(found.missed))


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
