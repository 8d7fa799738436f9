"""Searches a target's places for the canaries, and says what it could not read."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from governance.bodies.scanner import files, process
from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.report import Unread
from governance.bodies.scanner.search import Search
from router.probe.canaries import Canary
from router.probe.result import Found, Gap
from router.probe.target import Target

Progress = Callable[[int, int | None, str], None]
_QUIET_S = 1.0
_SHARED_S = 15.0
_CLOSED = "can't be read"
_SERVERS = ("PostgreSQL", "Redis")  # as the scanner names one that it doesn't reach
_NOTHING_RESTS = "a socket: not read"
RUNNING, STOPPED = "running", "stopped"


class Places:
    """What all rounds found. `progress` gets bytes done, bytes in all where known, and the place."""

    def __init__(self, canaries: Sequence[Canary], progress: Progress) -> None:
        self._first = Search([Needle(each.name, each.value.encode()) for each in canaries], progress=progress)
        self._fresh = True
        self._found: dict[tuple[str, str, str], Found] = {}
        self._gaps: dict[tuple[str, str], Gap] = {}
        self.bytes_read = self.files = 0

    async def look(self, target: Target, when: str) -> None:
        """One round through every place; processes while they run."""
        search = self._search()
        await asyncio.to_thread(_files, search, target, when)
        for url in target.postgres:
            await search.postgres(url)
        for url in target.redis:
            await search.redis(url)
        self._take(search, target, when)

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
    def unread(self) -> tuple[Gap, ...]:
        return tuple(self._gaps.values())

    def _search(self) -> Search:
        """A file is looked through once in a search, and may have changed since."""
        if self._fresh:
            self._fresh = False
            return self._first
        return self._first.again()

    def _take(self, search: Search, target: Target, when: str) -> None:
        report = search.report()
        self.bytes_read += report.bytes_read
        self.files += report.files
        for each in report.findings:
            found = Found(each.needle, each.place, each.form, each.offset, each.matched, when)
            self._found.setdefault((each.needle, each.place, each.form), found)
        for gap in report.unread:
            if gap.why == _NOTHING_RESTS:
                continue
            self._gaps.setdefault((gap.place, gap.why), Gap(gap.place, gap.why, _fatal(gap, target, when)))


def _files(search: Search, target: Target, when: str) -> None:
    for path in target.look:
        if target.changed_since is None:
            search.path(path)
            continue
        for file in files.walk(path, search.not_read, seen=set(), since=target.changed_since):
            search.file(file, str(file))
    if when == RUNNING:
        for pid in target.pids:
            search.process(pid)
    if target.since is not None:
        _shared(search, target.look, target.since)


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


async def settled(paths: Sequence[Path], at_most_s: float) -> None:
    """Wait until nothing under the paths has changed for a second."""
    until = time.monotonic() + at_most_s
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
