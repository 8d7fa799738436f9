"""Until when what was destroyed is within somebody's reach."""

from datetime import timedelta
from pathlib import Path

import pytest

from governance import clock
from governance.backup import create, registry
from governance.backup.expiry import key_file_of
from governance.backup.receipt import receipts
from governance.db import Database
from governance.ids import uuid7
from governance.period import Period
from governance.vault import rotation
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]
MONTH = Period.parse("P1M")


async def test_a_receipt_names_backups_and_the_index(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    subject, later = uuid7(), uuid7()
    for each in (subject, later):
        await keys.create_subject_key(each)
    await EmailIndex(keys).add("somebody@example.org", subject)
    index_made_at = await keys.service_key_made_at(EmailIndex.KEY)
    assert index_made_at is not None
    backups = []
    for name, days in (("short", 10), ("long", 30)):
        order = create.Order(tmp_path / name, timedelta(days=days), epoch=0)
        backups.append(await create.create_keys(order, keys, key_file_of(tmp_path / name), tmp_path / "run"))
    gone = await keys.erase_subject(subject)
    (receipt,) = await receipts(keys, gone, MONTH)
    assert receipt.destroyed.key_id == gone[0]
    assert receipt.backup_until == backups[1].expires_at
    assert receipt.confirmable_until == MONTH.after(index_made_at)
    # A backup from after it doesn't hold the key; nor does one that was removed.
    for backup in backups:
        await registry.mark_removed(keys.db, backup.id)
    order = create.Order(tmp_path / "after", timedelta(days=90), epoch=0)
    await create.create_keys(order, keys, key_file_of(tmp_path / "after"), tmp_path / "run")
    now = clock.now() + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: now)
    async for _ in rotation.rotate(rotation.What.INDEX, keys, data):
        pass
    (receipt,) = await receipts(keys, gone, MONTH)
    assert receipt.backup_until is None and receipt.confirmable_until is None
    # Who is erased now is in the newest backup.
    (other,) = await receipts(keys, await keys.erase_subject(later), MONTH)
    assert other.backup_until is not None and other.confirmable_until is not None


async def test_what_was_not_destroyed_has_no_receipt(stores: Stores) -> None:
    _, keys = stores
    key = await keys.create_subject_key(uuid7())
    assert await receipts(keys, [key.id], MONTH) == []
