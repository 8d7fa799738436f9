"""The event log in the transparency log: entries with the SHA-256 of each segment so far, so that no line goes missing.

Events (`governance/events.py`) are written where no transaction is, and may name what an entry must not; so their lines
stay where they are, and an entry commits to them: the segment (by the SHA-256 of its first line, which has its time and
signature), how many bytes of it, and the SHA-256 of those bytes.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from governance import events
from governance.datamap import DataUse
from governance.db import Database
from governance.evidence import pending
from governance.evidence.entry import Entry, EntryType
from governance.evidence.pending import DataEvidenceState

_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One file's whole lines, at one moment."""

    first: str
    length: int
    digest: str

    @classmethod
    def of(cls, lines: bytes) -> "Segment":
        return cls(_sha256(lines[: lines.index(b"\n") + 1]), len(lines), _sha256(lines))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _segments(folder: Path, since: str) -> list[Segment]:
    """From the segment that begins with a line of that digest on, the one that is written to last."""
    found: list[Segment] = []
    for file in reversed(events.segments(folder)):
        data = file.read_bytes()
        lines = data[: data.rfind(b"\n") + 1]
        if lines:
            found.append(Segment.of(lines))
            if found[-1].first == since:
                break
    return found[::-1]


async def take_over(folder: Path, data: Database) -> int:
    """Record what the event log has grown by since it was last recorded; how many entries that made. May be repeated."""
    async with data.session(DataUse.SECURITY) as session:
        state = await session.get(DataEvidenceState, 1)
    if state is None:
        return 0  # the log begins with its first round
    grown = [
        each
        for each in await asyncio.to_thread(_segments, folder, state.events_first)
        if (each.first, each.length) != (state.events_first, state.events_bytes)
    ]
    for segment in grown:
        async with data.transaction(DataUse.SECURITY) as session:
            row = await session.get_one(DataEvidenceState, 1, with_for_update=True)
            if (row.events_first, row.events_bytes) != (state.events_first, state.events_bytes):
                return 0  # another process is at it
            row.events_first, row.events_bytes = segment.first, segment.length
            detail = {"first": segment.first, "bytes": segment.length, "digest": segment.digest}
            await pending.record(session, EntryType.EVENTS_RECORDED, detail=detail)
        state = row
    return len(grown)


async def run(folder: Path, data: Database) -> None:
    """For ever, a minute apart."""
    while True:
        try:
            await take_over(folder, data)
        except Exception as error:
            # The text could hold what was being worked on.
            await events.emit_async("evidence:events:failed", {"type": type(error).__name__})
        await asyncio.sleep(_EVERY_S)


def differences(folder: Path, entries: Iterable[Entry]) -> list[str]:
    """What the event log lacks, or has otherwise, of what entries recorded; a sentence each. Needs no database."""
    there = {}
    for file in events.segments(folder):
        data = file.read_bytes()
        if b"\n" in data:
            there[_sha256(data[: data.index(b"\n") + 1])] = (file.name, data)
    found = []
    for entry in entries:
        if entry.type is EntryType.EVENTS_RECORDED:
            name, data = there.get(entry.detail["first"], ("", b""))
            if not name:
                found.append(
                    f"No segment of the event log begins as entry {entry.id} says: it is gone, or its first line was changed."
                )
            elif _sha256(data[: entry.detail["bytes"]]) != entry.detail["digest"]:
                found.append(f"{name}: its first {entry.detail['bytes']} bytes aren't those of entry {entry.id}.")
    return found
