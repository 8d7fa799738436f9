"""Published versions: seeded once however many processes start, each with its entry, and never changed afterwards."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from governance import clock
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import Conflict, NotFound
from governance.evidence import pending
from governance.evidence.entry import EntryType
from governance.vault.keys import KeyStore
from policies import version, versions
from policies.versions import PolicyFile
from tests.policies.conftest import Made

Stores = tuple[Database, KeyStore]


async def test_what_ships_is_seeded_once_with_its_entry(stores: Stores) -> None:
    db, shipped = stores[0], versions.shipped()
    seeded = await asyncio.gather(*(versions.seed(db, shipped) for _ in range(8)))
    assert [name for names in seeded for name in names] == [each.name for each in shipped] == ["privacy/2026-03"]
    entries = [
        entry for _, entry in await pending.newest(Store.DATA, db, 50) if entry.type is EntryType.POLICY_PUBLISHED
    ]
    assert [{**entry.detail, "row": ""} for entry in entries] == [
        {"version": "privacy/2026-03", "digest": shipped[0].digest, "row": ""}
    ]
    now = await versions.in_force(db, "privacy")
    assert now is not None and (now.version, now.digest, now.entry_id) == ("2026-03", shipped[0].digest, entries[0].id)
    assert await versions.get(db, "privacy", "2026-03") == shipped[0]


async def test_a_later_version_is_in_force_from_its_day_on(stores: Stores, made: Made) -> None:
    db = stores[0]
    await versions.seed(db, [*versions.shipped(), version.read(made("2027-01"))])
    try:
        for day, expected in ((31, "2026-03"), (32, "2027-01")):
            at = datetime(2026, 12, day, 23, 59, tzinfo=UTC) if day < 32 else datetime(2027, 1, 1, tzinfo=UTC)
            clock.install(lambda at=at: at)
            now = await versions.in_force(db, "privacy")
            assert now is not None and now.version == expected
    finally:
        clock.install(None)
    assert [row.version for row in await versions.history(db, "privacy")] == ["2027-01", "2026-03"]
    assert await versions.history(db, "terms") == [] and await versions.in_force(db, "terms") is None


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_a_published_version_stays_as_it_was(stores: Stores, made: Made) -> None:
    db = stores[0]
    first = version.read(made("2027-01"))
    await versions.seed(db, [first])
    changed = version.made("privacy", "2027-01", {**first.files, "retention.yaml": b"rules: []\n"})
    assert await versions.seed(db, [changed]) == []
    assert await versions.get(db, "privacy", "2027-01") == first


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_files_that_were_changed_in_the_store_are_found(stores: Stores) -> None:
    db = stores[0]
    await versions.seed(db, versions.shipped())
    with pytest.raises(NotFound):
        await versions.get(db, "privacy", "1999-01")
    async with db.transaction(DataUse.SECURITY) as session:
        await session.execute(update(PolicyFile).where(PolicyFile.name == "recipients.yaml").values(content=b"x"))
    with pytest.raises(Conflict, match="store was changed"):
        await versions.get(db, "privacy", "2026-03")
