"""Searches a target's places for the canaries, and says what it could not read."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from governance.bodies.scanner import files, process
from governance.bodies.scanner.needles import MATCHED_MIN, Needle
from governance.bodies.scanner.report import Unread
from governance.bodies.scanner.search import Search
from router.probe.canaries import Canary
from router.probe.result import Found, Gap
from router.probe.seeds import Seeds
from router.probe.target import Target

Progress = Callable[[int, int | None, str], None]
_QUIET_S = 1.0
_SHARED_S = 15.0
_CLOSED = "can't be read"
_SERVERS = ("PostgreSQL", "Redis")  # as the scanner names one that it doesn't reach
_NOTHING_RESTS = "a socket: not read"
RUNNING, STOPPED = "running", "stopped"


class Places:
    """What all rounds found. `progress` gets bytes done, bytes in all where known, and the place.

    `named_bytes` were read of what the target names; `seeded_missed` are seeds that a round should have found and didn't.
    """

    def __init__(self, canaries: Sequence[Canary], seeds: Seeds, progress: Progress) -> None:
        needles = seeds.around(Needle(each.name, each.value.encode()) for each in canaries)
        self._first = Search(needles, progress=progress)
        self._seeds = seeds
        self._fresh = True
        self._found: dict[tuple[str, str, str], Found] = {}
        self._gaps: dict[tuple[str, str], Gap] = {}
        self._missed: set[str] = set()
        self._rounds = 0
        self.bytes_read = self.files = self.named_bytes = 0

    async def look(self, target: Target, when: str) -> None:
        """One round through every place; processes while they run."""
        search = self._search()
        self.named_bytes += await asyncio.to_thread(_files, search, target, when, self._seeds)
        before = _read(search)
        for url in target.postgres:
            await search.postgres(url)
        for url in target.redis:
            await search.redis(url)
        self.named_bytes += _read(search) - before
        found = self._take(search, target, when)
        self._missed |= (self._seeds.names if when == RUNNING else self._seeds.at_rest) - found
        self._rounds += 1

    def bytes(self, pieces: Sequence[tuple[str, bytes]], target: Target, when: str) -> None:
        """A round through bytes that somebody else read, by their place."""
        search = self._search()
        for place, data in pieces:
            search.bytes(data, place)
        self._take(search, target, when)

    @property
    def findings(self) -> tuple[Found, ...]:
        return tuple(self._found.values())

    @property
    def seeded_missed(self) -> tuple[str, ...]:
        """All of them where there was no round at all."""
        return tuple(sorted(self._missed if self._rounds else self._seeds.names))

    @property
    def unread(self) -> tuple[Gap, ...]:
        return tuple(self._gaps.values())

    def _search(self) -> Search:
        """A file is looked through once in a search, and may have changed since."""
        if self._fresh:
            self._fresh = False
            return self._first
        return self._first.again()

    def _take(self, search: Search, target: Target, when: str) -> set[str]:
        """Keep what is the target's; the seeds that were found."""
        report = search.report()
        self.bytes_read += report.bytes_read
        self.files += report.files
        seeded = set()
        for each in report.findings:
            if each.needle in self._seeds.names:
                if each.matched >= MATCHED_MIN:
                    seeded.add(each.needle)
                continue
            found = Found(each.needle, each.place, each.form, each.offset, each.matched, when)
            self._found.setdefault((each.needle, each.place, each.form), found)
        for gap in report.unread:
            if gap.why == _NOTHING_RESTS or self._seeds.covers(gap.place):
                continue
            self._gaps.setdefault((gap.place, gap.why), Gap(gap.place, gap.why, _fatal(gap, target, when)))
        return seeded


def _files(search: Search, target: Target, when: str, seeds: Seeds) -> int:
    """Look at files and processes, the seeds' last; how many bytes were read of what the target names."""
    for path in target.look:
        _below(search, path, target.changed_since)
    named = _read(search)
    if any(seeds.folder.is_relative_to(path.resolve()) for path in target.look):
        named = max(0, named - seeds.bytes)
    if when == RUNNING:
        named += sum(_process(search, pid) for pid in target.pids)
    _below(search, seeds.folder, target.changed_since)
    if when == RUNNING:
        search.process(seeds.pid)
    if target.since is not None:
        _shared(search, (*target.look, seeds.folder), target.since)
    return named


def _below(search: Search, path: Path, since: float | None) -> None:
    if since is None:
        search.path(path)
        return
    for file in files.walk(path, search.not_read, seen=set(), since=since, named=search.name):
        search.file(file, str(file))


def _process(search: Search, pid: int) -> int:
    """Bytes read; none where its open files stay closed: everybody may read what it was started with."""
    before = _read(search)
    search.process(pid)
    closed = any(gap.place == f"process {pid}" and gap.why.startswith(_CLOSED) for gap in search.report().unread)
    return 0 if closed else _read(search) - before


def _read(search: Search) -> int:
    return search.report().bytes_read


def _shared(search: Search, looked: Sequence[Path], since: float) -> None:
    """Shared memory, temp folders and core dump places: everybody's, so bounded, and what is left over is told."""
    until = time.monotonic() + _SHARED_S
    seen: set[tuple[int, int]] = set()
    for folder in process.shared_places():
        for path in files.walk(folder, search.not_read, seen=seen, since=since):
            if any(path.is_relative_to(each) for each in looked):
                continue
            if time.monotonic() > until:
                search.not_read(str(folder), f"others wrote more there than is read in {_SHARED_S:.0f} seconds")
                break
            search.file(path, str(path))


def _fatal(gap: Unread, target: Target, when: str) -> bool:
    """Whether the run is void for it: a place that was named, or what our own program kept closed until it stopped."""
    if any(gap.place == str(path) for path in target.look) or gap.place in _SERVERS:
        return True
    ours = target.own and any(Path(gap.place).is_relative_to(path) for path in target.look)
    return ours and when == STOPPED and gap.why.startswith(_CLOSED)


async def settled(paths: Sequence[Path], at_least_s: float, quiet_s: float) -> None:
    """Wait so long for what is written late, then until nothing under the paths has changed for a second, up to `quiet_s`."""
    await asyncio.sleep(at_least_s)
    until = time.monotonic() + quiet_s
    before: object = None
    while time.monotonic() < until:
        now = await asyncio.to_thread(_state, paths)
        if now == before:
            return
        before = now
        await asyncio.sleep(_QUIET_S)


def _state(paths: Sequence[Path]) -> list[tuple[str, int, int]]:
    state = []
    for root in paths:
        for path in [root, *(root.rglob("*") if root.is_dir() else ())]:
            try:
                stat = path.stat()
            except OSError:
                continue
            state.append((str(path), stat.st_size, stat.st_mtime_ns))
    return sorted(state)
