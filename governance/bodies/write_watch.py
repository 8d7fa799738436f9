"""An audit hook that sees what Python code of a gateway request opens for writing, links, or starts. PEP 578.

While a request is served (`vault/purpose`: the actor is the gateway) files are written in declared places alone: the
journal, the event log, what `Declared` names. Anything else is recorded once per place in the code, and refused where
the watch is strict. The record names the line of ours that did it and never the path, which could hold what was asked.

It sees what Python opens. A C library that opens a file by itself is Landlock's to refuse.
"""

import errno
import inspect
import os
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from governance import events
from governance.vault.purpose import Actor, acting

PLACES_MAX = 1000
"""That are remembered; what comes after them is refused, or passes, without a record."""

_OURS = f"{Path(__file__).parents[2]}{os.sep}"
_PACKAGES = ("governance", "policies", "reports", "router")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TARGET = {
    # Events of the audit table, https://docs.python.org/3/library/audit_events.html: which argument is written to.
    "open": 0,
    "sqlite3.connect": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.symlink": 1,
    "os.truncate": 0,
    "os.mkdir": 0,
    "os.setxattr": 0,
}
_STARTING = frozenset(
    (
        *(
            "subprocess.Popen",
            "os.exec",
            "os.posix_spawn",
            "os.spawn",
            "os.system",
            "os.fork",
            "os.forkpty",
            "pty.spawn",
        ),
        "syslog.syslog",  # no program, but what is handed to one
    )
)
_WATCHED = frozenset((*_TARGET, *_STARTING))


@dataclass(frozen=True, slots=True)
class Declared:
    """What may be written on the request's path: names, as regular expressions, by folder. Folders below count too."""

    home: Path
    names: tuple[tuple[Path, str], ...]

    def matcher(self) -> Callable[[str], bool]:
        """Whether a path, resolved, is one of them."""
        each = (f"{re.escape(str(folder.resolve()))}/(?:{names})" for folder, names in self.names)
        pattern = re.compile("|".join((*each, re.escape(os.devnull))))
        return lambda path: pattern.fullmatch(path) is not None


_seen: dict[str, int] = {}
_installed = False


def seen() -> dict[str, int]:
    """How often each place in the code did what isn't declared, and what that was, since the process began."""
    return dict(_seen)


def install(declared: Declared, *, strict: bool) -> None:
    """Watch from now on, until the process ends. Raises RuntimeError the second time: a hook can't be taken away."""
    global _installed
    if _installed:
        raise RuntimeError("the watch is installed already")
    _installed = True
    is_declared, home = declared.matcher(), f"{declared.home.resolve()}{os.sep}"
    watched, gateway = _WATCHED, Actor.GATEWAY

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        # Every audited event of the process comes here: the first line is what all of them cost.
        if event not in watched or acting() is not gateway:
            return
        target = _target(event, arguments)
        if target is None or (target and is_declared(target)):
            return
        _record(event, "home" if target.startswith(home) else "outside" if target else "process", refused=strict)
        if strict:
            raise PermissionError(errno.EACCES, "a request writes in declared places alone")

    sys.addaudithook(hook)


def _target(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The path that is written to, resolved; empty where a program is started; None where nothing is written."""
    if event in _STARTING:
        return ""
    path = arguments[_TARGET[event]]
    if event == "open" and not _is_writing(arguments[1], arguments[2]):
        return None
    if isinstance(path, int):  # an open descriptor: what it is was asked when it was opened
        return None
    try:
        text = os.fsdecode(path)
    except TypeError:
        return "?"
    if event == "sqlite3.connect":
        text = text.removeprefix("file:").partition("?")[0]
        if text in ("", ":memory:"):
            return None
    return os.path.realpath(text)


def _is_writing(mode: object, flags: object) -> bool:
    if isinstance(flags, int) and flags & _WRITING:
        return True
    return isinstance(mode, str) and not set(mode).isdisjoint("wax+")


def _record(event: str, where: str, *, refused: bool) -> None:
    place = _place(inspect.currentframe())
    key = f"{place} {event} {where}"
    if key in _seen:
        _seen[key] += 1
        return
    if len(_seen) >= PLACES_MAX:
        return
    _seen[key] = 1
    detail: dict[str, events.Detail] = {"place": place, "what": event, "where": where, "refused": refused}
    told = threading.Thread(target=events.emit, args=("bodies:write:outside", detail), name="write-watch")
    try:
        told.start()  # once per place, and the loop doesn't wait for the disk
    except RuntimeError:  # the interpreter is ending
        events.emit("bodies:write:outside", detail)


def _place(frame: FrameType | None) -> str:
    """The innermost line of our own; of whoever did it where none of ours is on the stack."""
    first = frame
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_OURS) and file[len(_OURS) :].startswith(_PACKAGES) and file != __file__:
            return f"{file[len(_OURS) :]}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{Path(first.f_code.co_filename).name}:{first.f_lineno}" if first is not None else "?"
