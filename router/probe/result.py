"""What a run says. It holds names, places and counts; never a canary, a body or a key."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from governance.bodies.verdict import Verdict
from router.probe.sender import Outcome


@dataclass(frozen=True, slots=True)
class Found:
    """A canary at rest. `canary` says where it was put: `case/direction/field`."""

    canary: str
    place: str
    form: str
    offset: int | None
    matched: int  # bytes of the canary in a row, at least 16
    when: str  # the gateway was `running` or `stopped`


@dataclass(frozen=True, slots=True)
class Gap:
    """What could not be read, or not to its end. `fatal` makes the run void."""

    place: str
    why: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Where the gateway wrote canaries, as strace saw it. `expected`: the caller or the upstream."""

    kind: str
    name: str
    writes: int
    expected: bool


@dataclass(frozen=True, slots=True)
class Control:
    """What was planted in every encoding and sink, and what of it the scanner didn't find; what was `seeded` in the places
    of the run itself, and what of that its own search didn't find."""

    planted: int
    missed: tuple[str, ...]
    seeded: int = 0
    seeded_missed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One run. `carried` says by wire whether a completion came all the way; `seen_by_others` counts by what happened."""

    verdict: Verdict
    reasons: tuple[str, ...]
    started: datetime
    ended: datetime
    target: str
    version: str
    program: str
    cases: int
    outcomes: Mapping[str, int]
    carried: Mapping[str, bool]
    canaries: int
    control: Control
    findings: tuple[Found, ...]
    unread: tuple[Gap, ...]
    seen_by_others: Mapping[str, int]
    bytes_read: int
    files: int
    traced: tuple[Descriptor, ...] | None = None
    kept: str | None = None  # the folder of our own instance, where it was to be left

    @property
    def seconds(self) -> float:
        return (self.ended - self.started).total_seconds()

    def as_json(self) -> dict[str, Any]:
        """For scripts: plain data, times in ISO 8601."""
        made = asdict(self)
        made["started"], made["ended"] = self.started.isoformat(), self.ended.isoformat()
        return {**made, "seconds": round(self.seconds, 1)}


def outcomes(sent: Iterable[Outcome]) -> dict[str, int]:
    """Cases by what became of them."""
    return dict(sorted(Counter(_kind(outcome) for outcome in sent).items()))


def _kind(outcome: Outcome) -> str:
    if outcome.how == "left":
        return "the caller left"
    if outcome.status is None:
        return outcome.how if outcome.how != "ended" else "closed without an answer"
    if outcome.answered:
        return "answered"
    return {2: "another answer", 3: "redirected", 4: "refused"}.get(outcome.status // 100, "failed")


def judge(
    *, control: Control, carried: Mapping[str, bool], findings: Sequence[Found], unread: Sequence[Gap],
    traced: Sequence[Descriptor], named_bytes: int, ended: Mapping[str, Mapping[str, int]], unfollowed: Sequence[str] = (),
) -> tuple[Verdict, tuple[str, ...]]:  # fmt: skip
    """The verdict, and a sentence for each reason that it isn't clean.

    `named_bytes` were read of what was named as the gateway's; `ended` counts by wire how its plain cases ended;
    `unfollowed` says what a trace didn't see.
    """
    void = []
    if control.missed:
        void.append(
            f"The positive control missed {len(control.missed)} of {control.planted}: what isn't found says nothing."
        )
    if not control.planted:
        void.append("There was no positive control.")
    if control.seeded_missed:
        void.append(
            f"The search of this run missed {len(control.seeded_missed)} of {control.seeded} that were seeded in its own"
            " places."
        )
    if not control.seeded:
        void.append("Nothing was seeded in the places of this run.")
    if not carried:
        void.append("No case was sent that asks for a completion.")
    void += [
        f"The gateway never carried a prompt on the {wire} wire: no completion came back with its canary"
        f" ({_counted(ended.get(wire, {}))})."
        for wire, done in carried.items()
        if not done
    ]
    if not named_bytes:
        void.append(
            "Nothing of the gateway's could be searched: name files, logs, processes or stores where its bytes come to rest."
        )
    void += unfollowed
    void += [f"{gap.place} could not be searched: {gap.why}." for gap in unread if gap.fatal]
    leaks = []
    if findings:
        leaks.append(f"Canaries came to rest in {len({found.place for found in findings})} places.")
    wrong = [each for each in traced if not each.expected]
    if wrong:
        leaks.append(
            f"Canaries were written to {len(wrong)} descriptors that are neither the caller's nor the upstream's."
        )
    if void:
        return Verdict.VOID, (*void, *leaks)
    return (Verdict.LEAK, tuple(leaks)) if leaks else (Verdict.CLEAN, ())


def _counted(ended: Mapping[str, int]) -> str:
    return ", ".join(f"{count} ended with {how}" for how, count in ended.items()) or "no plain case was sent"
