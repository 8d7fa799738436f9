"""The control stands on a clean, fresh run of this very program, and on nothing else; a leak is an incident."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from governance import clock
from governance.bodies import attestation, probe_run, standing
from governance.bodies.probe_run import About, Limits, ProbeRun, Result
from governance.bodies.standing import Standing
from governance.bodies.verdict import Verdict
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import Conflict, NotFound, Rejected, SealBroken
from governance.ids import uuid7
from governance.incidents import opening
from governance.incidents.incident import Incident
from governance.period import Period
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from tests.services import tables

Stores = tuple[Database, KeyStore]
BUILD = "b" * 64
SETUP = "c" * 64
AGE = Period.parse("PT13H")
_now = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def still() -> Iterator[None]:
    clock.install(lambda: _now)
    yield
    clock.install(None)


async def ran(
    stores: Stores, verdict: Verdict, *, build: str = BUILD, setup: str = SETUP, ago: timedelta = timedelta()
) -> ProbeRun:
    leak = ("chat/prompt/messages at data store, usage.model",) if verdict is Verdict.LEAK else ()
    ended = clock.now() - ago
    result = Result(verdict, ended, ended, 3, 9, 40, (), leak, ("/proc/1/fd: not permitted",), ("home",), 100)
    signer = await attestation.signer(*stores)
    about = About(build, setup, {"guard": True})
    return await probe_run.record(stores[0], signer, result, about, version="1", limits=Limits("PT6H", "PT13H"))


async def now(stores: Stores, setup: str | None = SETUP) -> Standing:
    return await standing.read(stores[0], await attestation.checker(stores[1]), About(BUILD, setup), AGE)


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
    assert told["setup"] == {"sha256": SETUP, "guard": True}
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
    [row] = await opening.listed(db)
    assert (row.runs, row.run_id, row.found) == (2, last.id, ["chat/prompt/messages at data store, usage.model"])
    await ran(stores, Verdict.CLEAN)
    assert (await now(stores)).state == "red"  # a clean run answers for nothing
    for reason in ("", " ", "a\nb", "x" * 2001):
        with pytest.raises(Rejected):
            await opening.acknowledge(db, row.id, by="operator", reason=reason)
    with pytest.raises(NotFound):
        await opening.acknowledge(db, last.id, by="operator", reason="wrong id")
    await opening.acknowledge(db, row.id, by="operator", reason="the debug log was off by noon")
    assert (await now(stores)).stands  # the clean run that followed counts now
    with pytest.raises(Conflict):
        await opening.acknowledge(db, row.id, by="operator", reason="again")
    await ran(stores, Verdict.LEAK)
    again = await now(stores)
    assert again.incident_id == row.id  # the same cause, unanswered again
    names = [json.loads(line)["event"] for line in event_log.read_text().splitlines()]
    assert names.count("bodies:incident:opened") == 1 and names.count("incidents:record:acknowledged") == 1


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_acknowledged_without_a_clean_run_is_unverified(stores: Stores) -> None:
    await ran(stores, Verdict.LEAK)
    [row] = await opening.listed(stores[0])
    await opening.acknowledge(stores[0], row.id, by="operator", reason="looking into it")
    found = await now(stores)
    assert (found.state, found.incident_id) == ("unverified", None)


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_a_run_in_another_setup_shows_nothing(stores: Stores) -> None:
    await ran(stores, Verdict.CLEAN, setup="d" * 64)
    found = await now(stores)
    assert found.state == "unverified" and "another setup" in found.why
    assert (await now(stores, None)).stands  # nothing runs whose setup could be another


FORGED = {
    "verdict": "clean", "build": BUILD, "setup": SETUP, "version": "2", "cases": 5, "canaries": 7, "planted": 1, "found": 2,
    "unread": [], "searched": ["everything"], "bytes_read": 1, "why": "x", "started_at": _now + timedelta(hours=1),
    "ended_at": _now + timedelta(minutes=-1), "id": uuid7(),
}  # fmt: skip


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
@pytest.mark.parametrize("field", FORGED)
async def test_a_row_that_was_not_signed_as_it_is_shows_nothing(stores: Stores, field: str) -> None:
    others = {"verdict": Verdict.VOID, "build": "a" * 64, "setup": "a" * 64}
    verdict = Verdict(others["verdict"]) if field == "verdict" else Verdict.CLEAN
    row = await ran(
        stores, verdict, ago=timedelta(hours=2),
        build=others["build"] if field == "build" else BUILD, setup=others["setup"] if field == "setup" else SETUP,
    )  # fmt: skip
    async with stores[0].transaction(DataUse.SECURITY) as session:
        await session.execute(update(ProbeRun).where(ProbeRun.id == row.id).values({field: FORGED[field]}))
    found = await now(stores)
    assert not found.stands and "isn't what this service signed" in found.why


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_another_key_beside_the_data_signs_nothing(stores: Stores, tmp_path: Path) -> None:
    """Whoever writes the data store can write a key and a row; the key store's own key is what counts."""
    keys_db = Database(await tables.sqlite(tmp_path / "other" / "keys.db", Store.KEYS))
    stranger = KeyStore(keys_db, FileKeyring.create(tmp_path / "other" / "root.key"))
    signer = await attestation.signer(stores[0], stranger)
    result = Result(Verdict.CLEAN, clock.now(), clock.now(), 3, 9, 40, (), (), (), ("home",), 100)
    row = await probe_run.record(
        stores[0], signer, result, About(BUILD, SETUP), version="1", limits=Limits("PT6H", "PT13H")
    )
    await keys_db.aclose()
    assert signer.id in {key["kid"] for key in (await attestation.key_set(stores[0]))["keys"]}
    assert not (await now(stores)).stands
    own = await attestation.checker(stores[1])
    for envelope in (row.attestation, "", "{}", "[]", "null", row.attestation.replace(signer.id, own.id)):
        with pytest.raises(SealBroken):
            own.opened(envelope)


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_an_older_attestation_serves_no_newer_row(stores: Stores) -> None:
    old = await ran(stores, Verdict.CLEAN, ago=timedelta(days=2))
    new = await ran(stores, Verdict.LEAK)
    async with stores[0].transaction(DataUse.SECURITY) as session:
        change = update(ProbeRun).where(ProbeRun.id == new.id)
        await session.execute(change.values(verdict="clean", findings=[], found=0, attestation=old.attestation))
        await session.execute(update(Incident).values(closed_at=_now))
    assert "isn't what this service signed" in (await now(stores)).why
