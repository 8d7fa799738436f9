"""Whether each promise is kept now: what the newest runs of its controls found, how old they are, and its documents.

A failing control outweighs one whose evidence is too old, that one what is unproven, and that a missing document: what
is worst is said, and all that is missing beside it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from governance.controls.control import Outcome
from governance.controls.registry import Registry
from governance.controls.runs import Run
from governance.errors import NotFound
from policies.attestations import Document
from policies.promises import Promise, Register, Statement


class State(StrEnum):
    """The worst first."""

    FAILING = "failing"
    STALE = "stale"
    UNPROVEN = "unproven"
    UNATTESTED = "unattested"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Shown:
    """A promise now. `evidence`: entries of the log, by control or document; `missing`: a sentence for each thing that is
    in the way of `kept`."""

    statement: Statement
    promise: Promise
    state: State
    evidence: Mapping[str, UUID]
    missing: tuple[str, ...]


def shown(
    register: Register, registry: Registry, runs: Mapping[str, Run], documents: Mapping[str, Document]
) -> list[Shown]:
    """Every promise, in the order of the text."""
    found = []
    for statement, promise in register.promises:
        against = [*_controls(promise, registry, runs), *_documents(promise, documents)]
        states = {state for state, _ in against}
        evidence = {name: runs[name].evidence_id for name in promise.controls if name in runs}
        evidence |= {name: documents[name].evidence_id for name in promise.attestations if name in documents}
        found.append(
            Shown(
                statement,
                promise,
                next((state for state in State if state in states), State.KEPT),
                {name: entry for name, entry in evidence.items() if entry is not None},
                tuple(why for _, why in against),
            )
        )
    return found


def _controls(promise: Promise, registry: Registry, runs: Mapping[str, Run]) -> Iterator[tuple[State, str]]:
    for name in promise.controls:
        try:
            control = registry.get(name)
        except NotFound:
            yield State.UNPROVEN, f"{name}: there is no such control yet."
            continue
        run = runs.get(name)
        if run is None:
            yield State.UNPROVEN, f"{name}: it hasn't run yet."
        elif run.outcome is Outcome.FAILED:
            more = f" (and {run.failed - 1} more)" if run.failed > 1 else ""
            yield State.FAILING, f"{name}: {run.failures[0]}{more}"
        elif not (run.fresh(promise.evidence_max_age) and run.fresh(control.max_age)):
            yield State.STALE, f"{name}: its last run was at {run.at:%Y-%m-%d %H:%M} UTC, which is too old."
        elif run.outcome is Outcome.UNPROVEN:
            yield State.UNPROVEN, f"{name}: {run.missing or 'there was nothing to look at.'}"


def _documents(promise: Promise, documents: Mapping[str, Document]) -> Iterator[tuple[State, str]]:
    for name in promise.attestations:
        document = documents.get(name)
        if document is None:
            yield State.UNATTESTED, f"{name}: no document was recorded."
        elif not document.stands:
            yield State.UNATTESTED, f"{name}: its document was good until {document.expires_at:%Y-%m-%d}."


def counted(promises: Iterable[Shown]) -> dict[str, int]:
    """How many there are in each state."""
    counts = dict.fromkeys((state.value for state in State), 0)
    for each in promises:
        counts[each.state.value] += 1
    return counts
