"""Root keys closed, destroyed and watched: made by hand, left by crashes, of another keyring, with a cancelled deletion."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import boto3
import pytest
from sqlalchemy import select

from governance import clock
from governance.datamap import METADATA, DataUse, Store
from governance.db import Database
from governance.errors import KeyUnavailable
from governance.ids import uuid7
from governance.period import Period
from governance.settings import GovernanceSettings
from governance.vault.destruction import Destroyed, RootEpoch
from governance.vault.keyring import Destruction, Keyring
from governance.vault.keyring_file import FileKeyring
from governance.vault.keyrings import create_keyring, open_keyring
from governance.vault.keys import KeyStore
from governance.vault.upkeep import Upkeep
from tests.governance.vault.conftest import TOKEN
from tests.simulators.transit import TransitSimulator

Open = Callable[[Keyring], Awaitable[KeyStore]]


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Open]:
    """`process(keyring)`: a process of its own on one key store."""
    url = f"sqlite+aiosqlite:///{tmp_path}/keys/keys.db"
    async with AsyncExitStack() as stack:

        async def begin(keyring: Keyring) -> KeyStore:
            database = Database(url)
            stack.push_async_callback(database.aclose)
            stack.push_async_callback(keyring.aclose)
            async with database.engine.begin() as connection:
                await connection.run_sync(METADATA[Store.KEYS].create_all)
            return KeyStore(database, keyring)

        yield begin


async def epochs(keys: KeyStore) -> dict[UUID, RootEpoch]:
    async with keys.db.session(DataUse.SECURITY) as session:
        return {row.root_id: row for row in await session.scalars(select(RootEpoch))}


async def erased(keys: KeyStore) -> tuple[UUID, ...]:
    subject = uuid7()
    await keys.create_subject_key(subject)
    return await keys.erase_subject(subject)


async def told(keys: KeyStore, gone: tuple[UUID, ...]) -> Destroyed:
    (found,) = await keys.destroyed(gone)
    return found


def happened(event_log: Path, name: str) -> int:
    lines = event_log.read_text().splitlines() if event_log.exists() else []
    return sum(json.loads(line)["event"] == name for line in lines)


# Versions that no roll of ours made


@pytest.fixture
def transit_settings(transit: TransitSimulator) -> GovernanceSettings:
    return GovernanceSettings(
        keyring="vault-transit:transit/valueapi", vault_addr=transit.url, vault_token=TOKEN
    )  # fmt: skip


@pytest.mark.parametrize("times", [1, 3])
async def test_versions_made_by_hand_are_trimmed_with_the_rest(
    process: Open, transit: TransitSimulator, transit_settings: GovernanceSettings, times: int
) -> None:
    keys = await process(await create_keyring(transit_settings))
    kept = await keys.create_subject_key(uuid7())
    for _ in range(times):
        transit.keys["valueapi"].rotate()  # by hand, or by auto_rotate_period
    first, second = await erased(keys), await erased(keys)
    assert list(transit.keys["valueapi"].versions) == [times + 3]
    for gone in (first, second):
        found = await told(keys, gone)
        assert found.real_at is not None and not found.limit.startswith("Not yet")
    assert all(row.real_at is not None for row in (await epochs(keys)).values())
    assert len(await epochs(keys)) == times + 2
    fresh = await process(await open_keyring(transit_settings))
    assert (await fresh.key(kept.id)).key == kept


async def test_a_version_between_two_rolls_of_several_processes_is_trimmed(
    process: Open, transit: TransitSimulator, transit_settings: GovernanceSettings
) -> None:
    """One process dies between making a version and committing; another, which hasn't heard of it, rolls."""
    one = await process(await create_keyring(transit_settings))
    other = await process(await open_keyring(transit_settings))
    await erased(one)
    await one.keyring.rotate()  # and it dies here
    gone = await erased(other)
    await erased(other)
    assert list(transit.keys["valueapi"].versions) == [transit.keys["valueapi"].latest]
    assert (await told(other, gone)).real_at is not None
    assert all(row.real_at is not None for row in (await epochs(other)).values())


