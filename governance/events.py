"""The sink for security events and evidence drafts.

Lower rooms that have something to report emit a typed event; it is on disk before `emit` returns. They are JSON lines
under the home: `var/log/events.jsonl`, and the full segments before it, `events-<UTC time>.jsonl`, which are never written
to again. The transparency log has an entry with the digest of each, as far as it goes (`evidence/event_log`). Many
processes append to one log: the folder's lock orders them, and whoever finds the file full moves it aside.
Each line is signed once the keys are open (`vault/event_signature`): its last member `signature` covers the line without it.
Events hold ids, counts and places, never personal data: the files can't be erased.
"""

import asyncio
import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from governance import clock, sinks

Detail = str | int | bool | None
SEGMENT_BYTES_MAX = 16 * 1024 * 1024
_lock = threading.Lock()
_sink: "_Sink | None" = None
_sign: "Callable[[bytes], str] | None" = None


class _Sink:
    """The log of one folder, as one process holds it open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / "events.jsonl"
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._handle = self._open()

    def append(self, line: bytes) -> None:
        """One whole line on the disk, or none of it and an OSError."""
        with self._alone():
            if not self._current():
                # A sibling has moved the file aside.
                os.close(self._handle)
                self._handle = self._open()
            size = os.fstat(self._handle).st_size
            if size and size + len(line) > SEGMENT_BYTES_MAX:
                self._roll()
                size = 0
            if os.write(self._handle, line) != len(line):
                os.ftruncate(self._handle, size)
                raise OSError("short write")
        os.fdatasync(self._handle)

    def close(self) -> None:
        os.close(self._handle)
        os.close(self._folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._folder, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._folder, fcntl.LOCK_UN)

    def _current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._handle), self._path.stat())
        except FileNotFoundError:
            return False

    def _open(self) -> int:
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fsync(self._folder)
        return handle

    def _roll(self) -> None:
        # Whoever wrote last has synced or is about to, through a descriptor that follows the file to its new name.
        os.fdatasync(self._handle)
        stem = f"events-{clock.now():%Y%m%dT%H%M%S.%fZ}"
        path = self._path.with_name(f"{stem}.jsonl")
        number = 0
        while path.exists():
            number += 1
            path = self._path.with_name(f"{stem}-{number}.jsonl")
        self._path.rename(path)
        # A crash here leaves no current file: the next line begins one.
        os.close(self._handle)
        self._handle = self._open()


def open_sink(folder: Path) -> None:
    """Append events to `folder/events.jsonl` (0600) from now on."""
    global _sink
    opened = _Sink(folder)
    with _lock:
        if _sink is not None:
            _sink.close()
        _sink = opened


def segments(folder: Path) -> list[Path]:
    """The files of a folder's log, by their names, which have the time when each was closed; the one that is written to now is
    the last."""
    closed = sorted(folder.glob("events-*.jsonl"))
    current = folder / "events.jsonl"
    return [*closed, current] if current.exists() else closed


def sign_with(sign: Callable[[bytes], str] | None) -> None:
    """Sign each line from now on: a line's bytes in, text for its last member `signature` out."""
    global _sign
    _sign = sign


def split(line: bytes) -> tuple[bytes, str | None]:
    """A line as it was before it was signed, and its signature; None where it has none."""
    plain, mark, rest = line.rstrip(b"\n").rpartition(b',"signature":"')
    return (plain + b"}", rest.removesuffix(b'"}').decode("ascii", "replace")) if mark else (line.rstrip(b"\n"), None)


def emit(event: str, detail: Mapping[str, Detail]) -> None:
    """Persist one event named `source:subject:action`. It waits for the disk: on an event loop, `emit_async`.

    Without an open sink (a library use, a unit test) the event is dropped; the service opens it first thing.
    """
    _write(event, _screened(detail))


def _screened(detail: Mapping[str, Detail]) -> dict[str, Detail]:
    """Asked by whoever emits, not by the thread that writes: it is the former's place that matters."""
    return {
        sinks.passed(sinks.Sink.EVENT, name): value
        if value is None or isinstance(value, bool | int)
        else sinks.passed(sinks.Sink.EVENT, value)
        for name, value in detail.items()
    }


def _write(event: str, detail: Mapping[str, Detail]) -> None:
    line = json.dumps({"time": clock.now().isoformat(), "event": event, **detail}, separators=(",", ":")).encode()
    if _sign is not None:
        line = line[:-1] + b',"signature":"' + _sign(line).encode() + b'"}'
    with _lock:
        if _sink is None:
            return
        try:
            _sink.append(line + b"\n")
            return
        except OSError:
            pass
    # What was to be reported has happened already and can't be undone: say so, without the event's words.
    sys.stderr.write("An event could not be written to its log.\n")


async def emit_async(event: str, detail: Mapping[str, Detail]) -> None:
    """`emit` in a thread: on disk when this returns, and the loop serves others meanwhile."""
    await asyncio.to_thread(_write, event, _screened(detail))
