"""All cases: every lane with every fault, every field, every way to send something broken."""

from collections.abc import Callable, Sequence
from functools import partial

from router.probe.case import GOOD, Case, Cases, Credential, Lane, Leave
from router.probe.cases import bodies, broken, elsewhere, fields, heads
from router.probe.upstream import faults

_LEAVING = ((GOOD, Leave.IN_BODY), ("hang", Leave.WAITING), ("slow", Leave.IN_ANSWER), ("hang-midway", Leave.IN_ANSWER))


def matrix(
    lanes: Sequence[Lane], credentials: Sequence[Credential], *, web: bool, keep: Callable[[str], bool] = lambda _: True
) -> list[Case]:
    """`credentials` are those that the target has keys for; `web` adds pages and the account API of this service.

    `keep` takes a sample by name. Tags follow from the order, so a case has the same name and another canary each run.
    """
    cases = Cases(keep)
    for lane in lanes:
        _of_lane(cases, lane, credentials)
    for wire in dict.fromkeys(lane.wire for lane in lanes):
        # What a head, a path or broken bytes do hangs on the wire, not on each of its endpoints.
        first = next(lane for lane in lanes if lane.wire is wire)
        heads.add(cases, first)
        broken.add(cases, first)
        elsewhere.add_paths(cases, first)
    if web:
        elsewhere.add_web(cases, lanes[0])
    return cases.made


def _of_lane(cases: Cases, lane: Lane, credentials: Sequence[Credential]) -> None:
    build = partial(bodies.good, lane)
    for fault in faults.names(lane):
        cases.add(f"{lane.name}/{fault}", build, lane=lane, fault=fault)
    for credential in credentials:
        if credential is not Credential.GOOD:
            cases.add(f"{lane.name}/{credential}", build, lane=lane, credential=credential)
    for fault, leave in _LEAVING:
        if leave is not Leave.IN_ANSWER or lane.stream:
            leaving = partial(bodies.good, lane, leave=leave)
            cases.add(f"{lane.name}/caller leaves {leave} ({fault})", leaving, lane=lane, fault=fault)
    fields.add(cases, lane)