async def test_a_store_that_was_stuck_goes_on(
    process: Open, transit: TransitSimulator, transit_settings: GovernanceSettings
) -> None:
    """A version that an earlier release skipped keeps those after it from being trimmed, until the next roll."""
    keys = await process(await create_keyring(transit_settings))
    await erased(keys)
    transit.keys["valueapi"].rotate()
    gone = await erased(keys)
    skipped = keys.keyring._id(3)  # type: ignore[attr-defined]
    # As it was: the row of the skipped version is missing, the version is there, and what is newer isn't trimmed.
    async with keys.db.transaction(DataUse.SECURITY) as session:
        await session.delete(await session.get_one(RootEpoch, skipped))
    transit.keys["valueapi"].versions[3] = transit.keys["valueapi"].versions[4]
    transit.keys["valueapi"].min_available = 3
    await erased(keys)
    assert list(transit.keys["valueapi"].versions) == [5]
    assert (await told(keys, gone)).real_at is not None
    assert (await epochs(keys))[skipped].real_at is not None


async def test_versions_older_than_the_stores_first_are_left(
    process: Open, transit: TransitSimulator, transit_settings: GovernanceSettings, event_log: Path
) -> None:
    """They may have had another use: destroying them isn't ours to decide, and the receipt says so."""
    await (await create_keyring(transit_settings)).aclose()
    transit.keys["valueapi"].rotate()
    keys = await process(await open_keyring(transit_settings))
    gone = await erased(keys)
    await erased(keys)
    assert list(transit.keys["valueapi"].versions) == [1, 2, 3, 4]
    assert (await told(keys, gone)).limit.startswith("Not yet")
    assert happened(event_log, "vault:root:pending") == 2
    transit.keys["valueapi"].config({"min_decryption_version": 2, "min_encryption_version": 2})
    transit.keys["valueapi"].trim({"min_available_version": 2})  # the operator, who knows
    await keys.close_roots()
    assert list(transit.keys["valueapi"].versions) == [4]
    assert (await told(keys, gone)).real_at is not None


async def test_an_erasure_does_not_wait_for_the_list_of_versions(
    process: Open, transit: TransitSimulator, transit_settings: GovernanceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await process(await create_keyring(transit_settings))
    await erased(keys)
    transit.keys["valueapi"].rotate()

    async def refuse(*_: object) -> None:
        raise KeyUnavailable("The token's policy doesn't allow this.")

    with monkeypatch.context() as patch:
        patch.setattr(keys.keyring, "root_ids", refuse)
        gone = await erased(keys)
    assert (await told(keys, gone)).limit.startswith("Not yet")
    await erased(keys)
    assert (await told(keys, gone)).real_at is not None


async def test_an_orphan_of_the_key_file_goes_too(process: Open, tmp_path: Path) -> None:
    keys = await process(FileKeyring.create(tmp_path / "root.key"))
    await erased(keys)
    await keys.keyring.rotate()
    other = await process(FileKeyring(tmp_path / "root.key"))
    await other.keyring.rotate()
    await erased(other)
    await erased(other)
    assert list(await keys.keyring.root_ids()) == [keys.keyring.current]


# A keyring that isn't the store's


async def test_a_wrong_key_file_says_nothing_of_destruction(process: Open, tmp_path: Path, event_log: Path) -> None:
    """A crash left a root key to end; the next start has another key file, which lacks it for another reason."""
    path = tmp_path / "root.key"
    keys = await process(FileKeyring.create(path))
    gone = await erased_but_for_the_root(keys)
    right = path.rename(tmp_path / "away.key")
    wrong = await process(FileKeyring.create(path))
    await wrong.close_roots()
    with pytest.raises(KeyUnavailable, match="a root key that the key file doesn't hold"):
        await wrong.unreadable()
    assert [row.destroyed_at for row in (await epochs(wrong)).values()] == [None]
    assert (await told(wrong, gone)).limit.startswith("Not yet")
    assert happened(event_log, "vault:root:pending") == 1
    right.replace(path)
    again = await process(FileKeyring(path))
    await again.close_roots()
    assert not await again.unreadable()
    assert [row.destroyed_at is not None for row in (await epochs(again)).values()] == [True]
    assert not (await told(again, gone)).limit.startswith("Not yet")


async def test_an_old_copy_of_the_key_file_is_not_destroyed_in_its_place(process: Open, tmp_path: Path) -> None:
    """It does hold the root key that is to end; so does the real file, which isn't there."""
    path = tmp_path / "root.key"
    keys = await process(FileKeyring.create(path))
    await keys.create_subject_key(uuid7())
    await keys.keyring.rotate()
    copy = path.read_bytes()
    await erased_but_for_the_root(keys)
    await erased_but_for_the_root(keys)
    path.write_bytes(copy)
    await (await process(FileKeyring(path))).close_roots()
    assert path.read_bytes() == copy
    assert {row.destroyed_at for row in (await epochs(keys)).values()} == {None}


async def erased_but_for_the_root(keys: KeyStore) -> tuple[UUID, ...]:
    async def later() -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys.root_ends, "end", later)
        return await erased(keys)


