"""A backup that gives away somebody who was erased, or outlives its end, fails the control."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from governance.backup import create, registry
from governance.controls.backups_erased import BackupsErased
from governance.controls.control import Outcome
from governance.db import Database
from governance.vault.keys import KeyStore
from policies import retention
from tests.governance.backup.rows import add_mail

Stores = tuple[Database, KeyStore]
DAYS = timedelta(days=30)


@pytest.fixture
def control(data: Database, stores: Stores, tmp_path: Path) -> BackupsErased:
    (tmp_path / "run").mkdir()
    return BackupsErased(*stores, retention.load().limits(), tmp_path / "run")


async def backup(stores: Stores, file: Path) -> Path:
    await create.create_data(create.Order(file, DAYS, epoch=1), stores[0], stores[1].db)
    return file


async def test_without_a_backup_nothing_is_proven(control: BackupsErased, stores: Stores, tmp_path: Path) -> None:
    assert (await control.run()).missing == "There is no backup."
    (await backup(stores, tmp_path / "b")).rename(tmp_path / "moved")
    found = await control.run()
    assert found.outcome is Outcome.UNPROVEN and found.counts["elsewhere"] == 1


async def test_whoever_is_erased_is_noise_in_an_older_backup(
    control: BackupsErased, stores: Stores, tmp_path: Path
) -> None:
    gone, _ = await add_mail(*stores, "anna@example.org"), await add_mail(*stores, "bert@example.org")
    await backup(stores, tmp_path / "b")
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.counts["values"] >= 6 and not found.counts["of_erased"]
    await stores[1].erase_subject(gone)
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.counts["of_erased"] == 3, found


async def test_an_erasure_that_did_not_reach_the_backup_is_found(
    control: BackupsErased, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = await add_mail(*stores, "anna@example.org")
    await backup(stores, tmp_path / "b")

    async def only_said(subject_id: object) -> bool:
        """Erased by name, while the key is still there."""
        return subject_id == gone

    monkeypatch.setattr(stores[1], "erased", only_said)
    (failure,) = (await control.run()).failures
    assert failure.startswith("3 values of erased people or of periods that are over open in backup ")


async def test_a_backup_past_its_end_and_one_that_is_damaged_are_named(
    control: BackupsErased, stores: Stores, tmp_path: Path, later: Callable[[timedelta], None]
) -> None:
    await add_mail(*stores, "anna@example.org")
    first, second = await backup(stores, tmp_path / "a"), await backup(stores, tmp_path / "b")
    shutil.copyfile("/bin/true", second)
    failures = (await control.run()).failures
    assert len(failures) == 1 and failures[0].endswith("can't be read.")
    second.unlink()
    later(DAYS + timedelta(days=1))
    rows = await registry.rows(stores[1].db)
    kept = next(row for row in rows if row.path == str(first.absolute()))
    assert f"Backup {kept.id} is past its end and still there." in (await control.run()).failures
