"""Old copies of the data beside the keys of today: what was erased or has expired opens no more, all else does.

The copies are taken as people take them: the SQLite files themselves, WAL included, and a `pg_dump`.
"""

import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import make_url, select

from governance import clock
from governance.backup import postgres as programs
from governance.backup import read
from governance.backup.erase_check import check, wanted
from governance.backup.opener import KeyOpener
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import KeyGone
from governance.ids import uuid7
from governance.vault.columns import seal
from governance.vault.keys import KeyStore
from policies import retention
from router.billing.usage_log import Usage
from tests.governance.vault.test_sealed import Kept
from tests.services.postgres import Postgres

Stores = tuple[Database, KeyStore]
LIMITS = retention.load().limits()


@dataclass(frozen=True)
class People:
    """Who is in the copies. `old`: usage whose network period ends meanwhile; `kept`: rows with a tax basis."""

    erased: UUID
    living: UUID
    old: UUID


async def usage(stores: Stores, subject: UUID, days_ago: int) -> UUID:
    data, keys = stores
    at = clock.now() - timedelta(days=days_ago)
    row = Usage(
        id=UUID(int=(int(at.timestamp() * 1000) << 80) | (uuid7().int & ((1 << 80) - 1))), account_id=uuid7(),
        subject_id=subject, api_key_id=uuid7(), at=at, endpoint="chat", model="m", provider="p", input_tokens=1,
        cached_input_tokens=0, cache_write_tokens=0, output_tokens=1, estimated=False, charge_microcredits=1, latency_ms=1,
        status=200, outcome="completed",
    )  # fmt: skip
    await seal(keys, row, at=at, ip="203.0.113.9", user_agent="curl")
    async with data.transaction(DataUse.SECURITY) as session:
        session.add(row)
    return row.id


async def fill(stores: Stores) -> People:
    data, keys = stores
    people = People(uuid7(), uuid7(), uuid7())
    for subject in (people.erased, people.living, people.old):
        await keys.create_subject_key(subject)
        row = Kept(id=uuid7(), subject_id=subject)
        await seal(keys, row, name="Ada", address="203.0.113.9", agent="curl")
        async with data.transaction(DataUse.SECURITY) as session:
            session.add(row)
    await usage(stores, people.erased, 0)
    await usage(stores, people.living, 0)
    await usage(stores, people.old, 29)
    return people


def copy_of(data: Database, folder: Path) -> Path:
    """A file-level copy, or a dump, while the database is open."""
    folder.mkdir()
    if data.sqlite:
        source = Path(str(data.engine.url.database))
        for end in ("", "-wal"):
            beside = source.with_name(source.name + end)
            if beside.exists():
                shutil.copy(beside, folder / ("copy.db" + end))
        return folder / "copy.db"
    url = make_url(data.engine.url.render_as_string(hide_password=False))
    dump = folder / "copy.dump"
    command = [programs.program("pg_dump", 15), "-Fc", "-h", str(url.query["host"]), "-U", str(url.username),
               "-f", str(dump), str(url.database)]  # fmt: skip
    subprocess.run(command, check=True)
    return dump


async def restored(copy: Path, request: pytest.FixtureRequest, keys: KeyStore) -> Database:
    """The copy put back beside the live key store."""
    if copy.suffix == ".db":
        data = Database(f"sqlite+aiosqlite:///{copy}")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        address = server.create_database()
        url = make_url(address)
        command = [programs.program("pg_restore", 15), "--no-owner", "-h", str(url.query["host"]),
                   "-U", str(url.username), "-d", str(url.database), str(copy)]  # fmt: skip
        subprocess.run(command, check=True)
        data = Database(address)
    data.context["keys"] = keys
    return data


async def test_after_erasure_and_expiry_an_old_copy_gives_nothing_away(
    stores: Stores, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    people = await fill(stores)
    copy = copy_of(data, tmp_path / "copy")
    await keys.erase_subject(people.erased)
    in_two_days = clock.now() + timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: in_two_days)
    await keys.expire()

    back = await restored(copy, request, keys)
    async with back.session(DataUse.SECURITY) as session:
        rows = {row.subject_id: row for row in await session.scalars(select(Usage))}
        kept = {row.subject_id: row for row in await session.scalars(select(Kept))}
    assert rows.keys() == kept.keys() == {people.erased, people.living, people.old}
    gone = (
        rows[people.erased].ip, rows[people.erased].user_agent, rows[people.old].ip, rows[people.old].user_agent,
        kept[people.erased].address, kept[people.erased].agent,
    )  # fmt: skip
    for handle in gone:
        assert handle is not None
        with pytest.raises(KeyGone):
            await handle.open(DataUse.SECURITY)
    assert rows[people.living].ip is not None and await rows[people.living].ip.open(DataUse.SECURITY) == "203.0.113.9"
    for subject in (people.living, people.old):
        assert await kept[subject].address.open(DataUse.SECURITY) == "203.0.113.9"
        assert await kept[subject].agent.open(DataUse.SECURITY) == "curl"
    for subject in kept:
        assert await kept[subject].name.open(DataUse.FINANCE) == "Ada"  # the tax basis keeps it
    await back.aclose()


async def test_erase_check_counts_the_same(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, keys = stores
    people = await fill(stores)
    copy = copy_of(data, tmp_path / "copy")

    class Living(KeyOpener):
        """The data store as it is after the erasure."""

        async def erased(self, subject_id: UUID) -> bool:
            return await keys.erased(subject_id)

    async def look() -> dict[str, tuple[int, ...]]:
        with read.opened(copy, tmp_path) as opened:
            findings = await check(opened.rows(wanted()), Living(keys, data, LIMITS))
        return {
            finding.column: (
                finding.of_erased,
                finding.of_erased_opened,
                finding.of_kept_opened,
                finding.of_living_opened,
            )
            for finding in findings
            if finding.values
        }

    assert set((await look()).values()) == {(0, 0, 0, 3)}
    await keys.erase_subject(people.erased)
    in_two_days = clock.now() + timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: in_two_days)
    overdue = await look()
    assert overdue["usage.ip"] == (2, 1, 0, 1)  # expired, and its key still there: found
    await keys.expire()
    found = await look()
    assert found["usage.ip"] == found["usage.user_agent"] == (2, 0, 0, 1)
    assert found["test_kept.name"] == (0, 0, 1, 2)
    assert found["test_kept.address"] == found["test_kept.agent"] == (1, 0, 0, 2)
