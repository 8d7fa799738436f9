"""Bindings and documents: changed by people in a role, logged, and what counts from then on."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from governance import clock
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import Rejected
from governance.evidence import fields, pending
from governance.evidence.log import Log
from governance.evidence.pending import DataEvidence
from governance.ids import uuid7
from governance.vault.keys import KeyStore
from policies import attestations, bindings, promises
from policies.attestations import AttestationDocument
from policies.bindings import PromiseBinding

DIGEST = "cd" * 32
KNOWN = frozenset(("one", "two"))


@pytest.fixture
def data(stores: tuple[Database, KeyStore]) -> Database:
    pending.attach(*stores)
    fields.declare_names("control", KNOWN)
    return stores[0]


@pytest.fixture
def log(stores: tuple[Database, KeyStore], tmp_path: Path) -> Log:
    return Log(tmp_path / "log", *stores, "log.example.com")


async def details(db: Database) -> list[dict[str, object]]:
    """Of every entry; without the digest of its row."""
    found = [dict(entry.detail) for _, entry in reversed(await pending.newest(Store.DATA, db, 100))]
    return [{name: value for name, value in each.items() if name != "row"} for each in found]


async def test_a_promise_is_bound_anew_and_the_newest_binding_counts(data: Database) -> None:
    register = promises.load()
    assert bindings.bound(register, await bindings.changes(data, register)) == register
    await bindings.bind(data, register, "2.6", ["one"], KNOWN, "legal")
    await bindings.bind(data, register, "2.6", ["two", "one", "two"], KNOWN, "legal")
    changed = await bindings.changes(data, register)
    assert [(each.by, each.controls) for each in changed.values()] == [("legal", ("two", "one"))]
    now = {each.id: promise for each, promise in bindings.bound(register, changed).promises}
    frozen = {each.id: promise for each, promise in register.promises}
    assert now.pop("2.6").controls == ("two", "one")
    assert frozen.pop("2.6").controls == ("purpose-limited",) and now == frozen
    common = {"version": "privacy/2026-03", "statement": "2.6"}
    assert await details(data) == [common | {"controls": ["one"]}, common | {"controls": ["two", "one"]}]


@pytest.mark.parametrize(
    ("statement", "controls", "said"),
    [
        ("1.1", ["one"], "No promise"),  # a notice
        ("99.1", ["one"], "No promise"),
        ("2.6", ["three"], "There is no control 'three'"),
        ("2.6", [], "at least one control"),
    ],
)
async def test_a_binding_that_shows_nothing_is_refused(
    data: Database, statement: str, controls: list[str], said: str
) -> None:
    with pytest.raises(Rejected, match=said):
        await bindings.bind(data, promises.load(), statement, controls, KNOWN, "legal")
    assert await details(data) == []


async def test_a_document_is_recorded_by_its_digest_and_the_newest_counts(data: Database) -> None:
    register, soon = promises.load(), clock.now() + timedelta(days=1)
    await attestations.add(data, register, "edge-network", "ab" * 32, soon, "legal")
    added = await attestations.add(data, register, "edge-network", DIGEST, soon, "legal")
    assert (await attestations.current(data)) == {"edge-network": added} and added.stands
    assert len(await attestations.history(data)) == 2
    expires = f"{soon:%Y-%m-%dT%H:%M:%SZ}"
    assert (await details(data))[1] == {"document": "edge-network", "digest": DIGEST, "expires": expires}


async def put_in(data: Database, *rows: object) -> None:
    async with data.transaction(DataUse.SECURITY) as session:
        session.add_all(rows)


async def test_rows_that_were_put_into_the_store_count_for_nothing(data: Database) -> None:
    """With an entry of their own kind, with one of another row, or with none that is there."""
    register, soon = promises.load(), clock.now() + timedelta(days=1)
    await bindings.bind(data, register, "2.6", ["one"], KNOWN, "legal")
    await attestations.add(data, register, "edge-network", DIGEST, soon, "legal")
    [(_, of_document), (_, of_binding)] = await pending.newest(Store.DATA, data, 2)
    for entry_id in (of_binding.id, of_document.id, uuid7()):
        bound = {
            "version": register.version,
            "statement": "3.1",
            "controls": [],
            "bound_at": clock.now(),
            "by": "legal",
        }
        document = {"digest": DIGEST, "recorded_at": clock.now(), "expires_at": soon, "by": "legal"}
        await put_in(
            data,
            PromiseBinding(id=uuid7(), entry_id=entry_id, **bound),
            AttestationDocument(id=uuid7(), name="hosting", entry_id=entry_id, **document),
        )
    assert list(await bindings.changes(data, register)) == ["2.6"]
    assert list(await attestations.current(data)) == ["edge-network"]
    for recorded in (bindings.BOUND, attestations.RECORDED):
        assert len(await recorded.differences(data, [])) == 3


async def test_a_row_with_an_entry_that_somebody_else_made_counts_for_nothing(data: Database) -> None:
    """Everything about it fits, but that this service didn't record it."""
    register = promises.load()
    row = PromiseBinding(
        id=uuid7(), version=register.version, statement="2.6", controls=[], bound_at=clock.now(), by="legal"
    )
    async with data.transaction(DataUse.SECURITY) as session:
        detail = {"version": register.version, "statement": "2.6", "controls": []}
        await bindings.BOUND.record(session, row, detail)
        session.add(row)
    assert list(await bindings.changes(data, register)) == ["2.6"]
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(update(DataEvidence).values(mac=b"m" * 32))
    assert await bindings.changes(data, register) == {}
    assert len(await bindings.BOUND.differences(data, [])) == 1


@pytest.mark.parametrize(
    "changed", [{"expires_at": datetime(2099, 1, 1, tzinfo=UTC)}, {"digest": "ef" * 32}, {"by": "operator"}]
)
async def test_a_row_that_was_changed_counts_for_nothing(data: Database, changed: dict[str, object]) -> None:
    await attestations.add(data, promises.load(), "edge-network", DIGEST, clock.now() + timedelta(days=1), "legal")
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(update(AttestationDocument).values(changed))
    assert await attestations.current(data) == {}
    [wrong] = await attestations.RECORDED.differences(data, [])
    assert wrong.startswith("A row of attestation_document isn't as the log has it")


async def test_the_logs_order_decides_and_no_clock(data: Database, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    register, soon = promises.load(), clock.now() + timedelta(days=9)
    ahead = time.time_ns() + 10**9 * 86_400
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time_ns", lambda: ahead)  # what ids are made of
        await attestations.add(data, register, "edge-network", "ab" * 32, soon, "legal")
        await bindings.bind(data, register, "2.6", ["one"], KNOWN, "legal")
    await log.advance()
    await attestations.add(data, register, "edge-network", DIGEST, soon, "legal")
    await bindings.bind(data, register, "2.6", ["two"], KNOWN, "legal")
    for _ in range(2):
        assert (await attestations.current(data))["edge-network"].digest == DIGEST
        assert (await bindings.changes(data, register))["2.6"].controls == ("two",)
        await log.advance()


async def test_a_document_that_nobody_asks_for_or_is_over_is_refused(data: Database) -> None:
    soon = clock.now() + timedelta(days=1)
    with pytest.raises(Rejected, match="No promise asks"):
        await attestations.add(data, promises.load(), "diploma", DIGEST, soon, "legal")
    with pytest.raises(Rejected, match="past"):
        await attestations.add(data, promises.load(), "edge-network", DIGEST, clock.now(), "legal")
    assert await attestations.current(data) == {}
