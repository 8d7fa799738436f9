"""The control stands on a clean, fresh run of this very program, and on nothing else; a leak is an incident."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance import clock
from governance.bodies import attestation, incidents, probe_run, standing
from governance.bodies.probe_run import Limits, ProbeRun, Result
from governance.bodies.standing import Standing
from governance.bodies.verdict import Verdict
from governance.db import Database
from governance.errors import Conflict, NotFound, Rejected
from governance.period import Period
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]
BUILD = "b" * 64
AGE = Period.parse("PT13H")
_now = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def still() -> Iterator[None]:
    clock.install(lambda: _now)
    yield
    clock.install(None)


async def ran(stores: Stores, verdict: Verdict, *, build: str = BUILD, ago: timedelta = timedelta()) -> ProbeRun:
    leak = ("chat/prompt/messages at data store, usage.model",) if verdict is Verdict.LEAK else ()
    ended = clock.now() - ago
    result = Result(verdict, ended, ended, 3, 9, 40, (), leak, ("/proc/1/fd: not permitted",), ("home",), 100)
    signer = await attestation.signer(*stores)
    return await probe_run.record(stores[0], signer, result, build=build, version="1", limits=Limits("PT6H", "PT13H"))


async def now(stores: Stores) -> Standing:
    return await standing.read(stores[0], BUILD, AGE)


async def test_it_stands_on_a_clean_run(stores: Stores, event_log: Path) -> None:
    assert not (await now(stores)).stands
    row = await ran(stores, Verdict.CLEAN)
    found = await now(stores)
    assert found.probe_id == row.id and found.state == "stands" and found.age_seconds == 0
    [said] = [json.loads(line) for line in event_log.read_text().splitlines()]
    assert (said["event"], said["probe_id"], said["cases"]) == ("bodies:probe:clean", str(row.id), 3)


async def test_an_attestation_says_what_ran(stores: Stores) -> None:
    row = await ran(stores, Verdict.LEAK)
    from tests.governance.bodies.test_attestation import verified

    told = verified(row.attestation, await attestation.key_set(stores[0]))["predicate"]
    assert (told["verdict"], told["found"], told["sent"]) == ("leak", 1, {"cases": 3, "canaries": 9})
    assert told["positive_control"] == {"planted": 40, "missed": 0} and told["searched"]["bytes"] == 100
    assert told["not_searched"] == ["/proc/1/fd: not permitted"]
    assert "usage.model" not in json.dumps(told)  # where it leaked is the operator's to know


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "verdict, build, ago, why",
    [
        (Verdict.VOID, BUILD, timedelta(), "No probe has come to a result"),
        (Verdict.CLEAN, "a" * 64, timedelta(), "another version"),
        (Verdict.CLEAN, BUILD, timedelta(hours=13), "older than its limit"),
        (Verdict.CLEAN, BUILD, timedelta(hours=-1), "clock was set back"),
        (Verdict.LEAK, BUILD, timedelta(), "found content at rest"),
    ],
)
async def test_it_stands_on_nothing_else(
    stores: Stores, verdict: Verdict, build: str, ago: timedelta, why: str
) -> None:
    await ran(stores, verdict, build=build, ago=ago)
    found = await now(stores)
    assert not found.stands and why in found.why and found.verdict == verdict


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_a_void_run_takes_nothing_away_and_a_leak_does(stores: Stores) -> None:
    clean = await ran(stores, Verdict.CLEAN)
    await ran(stores, Verdict.VOID)
    assert (await now(stores)).probe_id == clean.id
    await ran(stores, Verdict.LEAK)
    assert (await now(stores)).state == "red"


async def test_an_incident_stays_until_somebody_answers_for_it(stores: Stores, event_log: Path) -> None:
    db = stores[0]
    await ran(stores, Verdict.LEAK)
    last = await ran(stores, Verdict.LEAK)
    [row] = await incidents.listed(db)
    assert (row.runs, row.probe_id, row.found) == (2, last.id, ["chat/prompt/messages at data store, usage.model"])
    await ran(stores, Verdict.CLEAN)
    assert (await now(stores)).state == "red"  # a clean run answers for nothing
    for reason in ("", " ", "a\nb", "x" * 201):
        with pytest.raises(Rejected):
            await incidents.acknowledge(db, row.id, by="operator", reason=reason)
    with pytest.raises(NotFound):
        await incidents.acknowledge(db, last.id, by="operator", reason="wrong id")
    await incidents.acknowledge(db, row.id, by="operator", reason="the debug log was off by noon")
    assert (await now(stores)).stands  # the clean run that followed counts now
    with pytest.raises(Conflict):
        await incidents.acknowledge(db, row.id, by="operator", reason="again")
    await ran(stores, Verdict.LEAK)
    again = await now(stores)
    assert again.incident_id not in (None, row.id)
    names = [json.loads(line)["event"] for line in event_log.read_text().splitlines()]
    assert names.count("bodies:incident:opened") == 2 and names.count("bodies:incident:acknowledged") == 1


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_acknowledged_without_a_clean_run_is_unverified(stores: Stores) -> None:
    await ran(stores, Verdict.LEAK)
    [row] = await incidents.listed(stores[0])
    await incidents.acknowledge(stores[0], row.id, by="operator", reason="looking into it")
    found = await now(stores)
    assert (found.state, found.incident_id) == ("unverified", None)
