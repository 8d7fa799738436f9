"""Bindings and documents: changed by people in a role, logged, and what counts from then on."""

from datetime import timedelta

import pytest

from governance import clock
from governance.datamap import Store
from governance.db import Database
from governance.errors import Rejected
from governance.evidence import fields, pending
from governance.vault.keys import KeyStore
from policies import attestations, bindings, promises

DIGEST = "cd" * 32
KNOWN = frozenset(("one", "two"))


@pytest.fixture
def data(stores: tuple[Database, KeyStore]) -> Database:
    pending.attach(*stores)
    fields.declare_names("control", KNOWN)
    return stores[0]


async def details(db: Database) -> list[dict[str, object]]:
    return [dict(entry.detail) for _, entry in reversed(await pending.newest(Store.DATA, db, 100))]


async def test_a_promise_is_bound_anew_and_the_newest_binding_counts(data: Database) -> None:
    register = promises.load()
    assert await bindings.bound(data, register) == register
    await bindings.bind(data, register, "2.6", ["one"], KNOWN, "legal")
    await bindings.bind(data, register, "2.6", ["two", "one", "two"], KNOWN, "legal")
    now = {each.id: promise for each, promise in (await bindings.bound(data, register)).promises}
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
    assert (await details(data))[1] == {"document": "edge-network", "digest": DIGEST}


async def test_a_document_that_nobody_asks_for_or_is_over_is_refused(data: Database) -> None:
    soon = clock.now() + timedelta(days=1)
    with pytest.raises(Rejected, match="No promise asks"):
        await attestations.add(data, promises.load(), "diploma", DIGEST, soon, "legal")
    with pytest.raises(Rejected, match="past"):
        await attestations.add(data, promises.load(), "edge-network", DIGEST, clock.now(), "legal")
    assert await attestations.current(data) == {}
