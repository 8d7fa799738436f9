"""An old copy against today's keys: what was erased is noise, what lives opens, and a key that was forgotten is found."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import delete, select

from governance.backup import create, read
from governance.backup.erase_check import EraseCheck, Finding, check, wanted
from governance.backup.opener import KeyOpener
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import KeyUnavailable
from governance.ids import uuid7
from governance.mail.outbox import OutboxMail
from governance.period import Period
from governance.subjects import DataSubject
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from governance.vault.limits import Limit, Starts
from tests.governance.backup.rows import add_mail

Stores = tuple[Database, KeyStore]


async def erase(data: Database, keys: KeyStore, subject_id: UUID, *, with_key: bool = True) -> None:
    async with data.transaction(DataUse.SUPPORT) as session:
        await session.execute(delete(OutboxMail).where(OutboxMail.subject_id == subject_id))
        await session.execute(delete(DataSubject).where(DataSubject.id == subject_id))
    if with_key:
        await keys.erase_subject(subject_id)


async def looked(out: Path, opener: KeyOpener, run_folder: Path, subject: UUID | None = None) -> dict[str, Finding]:
    with read.opened(out, run_folder) as copy:
        findings = await check(copy.rows(wanted()), opener, subject_id=subject)
    return {finding.column: finding for finding in findings}


async def test_an_erased_subject_is_noise_and_the_living_open(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    gone, stays = await add_mail(data, keys, "gone"), await add_mail(data, keys, "stays")
    out = tmp_path / "b"
    await create.create_data(create.Order(out, timedelta(days=90), 0), data, keys.db)
    await erase(data, keys, gone)
    found = await looked(out, KeyOpener(keys, data, {}), tmp_path)
    assert found["outbox.recipient"] == Finding("outbox.recipient", 2, 1, 0, of_living=1, of_living_opened=1)
    assert EraseCheck(list(found.values())).ok
    one = await looked(out, KeyOpener(keys, data, {}), tmp_path, gone)
    assert one["outbox.body"] == Finding("outbox.body", 1, 1, 0)
    one = await looked(out, KeyOpener(keys, data, {}), tmp_path, stays)
    assert one["outbox.body"] == Finding("outbox.body", 1, of_living=1, of_living_opened=1)


async def test_a_key_that_outlived_its_subject_is_found(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    gone = await add_mail(data, keys, "gone")
    out = tmp_path / "b"
    await create.create_data(create.Order(out, timedelta(days=90), 0), data, keys.db)
    await erase(data, keys, gone, with_key=False)
    found = await looked(out, KeyOpener(keys, data, {}), tmp_path)
    assert found["outbox.recipient"].of_erased_opened == 1 and not EraseCheck(list(found.values())).ok


async def test_an_expired_period_counts_like_an_erased_subject(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    await add_mail(data, keys, "old")
    out = tmp_path / "b"
    await create.create_data(create.Order(out, timedelta(days=90), 0), data, keys.db)
    over = KeyOpener(keys, data, {"outbox": Limit(Starts.YEAR_END, Period(-24, timedelta()))})
    assert (await looked(out, over, tmp_path))["outbox.body"] == Finding("outbox.body", 1, 1, 1)
    running = KeyOpener(keys, data, {"outbox": Limit(Starts.CREATION, Period.parse("P1D"))})
    assert (await looked(out, running, tmp_path))["outbox.body"] == Finding(
        "outbox.body", 1, of_living=1, of_living_opened=1
    )


async def test_a_value_moved_to_another_row_does_not_open(stores: Stores) -> None:
    data, keys = stores
    subject = await add_mail(data, keys, "x")
    async with data.session(DataUse.SUPPORT) as session:
        mail = (await session.scalars(select(OutboxMail.id))).one()
        row = await session.get_one(OutboxMail, mail)
    opener = KeyOpener(keys, data, {})
    assert await opener.can_open(row.body.envelope, 285, subject, row.id)
    assert not await opener.can_open(row.body.envelope, 285, subject, uuid7())
    assert not await opener.can_open(row.body.envelope, 284, subject, row.id)


async def test_a_missing_root_key_is_no_proof(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    await add_mail(data, keys, "x")
    out = tmp_path / "b"
    await create.create_data(create.Order(out, timedelta(days=90), 0), data, keys.db)
    other = KeyStore(keys.db, FileKeyring.create(tmp_path / "other" / "root.key"))
    with pytest.raises(KeyUnavailable):
        await looked(out, KeyOpener(other, data, {}), tmp_path)
