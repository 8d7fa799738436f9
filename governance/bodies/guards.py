"""The third layer: no sink writes a fragment of a body in flight, whatever bug brings it there.

Policy section 3: "We do NOT store the content of your API requests (prompts) or the resulting completions."
A sink asks (`governance/sinks.py`); the guard looks whether the value has 32 bytes in common with what is watched
(`fragments.py`), and whether what is common was there before any prompt (`known.py`). The sink then leaves the value
out and goes on: a hit costs a field, never a charge. The first hit of a place in the code is an incident, an event
`bodies:guard:hit` that holds the place, lengths and hashes keyed for this process, never the fragment; further ones are
counted.

Where the guard itself fails, or gives up on a value that shares blocks with too much, it says so by
`bodies:guard:failed`. What carries money, ids or keys then goes on; texts
that are only told (logs, events, mails, labels, Redis) don't.
"""

import hashlib
import hmac
import inspect
import secrets
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import greenlet  # type: ignore[import-untyped]

from governance import events, sinks
from governance.bodies import fragments
from governance.bodies.content import LEAST, encoded
from governance.bodies.fragments import Watch
from governance.bodies.known import Known, texts_of
from governance.sinks import Sink

_HIT: Final = "bodies:guard:hit"
_FAILED: Final = "bodies:guard:failed"
_GOES_ON: Final = frozenset({Sink.SQL, Sink.SEALED})
_ASCII_LEAST: Final = LEAST // 4  # characters of UTF-8 have at most four bytes
_EXCUSED_MAX: Final = 1 << 14  # bytes; nothing that we write of ourselves is longer
_PREFIXES: Final = (sys.prefix, sys.base_prefix, "<")
_REPLACED: Final = "\ufffd".encode()
# What stands between a sink and whoever wrote to it.
_PASSING: Final = (
    "governance/bodies/", "governance/db.py", "governance/events.py", "governance/mail/", "governance/sinks.py",
    "governance/vault/", "router/app/logs.py", "router/billing/journal.py", "router/billing/purse.py",
    "router/gateway/metrics.py",
)  # fmt: skip


