"""Where a value comes to rest or leaves the process: each such place asks here first whether the value may.

The question is answered from above (`governance/bodies/guards.py`), so that a lower room can ask without knowing it;
while nobody answers, everything may. What a piece of work was itself given, by its own caller or out of a store, is
said by `given`: it was there before any prompt that repeats it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Protocol

WITHHELD = "[withheld]"
"""What stands in a text's place."""

Source = Callable[[], Iterable[str]]


class Sink(StrEnum):
    """Kinds of places."""

    SQL = "sql"  # a parameter, or a literal in a statement's text
    SEALED = "sealed"  # a value before it is sealed
    JOURNAL = "journal"  # a field of a request's record
    LOG = "log"
    EVENT = "event"
    MAIL = "mail"
    REDIS = "redis"
    METRIC = "metric"  # a label's value


class Screen(Protocol):
    """Decides. It never raises."""

    def withholds(self, sink: Sink, value: object) -> bool:
        """Whether a text, or bytes, or texts in lists and mappings, must not go there."""


class Given:
    """Texts that a piece of work was given. Its source is asked only where a value is in doubt."""

    __slots__ = ("_before", "_read", "_source", "_texts")

    def __init__(self, source: Source, before: "Given | None") -> None:
        self._source = source
        self._before = before
        self._read: list[str] = []
        self._texts: list[str] | None = None

    def add(self, text: str) -> None:
        """The work read this out of a store."""
        self._read.append(text)

    def texts(self) -> Iterator[str]:
        """All of them, those of the work around it too."""
        if self._texts is None:
            self._texts = list(self._source())
        yield from self._texts
        yield from self._read
        if self._before is not None:
            yield from self._before.texts()

    def __repr__(self) -> str:
        return "<Given ***>"


_screen: Screen | None = None
_given: ContextVar[Given | None] = ContextVar("given", default=None)


def screen_with(screen: Screen | None) -> None:
    """Ask this one from now on; None: nobody."""
    global _screen
    _screen = screen


def withholds(sink: Sink, value: object) -> bool:
    """Whether this value must not go there. The place then leaves it out, and goes on."""
    screen = _screen
    return screen is not None and screen.withholds(sink, value)


def passed(sink: Sink, text: str) -> str:
    """The text, or the mark that one was withheld."""
    return WITHHELD if withholds(sink, text) else text


@contextmanager
def given(source: Source) -> Iterator[None]:
    """This block's work was given what the source yields, by its own caller and not by a prompt."""
    token = _given.set(Given(source, _given.get()))
    try:
        yield
    finally:
        _given.reset(token)


def read(value: object) -> None:
    """The current work read this out of a store, where it was at rest before."""
    current = _given.get()
    if current is not None and isinstance(value, str):
        current.add(value)


def given_now() -> Iterator[str]:
    """What the current work was given."""
    current = _given.get()
    if current is not None:
        yield from current.texts()
