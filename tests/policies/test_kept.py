"""What each promise's state is, by its controls' newest runs and its documents."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from governance import clock
from governance.controls.control import ControlResult, Outcome
from governance.controls.registry import Registry
from governance.controls.runs import Run
from governance.period import Period
from policies import kept
from policies.attestations import Document
from policies.kept import State
from policies.promises import Promise, PromiseKind, Register, Statement
from tests.governance.controls.made import PASSED, Made, Other

NOW = datetime(2026, 11, 26, tzinfo=UTC)
REGISTRY = Registry([Made(PASSED), Other(PASSED)])


@pytest.fixture(autouse=True)
def still() -> Iterator[None]:
    clock.install(lambda: NOW)
    yield
    clock.install(None)


def ran(control: str, result: ControlResult = PASSED, *, hours: float = 0) -> Run:
    return Run(
        uuid4(), control, result.outcome, NOW - timedelta(hours=hours), result.examined, result.failures,
        len(result.failures), result.missing, uuid4(),
    )  # fmt: skip


def document(*, days: float = 1) -> Document:
    return Document("contract", "ab" * 32, NOW, NOW + timedelta(days=days), "legal", uuid4())


def judged(
    controls: tuple[str, ...],
    runs: list[Run],
    *,
    attestations: tuple[str, ...] = (),
    documents: Mapping[str, Document] | None = None,
) -> kept.Shown:
    kind = PromiseKind.ATTESTED if attestations else PromiseKind.VERIFIED
    promise = Promise(kind, controls, attestations, Period.parse("PT2H"), None)
    register = Register("privacy/x", (Statement("1.1", "We do.", promise, None), Statement("1.2", "Hm.", None, "none")))
    [only] = kept.shown(register, REGISTRY, {run.control: run for run in runs}, documents or {})
    return only


FAILED = ControlResult(2, ("One is wrong.", "So is the other."))


def test_a_promise_is_kept_while_each_control_passed_not_too_long_ago() -> None:
    runs = [ran("made"), ran("other", hours=1.9)]
    found = judged(("made", "other"), runs)
    assert (found.state, found.missing) == (State.KEPT, ())
    assert found.evidence == {run.control: run.evidence_id for run in runs}


@pytest.mark.parametrize(
    ("runs", "state", "missing"),
    [
        ([ran("made", FAILED)], State.FAILING, "made: One is wrong. (and 1 more)"),
        ([ran("made", FAILED, hours=99)], State.FAILING, "made: One is wrong. (and 1 more)"),
        ([ran("made", hours=2)], State.STALE, "made: its last run was at 2026-11-25 22:00 UTC, which is too old."),
        ([ran("made", ControlResult(0), hours=2)], State.STALE, "made: its last run was at 2026-11-25 22:00 UTC"),
        ([ran("made", ControlResult(0))], State.UNPROVEN, "made: there was nothing to look at."),
        ([ran("made", ControlResult(4, missing="No backup."))], State.UNPROVEN, "made: No backup."),
        ([], State.UNPROVEN, "made: it hasn't run yet."),
    ],
)
def test_whatever_else_a_run_says_it_is_not_kept_and_why(runs: list[Run], state: State, missing: str) -> None:
    found = judged(("made",), runs)
    assert found.state is state and found.missing[0].startswith(missing)


def test_a_control_that_does_not_exist_leaves_a_promise_unproven() -> None:
    found = judged(("made", "nowhere"), [ran("made")])
    assert (found.state, found.missing) == (State.UNPROVEN, ("nowhere: there is no such control yet.",))


def test_a_controls_own_limit_counts_where_it_is_shorter() -> None:
    promise = Promise(PromiseKind.VERIFIED, ("made",), (), Period.parse("P1Y"), None)
    register = Register("privacy/x", (Statement("1.1", "We do.", promise, None),))
    [only] = kept.shown(register, REGISTRY, {"made": ran("made", hours=3)}, {})
    assert only.state is State.STALE


def test_a_document_stands_until_it_expires_and_never_for_a_control() -> None:
    attested = ("contract",)
    assert judged((), [], attestations=attested).state is State.UNATTESTED
    good = {"contract": document()}
    assert judged((), [], attestations=attested, documents=good).state is State.KEPT
    assert judged(("made",), [], attestations=attested, documents=good).state is State.UNPROVEN
    over = judged((), [], attestations=attested, documents={"contract": document(days=0)})
    assert over.state is State.UNATTESTED and over.missing == ("contract: its document was good until 2026-11-26.",)


def test_the_worst_is_said_and_all_that_is_missing() -> None:
    found = judged(("made", "other"), [ran("made", hours=3), ran("other", FAILED)], attestations=("contract",))
    assert found.state is State.FAILING and [why.split(":")[0] for why in found.missing] == [
        "made",
        "other",
        "contract",
    ]
    assert kept.counted([found]) == {"failing": 1, "stale": 0, "unproven": 0, "unattested": 0, "kept": 0}


def test_every_outcome_is_judged() -> None:
    assert {judged(("made",), [ran("made", result)]).state for result in (PASSED, FAILED, ControlResult(0))} == {
        State.KEPT, State.FAILING, State.UNPROVEN,
    }  # fmt: skip
    assert len(Outcome) == 3
