"""The positive control: a search that doesn't find what was planted proves nothing by finding nothing.

Every encoding is planted in every sink, each under a fresh random needle, and a fresh search must find each one.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from governance.bodies.scanner.control_encodings import ENCODINGS, Encoding, around
from governance.bodies.scanner.control_servers import postgres_sinks, redis_sinks
from governance.bodies.scanner.control_sinks import Sink, local_sinks, shared_sinks
from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.search import Search

Progress = Callable[[int, int], None]  # sinks done, sinks in all


@dataclass
class Control:
    """How many needles were planted, which weren't found, and how many of each sink's were."""

    planted: int = 0
    missed: list[str] = field(default_factory=list)  # "zstd in SQLite free page"
    by_sink: dict[str, int] = field(default_factory=dict)

    @property
    def found_all(self) -> bool:
        """Whether a search may be believed. Nothing planted is nothing shown."""
        return self.planted > 0 and not self.missed


async def positive_control(
    folder: Path, *, postgres_url: str | None = None, redis_url: str | None = None, shared: bool = True,
    progress: Progress | None = None,
) -> Control:  # fmt: skip
    """Plant and search. `folder` is filled; the servers, where given, are used for tables and keys of our own, which are taken
    away again. `shared`: also in /dev/shm and the temp folder, which a confined process can't write. Raises OSError where
    it can't be written there or a server isn't reached."""
    sinks = local_sinks(folder)
    if shared:
        sinks += shared_sinks()
    if redis_url is not None:
        sinks += redis_sinks(folder, redis_url)
    if postgres_url is not None:
        sinks += await postgres_sinks(postgres_url)
    control = Control()
    for done, sink in enumerate(sinks):
        if progress is not None:
            progress(done, len(sinks))
        await _of_sink(control, sink)
    if progress is not None:
        progress(len(sinks), len(sinks))
    return control


async def _of_sink(control: Control, sink: Sink) -> None:
    encodings = [each for each in ENCODINGS if sink.takes_headless or not each.headless]
    needles = [_needle(f"{each.name} in {sink.name}") for each in encodings]
    planted = [(each, _written(each, needle, sink.padding)) for each, needle in zip(encodings, needles, strict=True)]
    try:
        await sink.plant(planted)
        search = Search(needles)
        await sink.look(search)
    finally:
        await sink.clear()
    found = {finding.needle for finding in search.report().findings}
    control.planted += len(needles)
    control.by_sink[sink.name] = len(found)
    control.missed += [needle.name for needle in needles if needle.name not in found]


def _needle(name: str) -> Needle:
    """Unguessable, with what encodings change: both cases, a quote, a space, a letter beyond ASCII, a slash."""
    random = secrets.token_urlsafe(30)
    return Needle(name, f'Kanarie {random[:20]} "{random[20:30]}" é/{random[30:]}'.encode())


def _written(encoding: Encoding, needle: Needle, padding: int) -> bytes:
    filler = secrets.token_hex(padding // 4).encode()
    return encoding.write(filler + around(needle.value) + filler)
