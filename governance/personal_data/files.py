"""The same for lines of files: the process log, the event log and its segments."""

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from governance.personal_data.columns import Tally
from governance.personal_data.detection import Search, find, surest
from governance.personal_data.kinds import Kind

_LINE_MAX: Final = 16_384
_PLACES: Final = 8


@dataclass(slots=True)
class FileSample:
    """What was seen of one file; `lines` were looked at, `whole` within the time. Line numbers aren't known of a sample."""

    path: Path
    lines: int = 0
    characters: int = 0
    whole: bool = True
    found: dict[Kind, Tally] = field(default_factory=dict)


def sample_file(path: Path, *, lines: int = 400, seconds: float = 10.0, search: Search = find) -> FileSample:
    """Up to `lines` lines, half of them the newest and half from places chosen at random. Blocking: run it in a thread.

    Raises OSError where the file can't be read. No line of a log is declared to hold personal data: all finds count.
    """
    result = FileSample(path)
    until = time.monotonic() + seconds
    with path.open("rb") as file:
        seen = _read(file, path.stat().st_size, lines)
    for line in seen:
        if time.monotonic() >= until:
            result.whole = False
            break
        text = line.decode("utf-8", "replace")
        result.lines += 1
        result.characters += len(text)
        for kind, score in surest(search, text).items():
            result.found.setdefault(kind, Tally()).add(score)
    return result


def _read(file: BinaryIO, size: int, lines: int) -> list[bytes]:
    """Lines by where they begin, so that none counts twice; the newest first, since the time may run out."""
    half = max(1, lines // 2)
    newest = _lines_from(file, _begin_of_last(file, size, half), size)[-half:]
    chosen = dict(newest)
    for _ in range(_PLACES):
        place = random.randrange(size) if size else 0  # noqa: S311  a sample, no secret
        for begin, line in _lines_from(file, place, size, max(1, half // _PLACES), skip_part=place > 0):
            if len(chosen) < lines:
                chosen.setdefault(begin, line)
    return [chosen[begin] for begin in sorted(chosen, reverse=True)]


def _begin_of_last(file: BinaryIO, size: int, wanted: int) -> int:
    """Where the last `wanted` lines begin, by reading back; not further than so many lines of the greatest length."""
    begin, newlines, floor = size, 0, max(0, size - wanted * _LINE_MAX)
    while begin > floor and newlines <= wanted:
        step = min(65_536, begin - floor)
        begin -= step
        file.seek(begin)
        newlines += file.read(step).count(b"\n")
    return begin


def _lines_from(
    file: BinaryIO, place: int, size: int, count: int | None = None, *, skip_part: bool = False
) -> list[tuple[int, bytes]]:
    file.seek(place)
    if skip_part:
        file.readline(_LINE_MAX)
    read: list[tuple[int, bytes]] = []
    while file.tell() < size and (count is None or len(read) < count):
        begin = file.tell()
        read.append((begin, file.readline(_LINE_MAX)))
    return read