# Gone before it was written down


async def test_a_crash_gives_no_receipt_a_time_that_the_provider_does_not_promise(
    process: Open, tmp_path: Path
) -> None:
    keys = await process(FileKeyring.create(tmp_path / "root.key"))
    gone = await erased_but_for_the_root(keys)
    (root,) = await epochs(keys)
    await keys.keyring.destroy(root)  # and it dies here
    again = await process(FileKeyring(tmp_path / "root.key"))
    await again.close_roots()
    found = await told(again, gone)
    assert found.real_at is None
    assert found.limit.startswith("Since when isn't known") and found.limit.endswith(FileKeyring.destruction)


@pytest.mark.parametrize("first_to_write", ["who destroyed it", "who found it gone"])
async def test_of_two_processes_who_destroyed_it_says_when(
    process: Open,
    transit_settings: GovernanceSettings,
    monkeypatch: pytest.MonkeyPatch,
    first_to_write: str,
) -> None:
    one = await process(await create_keyring(transit_settings))
    other = await process(await open_keyring(transit_settings))
    gone = await erased_but_for_the_root(one)
    destroy = one.keyring.destroy

    async def before(root_id: UUID) -> Destruction:
        await one.close_roots()
        return await destroy(root_id)

    async def between(root_id: UUID) -> Destruction:
        ended = await destroy(root_id)
        await other.close_roots()
        return ended

    if first_to_write == "who destroyed it":
        monkeypatch.setattr(other.keyring, "destroy", before)
        await other.close_roots()
    else:
        monkeypatch.setattr(one.keyring, "destroy", between)
        await one.close_roots()
    found = await told(one, gone)
    assert found.real_at is not None and found.limit == one.keyring.destruction


@pytest.fixture
def kms_settings(aws: str) -> GovernanceSettings:
    return GovernanceSettings(keyring=f"aws-kms:alias/valueapi-{uuid.uuid4()}", kms_deletion_days=7)


async def test_another_alias_of_the_account_says_nothing_of_destruction(
    process: Open, kms_settings: GovernanceSettings
) -> None:
    """AWS KMS opens with any key of the account, so the store opens, and its former root key isn't listed."""
    keys = await process(await create_keyring(kms_settings))
    gone = await erased(keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys.root_ends, "end", lambda: asyncio.sleep(0))
        await keys.roll_root()
    wrong = await process(await create_keyring(GovernanceSettings(keyring=f"aws-kms:alias/other-{uuid.uuid4()}")))
    await wrong.close_roots()
    assert (await told(wrong, gone)).limit.startswith("Not yet")
    await keys.close_roots()
    assert (await told(keys, gone)).real_at is not None


# Deletions that were cancelled


async def no_backup() -> None:
    return None


