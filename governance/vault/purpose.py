"""For what, and as whom, the code that runs now may open personal values. GDPR Art. 5(1)(b), Art. 32(1)(b).

Each route, job and command states it once, where it starts; `Sealed.open` refuses what isn't stated. A purpose ends with
its block, also for tasks that were started within it and live on: they state their own or open nothing.
"""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from governance.datamap import DataUse
from governance.errors import UseRefused

P = ParamSpec("P")
R = TypeVar("R")


class Actor(StrEnum):
    """Who opens a value."""

    PERSON = "person"  # the data subject, on what is theirs
    GATEWAY = "gateway"  # the hot path: it seals, and opens nothing
    JOB = "job"
    SYSTEM = "system"  # start-up and tests
    LEGAL = "legal"
    AUDITOR = "auditor"
    PRIVACY_OFFICER = "privacy_officer"
    OPERATOR = "operator"


STAFF = frozenset((Actor.LEGAL, Actor.AUDITOR, Actor.PRIVACY_OFFICER, Actor.OPERATOR))
"""Their openings are recorded for the person whose data it is."""
OPENS_NOTHING = frozenset((Actor.GATEWAY,))


class Bulk(StrEnum):
    """Work that opens values of many people by its nature; all else that does is an incident."""

    EXPORT = "export"
    NOTICE = "notice"
    ROTATION = "rotation"


@dataclass(slots=True)
class Purpose:
    """What was stated. `over`: its block has ended."""

    actor: Actor
    uses: frozenset[DataUse]
    case: str | None = None
    bulk: Bulk | None = None
    over: bool = False


_current: ContextVar[Purpose | None] = ContextVar("purpose", default=None)


@contextmanager
def stating(actor: Actor, *uses: DataUse, case: str | None = None, bulk: Bulk | None = None) -> Iterator[Purpose]:
    """State a purpose for a block. `case`: the request or ticket that staff act on, an id and nothing personal."""
    purpose = Purpose(actor, frozenset(uses), case, bulk)
    token = _current.set(purpose)
    try:
        yield purpose
    finally:
        purpose.over = True
        _current.reset(token)


def states(
    actor: Actor, *uses: DataUse, bulk: Bulk | None = None
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """A decorator: the coroutine function runs for this purpose."""

    def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(function)
        async def run(*args: P.args, **options: P.kwargs) -> R:
            with stating(actor, *uses, bulk=bulk):
                return await function(*args, **options)

        return run

    return decorate


def current(use: DataUse, column: str) -> Purpose:
    """The purpose that covers a use. Raises UseRefused where none was stated, it is over, or it is another."""
    purpose = _current.get()
    if purpose is None or purpose.over:
        raise UseRefused(f"{column} may not be opened: no purpose was stated where this work began.")
    if purpose.actor in OPENS_NOTHING:
        raise UseRefused(f"{column} may not be opened by the {purpose.actor.value}: it seals, and opens nothing.")
    if use not in purpose.uses:
        raise UseRefused(f"{column} may not be opened for {use.value}: that isn't what this work was begun for.")
    return purpose
