"""The event log in the transparency log: entries with the SHA-256 of each segment so far, so that no line goes missing.

Events (`governance/events.py`) are written where no transaction is, and may name what an entry must not; so their lines
stay where they are, and an entry commits to them: the segment (by the SHA-256 of its first line, which has its time and
signature), how many bytes of it, and the SHA-256 of those bytes. Who has to act on what is new in them is given it in the
same transaction, once.
"""

import asyncio
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import BigInteger, String, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import events
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, add_once
from governance.evidence import pending
from governance.evidence.entry import Entry, EntryType

_EVERY_S = 60.0


class Follow(Protocol):
    """Who acts on what is new."""

    async def __call__(self, session: AsyncSession, lines: Sequence[bytes]) -> None:
        """Is given the lines, each once, in the transaction that records them."""


class EventSegment(Base):
    """How much of a segment of a machine's event log is recorded. `first`: SHA-256 of its first line. A row for each segment:
    which others there are, in what order and since when, changes nothing for this one."""

    __tablename__ = "event_segment"

    first: Mapped[str] = impersonal(String(64), 700, primary_key=True)
    bytes: Mapped[int] = impersonal(BigInteger, 701)


@dataclass(frozen=True, slots=True)
class Segment:
    """One file's whole lines at one moment: how many bytes and their digest; from `start` on they are new, `lines`."""

    first: str
    start: int
    length: int
    digest: str
    lines: tuple[bytes, ...]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _grown(folder: Path, known: Mapping[str, int]) -> Iterator[Segment]:
    """Segments that aren't as long as what is known of them."""
    for file in events.segments(folder):
        with file.open("rb") as lines:
            line = lines.readline()
            if not line.endswith(b"\n"):
                continue
            first = _sha256(line)
            start = known.get(first, 0)
            if os.fstat(lines.fileno()).st_size == start:
                continue  # closed segments are many, and needn't be read each time
            data = line + lines.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) != start:
            # One that is shorter was put back from an older copy: nothing of it is new, and `differences` finds it.
            yield Segment(first, start, len(whole), _sha256(whole), tuple(whole[start:].splitlines()))


async def take_over(folder: Path, data: Database, *follow: Follow) -> int:
    """Record what the event log has grown by since it was last recorded; how many entries that made. May be repeated, by any
    number of processes at once. Raises OSError where it can't be read."""
    async with data.session(DataUse.SECURITY) as session:
        rows = await session.execute(select(EventSegment.first, EventSegment.bytes))
        known = {row.first: row.bytes for row in rows}
    made = 0
    for segment in await asyncio.to_thread(lambda: list(_grown(folder, known))):
        async with data.transaction(DataUse.SECURITY) as session:
            row = await session.get(EventSegment, segment.first, with_for_update=True)
            if row is None:
                row = EventSegment(first=segment.first, bytes=0)
                if not await add_once(session, row):
                    continue  # another process is at it
            if row.bytes != segment.start:
                continue  # another process was first
            row.bytes = segment.length
            detail = {"first": segment.first, "bytes": segment.length, "digest": segment.digest}
            await pending.record(session, EntryType.EVENTS_RECORDED, detail=detail)
            for each in follow:
                await each(session, segment.lines)
        made += 1
    return made


async def run(folder: Path, data: Database, *follow: Follow) -> None:
    """For ever, a minute apart, in every process: a machine's log is read by nobody else."""
    while True:
        try:
            await take_over(folder, data, *follow)
        except Exception as error:
            # The text could hold what was being worked on; the next round tries again.
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
