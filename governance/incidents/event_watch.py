"""Incidents of what the event log says: rooms that have no database of their own report there (`governance/events.py`).

Each machine's log is read once, line by line; how far stands in the data store and moves on in the transaction that opens
or counts to the incident, so that no line counts twice, and none is left out after a kill.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped

from governance import events
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, add_once
from governance.incidents import opening
from governance.incidents.incident import Cause, Severity

WATCHED: Final[Mapping[str, Severity]] = {
    "bodies:guard:hit": Severity.HIGH,
    "bodies:write:outside": Severity.HIGH,
    "vault:opening:bulk": Severity.HIGH,
    "vault:key:bulk": Severity.HIGH,
    "vault:value:broken": Severity.HIGH,
    "vault:keys:unreadable": Severity.HIGH,
    "vault:mirror:foreign": Severity.HIGH,
    "vault:root:deletion_cancelled": Severity.HIGH,
    "evidence:log:stopped": Severity.MEDIUM,
    "ledger:charge:conflict": Severity.HIGH,
    "billing:charge:lost": Severity.HIGH,
    "journal:record:unreadable": Severity.HIGH,
    "journal:usage:unreadable": Severity.MEDIUM,
}
"""Events that are incidents. What a caller can bring about at will isn't among them."""
_SHOWN: Final = ("sink", "place", "what", "where", "table", "column", "mirror", "actor", "use", "type")
_FOUND_MAX: Final = 50
_EVERY_S: Final = 60.0


class IncidentEventState(Base):
    """How far a machine's event log was read. `log`: SHA-256 of its oldest line; `segment`: of the first line of the one
    that is being read, of which so many `bytes` are done."""

    __tablename__ = "incident_event_state"

    log: Mapped[str] = impersonal(String(64), 660, primary_key=True)
    segment: Mapped[str] = impersonal(String(64), 661)
    bytes: Mapped[int] = impersonal(BigInteger, 662)


@dataclass(frozen=True, slots=True)
class _Read:
    """What a segment has grown by: its name, its length now, and the events of it that are watched, each with what it says."""

    segment: str
    end: int
    seen: tuple[tuple[str, str], ...]


async def take_over(folder: Path, data: Database) -> int:
    """Open or count to the incidents of what is new in a machine's event log; how many events that were.

    Any number of processes may do so at once. Raises OSError where the log can't be read.
    """
    log = await asyncio.to_thread(_identity, folder)
    if log is None:
        return 0
    async with data.session(DataUse.SECURITY) as session:
        state = await session.get(IncidentEventState, log)
    at = (state.segment, state.bytes) if state is not None else ("", 0)
    taken = 0
    for read in await asyncio.to_thread(_grown, folder, *at):
        async with data.transaction(DataUse.SECURITY) as session:
            row = await session.get(IncidentEventState, log, with_for_update=True)
            if row is None:
                row = IncidentEventState(log=log, segment="", bytes=0)
                if not await add_once(session, row):
                    return taken  # another process is at it
            if (row.segment, row.bytes) != at:
                return taken  # another process is at it
            row.segment, row.bytes = at = read.segment, read.end
            for event, said in read.seen:
                incident = await opening.open_or_count(session, event, WATCHED[event], Cause.EVENT)
                if said not in incident.found and len(incident.found) < _FOUND_MAX:
                    incident.found = [*incident.found, said]
        taken += len(read.seen)
    return taken


async def run(folder: Path, data: Database) -> None:
    """For ever, a minute apart."""
    while True:
        try:
            await take_over(folder, data)
        except Exception as error:
            # The text could hold what was being worked on; the next round tries again.
            await events.emit_async("incidents:events:failed", {"type": type(error).__name__})
        await asyncio.sleep(_EVERY_S)


def _identity(folder: Path) -> str | None:
    for file in events.segments(folder):
        if (first := _first_line(file)) is not None:
            return first
    return None


def _first_line(file: Path) -> str | None:
    with file.open("rb") as lines:
        line = lines.readline()
    return hashlib.sha256(line).hexdigest() if line.endswith(b"\n") else None


def _grown(folder: Path, segment: str, done: int) -> list[_Read]:
    """From the segment that was being read on; all of them where it isn't there."""
    named = [(first, file) for file in events.segments(folder) if (first := _first_line(file)) is not None]
    found = []
    since = next((place for place, (first, _) in enumerate(named) if first == segment), 0)
    for first, file in named[since:]:
        begin = done if first == segment else 0
        with file.open("rb") as lines:
            lines.seek(begin)
            data = lines.read()
        whole = data[: data.rfind(b"\n") + 1]
        if whole:
            found.append(_Read(first, begin + len(whole), tuple(_watched(whole.splitlines()))))
    return found


def _watched(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        try:
            said: Any = json.loads(line)
            event = said["event"]
        except (ValueError, KeyError, TypeError):
            continue  # a line that isn't ours: `audit verify` finds it
        if isinstance(event, str) and event in WATCHED:
            yield event, ", ".join(f"{name} {said[name]}" for name in _SHOWN if name in said) or event