async def round_of(keys: KeyStore, tmp_path: Path) -> None:
    data = Database(f"sqlite+aiosqlite:///{tmp_path}/data.db")
    async with data.engine.begin() as connection:
        await connection.run_sync(METADATA[Store.DATA].create_all)
    upkeep = Upkeep(keys, data, index_renewal=Period.parse("P1M"), oldest_backup=no_backup)
    assert await upkeep.once() == []
    await data.aclose()


async def rolled(keys: KeyStore) -> tuple[tuple[UUID, ...], str]:
    """What was destroyed, and the AWS key whose deletion makes it real."""
    gone = await erased(keys)
    root = str(keys.keyring.current)
    await keys.roll_root()
    assert (await told(keys, gone)).real_at is not None
    return gone, root


async def test_a_deletion_that_is_cancelled_counts_no_more(
    process: Open, kms_settings: GovernanceSettings, tmp_path: Path, event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await process(await create_keyring(kms_settings))
    gone, root = await rolled(keys)
    promised = (await told(keys, gone)).real_at
    await round_of(keys, tmp_path)
    assert (await told(keys, gone)).real_at == promised
    assert happened(event_log, "vault:root:deletion_cancelled") == 0
    boto3.client("kms").cancel_key_deletion(KeyId=root)
    await round_of(keys, tmp_path)
    found = await told(keys, gone)
    assert found.real_at is None and found.limit.startswith("Not yet")
    assert happened(event_log, "vault:root:deletion_cancelled") == 1
    # The next round asks for it anew, with a waiting window from now.
    hour = clock.now() + timedelta(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: hour)
        await round_of(keys, tmp_path)
    anew = (await told(keys, gone)).real_at
    assert anew is not None and promised is not None and anew > promised
    assert boto3.client("kms").describe_key(KeyId=root)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert happened(event_log, "vault:root:deletion_cancelled") == 1


async def test_a_deletion_cancelled_just_before_its_time_is_noticed_after_it(
    process: Open, kms_settings: GovernanceSettings, tmp_path: Path, event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await process(await create_keyring(kms_settings))
    gone, root = await rolled(keys)
    boto3.client("kms").cancel_key_deletion(KeyId=root)
    later = clock.now() + timedelta(days=60)
    monkeypatch.setattr(clock, "now", lambda: later)
    await keys.root_ends.recheck()
    assert (await told(keys, gone)).real_at is None
    assert happened(event_log, "vault:root:deletion_cancelled") == 1


async def test_a_deletion_that_was_put_off_counts_no_more_once_its_time_is_over(
    process: Open, kms_settings: GovernanceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled and scheduled anew between two rounds: it looks the same until the time that was promised."""
    keys = await process(await create_keyring(kms_settings))
    gone, root = await rolled(keys)
    client = boto3.client("kms")
    client.cancel_key_deletion(KeyId=root)
    client.schedule_key_deletion(KeyId=root, PendingWindowInDays=30)
    await keys.root_ends.recheck()
    assert (await told(keys, gone)).real_at is not None
    later = clock.now() + timedelta(days=8, hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    await keys.root_ends.recheck()
    assert (await told(keys, gone)).real_at is None
    await keys.close_roots()
    anew = (await told(keys, gone)).real_at
    assert anew is not None and anew > later + timedelta(days=20)


async def test_a_root_key_that_comes_back_with_a_copy_of_the_file_is_destroyed_again(
    process: Open, tmp_path: Path, event_log: Path
) -> None:
    path = tmp_path / "root.key"
    keys = await process(FileKeyring.create(path))
    await keys.create_subject_key(uuid7())
    old = json.loads(path.read_text())["keys"]
    gone = await erased(keys)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "keys": {**old, **content["keys"]}}))
    assert len(await keys.keyring.root_ids()) == 2
    await keys.root_ends.recheck()
    assert (await told(keys, gone)).limit.startswith("Not yet")
    assert happened(event_log, "vault:root:deletion_cancelled") == 1
    await keys.close_roots()
    assert len(await keys.keyring.root_ids()) == 1
    assert not (await told(keys, gone)).limit.startswith("Not yet")
