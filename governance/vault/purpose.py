"""For what, and as whom, the code that runs now may open personal values. GDPR Art. 5(1)(b), Art. 32(1)(b).

Each route, job and command states it once, where it starts; `Sealed.open` refuses what isn't stated, and the key store
hands a person's key to nobody who stated nothing. A purpose ends with its block, also for tasks that were started within
it and live on: they state their own or open nothing. Work that touches many people by its nature is listed here by the
name of its function: no caller can say so of itself.
"""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from governance.datamap import DataUse
from governance.errors import DeclarationError, UseRefused

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
    """Work that takes many people's keys by its nature; all else that does is an incident."""

    EXPORT = "export"
    NOTICE = "notice"
    ROTATION = "rotation"
    CHECK = "check"  # whether an old copy still opens
    SETTLEMENT = "settlement"  # the journal's records, into the usage log


BULK_WORK: dict[str, Bulk] = {
    "governance.vault.upkeep.Upkeep.run": Bulk.ROTATION,
    "governance.vault.restored.reconcile": Bulk.ROTATION,
    "router.cli.keys.rotate": Bulk.ROTATION,
    "router.cli.erase_check.erase_check": Bulk.CHECK,
    "governance.controls.backups_erased.BackupsErased._look": Bulk.CHECK,
    "router.app.service.Service._deliver": Bulk.NOTICE,
    "router.cli.incident_notices.send": Bulk.NOTICE,
    "router.app.policy_notices.announce": Bulk.NOTICE,
    "router.billing.commit.Committer._open": Bulk.SETTLEMENT,
}
"""The functions that may, each for one kind of work."""


@dataclass(frozen=True, slots=True)
class Grant:
    """That a function may; made by `grant` alone."""

    bulk: Bulk


def grant(function: Callable[..., object], bulk: Bulk) -> Grant:
    """Raises DeclarationError where the function isn't listed for such work."""
    name = f"{function.__module__}.{function.__qualname__}"
    if BULK_WORK.get(name) is not bulk:
        raise DeclarationError(f"{name} isn't listed as work of the kind {bulk.value!r}.")
    return Grant(bulk)


@dataclass(slots=True)
class Purpose:
    """What was stated. `people`: whose keys it has taken. `over`: its block has ended."""

    actor: Actor
    uses: frozenset[DataUse]
    case: str | None = None
    bulk: Bulk | None = None
    people: set[UUID] = field(default_factory=set)
    over: bool = False


_current: ContextVar[Purpose | None] = ContextVar("purpose", default=None)


@contextmanager
def stating(actor: Actor, *uses: DataUse, case: str | None = None, granted: Grant | None = None) -> Iterator[Purpose]:
    """State a purpose for a block. `case`: the request or ticket that staff act on, an id and nothing personal."""
    purpose = Purpose(actor, frozenset(uses), case, granted.bulk if granted is not None else None)
    token = _current.set(purpose)
    try:
        yield purpose
    finally:
        purpose.over = True
        _current.reset(token)


def states(
    actor: Actor, *uses: DataUse, bulk: Bulk | None = None
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """A decorator: the coroutine function runs for this purpose. Raises DeclarationError as `grant` does."""

    def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        granted = grant(function, bulk) if bulk is not None else None

        @wraps(function)
        async def run(*args: P.args, **options: P.kwargs) -> R:
            with stating(actor, *uses, granted=granted):
                return await function(*args, **options)

        return run

    return decorate


def stated(what: str) -> Purpose:
    """The purpose of what runs now. Raises UseRefused where none was stated, or it is over."""
    purpose = _current.get()
    if purpose is None or purpose.over:
        raise UseRefused(f"{what} may not be opened: no purpose was stated where this work began.")
    return purpose


def acting() -> Actor | None:
    """Who it is that runs now; None where no purpose was stated, or it is over."""
    purpose = _current.get()
    return None if purpose is None or purpose.over else purpose.actor


def opening(what: str) -> Purpose:
    """The purpose of what opens something now. Raises UseRefused as `stated` does, and for who opens nothing."""
    purpose = stated(what)
    if purpose.actor in OPENS_NOTHING:
        raise UseRefused(f"{what} may not be opened by the {purpose.actor.value}: it seals, and opens nothing.")
    return purpose


def current(use: DataUse, column: str) -> Purpose:
    """The purpose that covers a use. Raises UseRefused where none was stated, it is over, or it is another."""
    purpose = opening(column)
    if use not in purpose.uses:
        raise UseRefused(f"{column} may not be opened for {use.value}: that isn't what this work was begun for.")
    return purpose
