"""The sink for security events and evidence drafts.

Lower rooms that have something to report emit a typed event; it is on disk before `emit` returns. Until the
transparency log takes them over as its first entries they are JSON lines under the home (`var/log/events.jsonl`).
Events hold ids, counts and places, never personal data: the file can't be erased.
"""

import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from governance import clock

Detail = str | int | bool | None
_lock = threading.Lock()
_sink: int | None = None


def open_sink(folder: Path) -> None:
    """Append events to `folder/events.jsonl` (0600) from now on."""
    global _sink
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with _lock:
        if _sink is not None:
            os.close(_sink)
        _sink = handle


def emit(event: str, detail: Mapping[str, Detail]) -> None:
    """Persist one event named `source:subject:action`. One write call a line, so lines of many processes don't mix.

    Without an open sink (a library use, a unit test) the event is dropped; the service opens it first thing.
    """
    line = json.dumps({"time": clock.now().isoformat(), "event": event, **detail}, separators=(",", ":")) + "\n"
    with _lock:
        if _sink is None:
            return
        try:
            if os.write(_sink, line.encode()) == len(line):
                os.fdatasync(_sink)
                return
        except OSError:
            pass
    # What was to be reported has happened already and can't be undone: say so, without the event's words.
    sys.stderr.write("An event could not be written to its log.\n")
