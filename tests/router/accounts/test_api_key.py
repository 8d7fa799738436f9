"""API keys as their owner handles them: shown once, named, governed, revoked, and never another account's."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from governance import events
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import Conflict, NotFound, Rejected
from governance.ids import uuid7
from router.accounts import api_key as module
from router.accounts.account import account_policy, check_policy, set_account_policy, set_tier
from router.accounts.api_key import ApiKey, ApiKeys, KeyChanges
from router.accounts.desk import Desk
from router.accounts.key_format import key_hash, well_formed
from tests.router.accounts.conftest import EMAIL, Counter, join, mails


@pytest.fixture
def api_keys(desk: Desk, generation: Counter) -> ApiKeys:
    return ApiKeys(desk.db, desk.keys, desk.links, bump=generation.bump)


async def test_a_key_is_shown_once_and_its_owner_told(desk: Desk, api_keys: ApiKeys) -> None:
    account_id, subject_id = await join(desk)
    made = await api_keys.create(account_id, subject_id, "  My laptop ", {"zdr": True})
    assert well_formed(made.secret) and made.secret not in repr(made)
    (view,) = await api_keys.list(account_id)
    assert (view.id, view.name, view.prefix) == (made.id, "My laptop", made.secret[:10])
    assert (view.data_policy, view.revoked_at) == ({"zdr": True}, None)
    assert "laptop" not in repr(view)
    async with desk.db.session(DataUse.SERVICE) as session:
        row = await session.scalar(select(ApiKey))
    assert row is not None and row.key_hash == key_hash(made.secret)
    template, mail = (await mails(desk))[-1]
    assert (template, mail.to) == ("key-created", EMAIL)
    assert "My laptop" in mail.text and view.prefix in mail.text and made.secret not in mail.text


async def test_it_is_renamed_and_given_another_policy(desk: Desk, api_keys: ApiKeys, generation: Counter) -> None:
    account_id, subject_id = await join(desk)
    made = await api_keys.create(account_id, subject_id, "one")
    await api_keys.change(account_id, made.id, {"name": "two"})
    before = generation()
    await api_keys.change(account_id, made.id, {"data_policy": {"region": "eu"}})
    assert generation() == before + 1
    (view,) = await api_keys.list(account_id)
    assert (view.name, view.data_policy) == ("two", {"region": "eu"})
    await api_keys.change(account_id, made.id, {"data_policy": None})
    assert (await api_keys.list(account_id))[0].data_policy is None


async def test_name_and_policy_change_together_or_not_at_all(
    desk: Desk, api_keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id, subject_id = await join(desk)
    made = await api_keys.create(account_id, subject_id, "one", {"zdr": True})
    changes: KeyChanges = {"name": "two", "data_policy": {"region": "eu"}}
    real, begun = Database.transaction, 0

    @asynccontextmanager
    async def lost(self: Database, use: DataUse) -> AsyncIterator[AsyncSession]:
        nonlocal begun
        begun += 1
        async with real(self, use) as session:
            yield session
            await session.flush()
            raise OSError("the connection went away before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", lost)
        with pytest.raises(OSError, match="went away"):
            await api_keys.change(account_id, made.id, changes)
    assert begun == 1
    (view,) = await api_keys.list(account_id)
    assert (view.name, view.data_policy) == ("one", {"zdr": True})
    await api_keys.change(account_id, made.id, changes)
    (view,) = await api_keys.list(account_id)
    assert (view.name, view.data_policy) == ("two", {"region": "eu"})


async def test_revoking_moves_the_generation_and_is_logged_by_id(
    desk: Desk, api_keys: ApiKeys, generation: Counter, tmp_path: Path
) -> None:
    account_id, subject_id = await join(desk)
    made = await api_keys.create(account_id, subject_id, "one")
    before = generation()
    events.open_sink(tmp_path / "log")
    await api_keys.revoke(account_id, made.id)
    assert generation() == before + 1
    assert (await api_keys.list(account_id))[0].revoked_at is not None
    (line,) = (tmp_path / "log" / "events.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert event.pop("time")
    assert event == {
        "event": "account:api_key:revoked",
        "account_id": str(account_id),
        "api_key_id": str(made.id),
    }
    for again in (
        api_keys.revoke(account_id, made.id),
        api_keys.change(account_id, made.id, {"name": "x"}),
        api_keys.change(account_id, made.id, {"data_policy": None}),
    ):
        with pytest.raises(NotFound):
            await again


async def test_another_accounts_key_isnt_there(desk: Desk, api_keys: ApiKeys) -> None:
    account_id, subject_id = await join(desk)
    made = await api_keys.create(account_id, subject_id, "one")
    stranger, _ = await join(desk, "grace@example.org")
    for attempt in (
        api_keys.revoke(stranger, made.id),
        api_keys.change(stranger, made.id, {"name": "x"}),
        api_keys.change(stranger, made.id, {"data_policy": {}}),
        api_keys.revoke(account_id, uuid7()),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await api_keys.list(stranger) == []
    assert (await api_keys.list(account_id))[0].revoked_at is None


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "two\nlines", "\ud800", "nul\0"])
async def test_a_name_is_one_printable_line(desk: Desk, api_keys: ApiKeys, name: str) -> None:
    account_id, subject_id = await join(desk)
    with pytest.raises(Rejected) as caught:
        await api_keys.create(account_id, subject_id, name)
    assert caught.value.field == "name"


async def test_there_is_an_end_to_keys(desk: Desk, api_keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LIVE_KEYS_MAX", 2)
    account_id, subject_id = await join(desk)
    first = await api_keys.create(account_id, subject_id, "one")
    await api_keys.create(account_id, subject_id, "two")
    with pytest.raises(Conflict):
        await api_keys.create(account_id, subject_id, "three")
    await api_keys.revoke(account_id, first.id)
    await api_keys.create(account_id, subject_id, "three")


async def test_an_account_has_a_policy_and_a_tier(desk: Desk, generation: Counter) -> None:
    account_id, _ = await join(desk)
    assert await account_policy(desk.db, account_id) is None
    await set_account_policy(desk.db, account_id, {"zdr": True, "allow_store": False}, bump=generation.bump)
    assert await account_policy(desk.db, account_id) == {"zdr": True, "allow_store": False}
    await set_tier(desk.db, account_id, "tier-1", bump=generation.bump)
    assert generation() == 2
    for change in (
        set_account_policy(desk.db, uuid7(), None, bump=generation.bump),
        set_tier(desk.db, uuid7(), "tier-1", bump=generation.bump),
    ):
        with pytest.raises(NotFound):
            await change
    with pytest.raises(NotFound):
        await account_policy(desk.db, uuid7())
    assert generation() == 2


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": {1, 2}}, {"a": "x" * 20_000}])
def test_a_policy_is_plain_json_of_bounded_size(bad: dict[str, object]) -> None:
    with pytest.raises(Rejected):
        check_policy(bad)
