"""The matrix: every endpoint and mode with every fault, and a canary in everything that is sent."""

import gzip
from collections import Counter

import pytest

from router.probe.canaries import tags
from router.probe.case import GOOD, Case, Credential, only
from router.probe.cases.fields import _data
from router.probe.cases.matrix import matrix
from router.probe.own import own_lanes
from router.probe.upstream import faults
from router.surface import Account, Endpoint, Portal, Service, paths

CREDENTIALS = (Credential.GOOD, Credential.POOR, Credential.LIMITED)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return matrix(own_lanes(), CREDENTIALS, web=True)


def test_every_endpoint_is_asked_in_every_mode_and_meets_every_fault(cases: list[Case]) -> None:
    lanes = own_lanes()
    assert {lane.endpoint for lane in lanes} == set(Endpoint)
    assert {(lane.endpoint, lane.stream) for lane in lanes} >= {
        (endpoint, stream)
        for endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES)
        for stream in (False, True)
    }
    met = {(case.lane.name, case.fault) for case in cases if case.lane is not None}
    assert met >= {(lane.name, fault) for lane in lanes for fault in faults.names(lane)}
    statuses = {fault.split()[0] for fault in faults.names(lanes[0]) if fault[0].isdigit()}
    assert statuses >= {"400", "401", "403", "404", "429", "500", "503"}


def test_every_lane_meets_an_account_without_credits_and_one_over_its_limit(cases: list[Case]) -> None:
    met = {(case.lane.name, case.credential) for case in cases if case.lane is not None}
    assert met >= {(lane.name, credential) for lane in own_lanes() for credential in CREDENTIALS}


def test_every_page_and_account_route_is_sent_content(cases: list[Case]) -> None:
    names = {case.name for case in cases}
    for group in (Account, Portal, Service):
        for path in paths(group):
            assert any(name.split(" (")[0].endswith(f" {path}") for name in names), path


def test_names_and_tags_are_each_one_cases_own(cases: list[Case]) -> None:
    for values in ((case.name for case in cases), (case.tag for case in cases)):
        assert [value for value, count in Counter(values).items() if count > 1] == []


def test_every_request_carries_a_canary_of_its_case(cases: list[Case]) -> None:
    """A case without one would prove nothing, however its request is answered."""
    for case in cases:
        if " MB" in case.name or "over the limit" in case.name:
            continue  # looked at below
        request, made = case.request(), list(case.marks)
        head = [request.method, request.target, *map(b": ".join, request.headers)]
        sent = request.raw or b"\n".join((*head, request.body or b""))
        if case.name.endswith("/gzip") and case.fault == GOOD:
            sent = gzip.decompress(request.body or b"")
        elif case.name.endswith("/UTF-16"):
            sent = (request.body or b"").decode("utf-16").encode()
        # The last one made is that of the field that the case is about; those before may have been replaced with it.
        last = made[-1].value
        assert last.encode() in sent.lower() or _data(last).encode() in sent, case.name
        assert set(tags(sent.lower())) <= {case.tag}


def test_large_bodies_are_as_large_as_they_say() -> None:
    large = matrix(own_lanes()[:1], CREDENTIALS, web=False, keep=only(["a body "]))
    sizes = {case.name: len(case.request().body or b"") for case in large}
    assert sorted(size // 2**20 for size in sizes.values()) == [19, 19, 32, 32]
    request = large[0].request()
    assert request.body is not None
    assert all(canary.value.encode() in request.body for canary in large[0].marks)


def test_a_sample_is_taken_by_name() -> None:
    few = matrix(own_lanes(), CREDENTIALS, web=True, keep=only(["chat/good", "portal/GET"]))
    assert {case.name for case in few} >= {"chat/good", "portal/GET /portal/"}
    assert all("chat/good" in case.name or "portal/GET" in case.name for case in few)