class Guard:
    """One per process; `withholds` may be asked on any thread."""

    def __init__(self, watch: Watch, known: Known, *, counted: Callable[[Sink], object] | None = None) -> None:
        self.watch = watch
        self.known = known
        self.places: Counter[tuple[Sink, str]] = Counter()
        """Hits by sink and place."""
        self.failures: Counter[tuple[Sink, str]] = Counter()
        self._counted = counted
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._own = threading.local()
        self._saying: list[threading.Thread] = []

    def withholds(self, sink: Sink, value: object) -> bool:
        """See `Screen`."""
        if type(value) is str and len(value) < LEAST and (len(value) < _ASCII_LEAST or value.isascii()):
            return False
        if getattr(self._own, "saying", False):
            return False
        leaks: list[tuple[bytes, bytes]] = []
        try:
            leaks = [leak for text in texts_of(value) if (leak := self._leak(sink, text)) is not None]
        except Exception as error:
            self._failed(sink, type(error).__name__)
            return sink not in _GOES_ON
        for whole, fragment in leaks[:1]:
            self._hit(sink, whole, fragment)
        return bool(leaks)

    def digest(self, value: bytes) -> str:
        """48 bits that tell values apart within this process, and nothing of them."""
        return hmac.digest(self._secret, value, hashlib.sha256)[:6].hex()

    def _leak(self, sink: Sink, text: str | bytes) -> tuple[bytes, bytes] | None:
        """The value's bytes, and the longest fragment in them; None where it may be written."""
        if len(text) < _ASCII_LEAST:
            return None
        value = encoded(text) if isinstance(text, str) else text
        if len(value) < LEAST or (isinstance(text, str) and self.known.whole(text)):
            return None
        if isinstance(text, bytes) and not _holds_text(text):
            return None
        overrun = self.watch.overrun
        runs = self.watch.find(value)
        if self.watch.overrun != overrun:
            self._failed(sink, "Overrun")
        if not runs:
            return None
        if len(value) <= _EXCUSED_MAX and not any(self.watch.find(piece) for piece in self.known.rest(value)):
            return None
        begin, end = max(runs, key=lambda run: run[1] - run[0])
        return value, value[begin:end]

    def _hit(self, sink: Sink, value: bytes, fragment: bytes) -> None:
        detail: dict[str, str | int] = {
            "value": self.digest(value),
            "value_bytes": len(value),
            "fragment": self.digest(fragment),
            "fragment_bytes": len(fragment),
        }
        self._report(_HIT, self.places, sink, detail)
        if self._counted is not None:
            with suppress(Exception):
                self._counted(sink)

    def _failed(self, sink: Sink, kind: str) -> None:
        self._report(_FAILED, self.failures, sink, {"type": kind})

    def _report(
        self, event: str, counter: Counter[tuple[Sink, str]], sink: Sink, detail: Mapping[str, str | int]
    ) -> None:
        """Whatever fails here, the sink's answer stands: a charge must not end in what reports about it."""
        with suppress(Exception):
            where = place()
            if self._counts(counter, sink, where):
                self._say(event, {"sink": sink.value, "place": where, **detail})

    def _counts(self, counter: Counter[tuple[Sink, str]], sink: Sink, place: str) -> bool:
        """Count it; whether it is the place's first."""
        with self._lock:
            counter[sink, place] += 1
            return counter[sink, place] == 1

    def _say(self, event: str, detail: Mapping[str, str | int]) -> None:
        """On a thread of its own, since whoever wrote to the sink may be the loop; one a place, so they stay few."""

        def say() -> None:
            self._own.saying = True
            events.emit(event, detail)

        thread = threading.Thread(target=say, name="guard")
        with self._lock:
            self._saying = [each for each in self._saying if each.is_alive()] + [thread]
            thread.start()

    def said(self) -> None:
        """Wait until every incident so far is on disk."""
        for thread in self._saying:
            thread.join()


def _holds_text(data: bytes) -> bool:
    """Whether so many bytes in a row are UTF-8 that a fragment of 32 could be among them: noise never is."""
    if _REPLACED in data:
        return True
    # A fragment may begin and end within a character.
    runs = data.decode("utf-8", "replace").split("\ufffd")
    return max(map(len, map(str.encode, runs))) >= LEAST - 6


def place() -> str:
    """File and line of ours that wrote to the sink, as `router/gateway/api.py:120`."""
    passing = "unknown"
    frame: FrameType | None = inspect.currentframe()
    current: Any = greenlet.getcurrent()
    while True:
        while frame is not None:
            where = _ours(frame.f_code.co_filename)
            if where is not None:
                shown = f"{where}:{frame.f_lineno}"
                if not where.startswith(_PASSING):
                    return shown
                passing = shown
            frame = frame.f_back
        # A statement runs in a greenlet of SQLAlchemy's: who awaits it stands in the one around.
        current = current.parent if current is not None else None
        if current is None:
            return passing
        frame = current.gr_frame


_ROOT: Final = str(Path(__file__).parents[2])


def _ours(filename: str) -> str | None:
    """A file's name below the packages' folder; of one elsewhere that nobody installed its last two parts."""
    if filename.startswith(_ROOT) and "site-packages" not in filename[len(_ROOT) :]:
        return filename[len(_ROOT) + 1 :]
    if filename.startswith(_PREFIXES):
        return None
    return "/".join(Path(filename).parts[-2:])


@contextmanager
def installed(guard: Guard) -> Iterator[Guard]:
    """Watch bodies and ask the guard at every sink for the time of the block; then wait for what it has to say."""
    fragments.watch_with(guard.watch)
    sinks.screen_with(guard)
    try:
        yield guard
    finally:
        sinks.screen_with(None)
        fragments.watch_with(None)
        guard.said()
