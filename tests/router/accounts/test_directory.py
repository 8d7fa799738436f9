"""From key to principal: one refusal, a cache that forgets at once where it must, and that nobody can fill."""

import asyncio
import time
from uuid import UUID

import pytest
from sqlalchemy import update

from governance.datamap import DataUse
from governance.db import Database
from governance.subjects import DataSubject, SubjectState
from governance.vault.keys import KeyStore
from router.accounts import probe_account
from router.accounts.account import Account, close_account, set_account_policy
from router.accounts.api_key import ApiKeys
from router.accounts.desk import Desk
from router.accounts.directory import KeyDirectory
from router.accounts.key_format import new_secret
from router.errors import InvalidKey
from tests.router.accounts.conftest import Counter, join


@pytest.fixture
def api_keys(desk: Desk, generation: Counter) -> ApiKeys:
    return ApiKeys(desk.db, desk.keys, desk.links, bump=generation.bump)


@pytest.fixture
def directory(desk: Desk, generation: Counter) -> KeyDirectory:
    return KeyDirectory(desk.db, desk.keys, generation, cache_seconds=300)


class Reads:
    """Counts look-ups, and can hold them until told."""

    def __init__(self, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        load = directory._load

        async def counted(digest: bytes) -> object:
            self.count += 1
            found = await load(digest)
            self.began.set()
            await self.go.wait()
            return found

        monkeypatch.setattr(directory, "_load", counted)


async def make(desk: Desk, api_keys: ApiKeys, email: str = "ada@example.org") -> tuple[UUID, UUID, UUID, str]:
    account_id, subject_id = await join(desk, email)
    made = await api_keys.create(account_id, subject_id, "one", {"zdr": True})
    return account_id, subject_id, made.id, made.secret


async def test_a_principal_has_what_the_gateway_needs(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, generation: Counter
) -> None:
    account_id, subject_id, key_id, secret = await make(desk, api_keys)
    await set_account_policy(desk.db, account_id, {"region": "eu"}, bump=generation.bump)
    assert directory.cached(secret) is None
    found = await directory.find(secret)
    assert (found.api_key_id, found.account_id, found.subject_id) == (key_id, account_id, subject_id)
    assert (found.tier, found.role, found.subject_state, found.policy_pending) == ("free", "user", "active", False)
    assert (found.account_policy, found.key_policy) == ({"region": "eu"}, {"zdr": True})
    assert found.subject_key == await desk.keys.subject_key(subject_id)
    assert directory.cached(secret) is found
    assert repr(found) == f"<Principal {key_id}>"


async def test_every_reason_is_one_refusal(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, generation: Counter
) -> None:
    account_id, _, key_id, secret = await make(desk, api_keys)
    said = set()

    async def refused(text: str) -> None:
        assert directory.cached(text) is None
        with pytest.raises(InvalidKey) as caught:
            await directory.find(text)
        assert len(text) < 20 or (text[6:20] not in str(caught.value) and text[6:20] not in repr(caught.value.args))
        said.add((str(caught.value), caught.value.code, caught.value.param))

    for text in ("", "sk-va-", "\ud800" * 55, "é" * 55, "x" * 100_000, secret[:-1] + "#", new_secret()):
        await refused(text)
    await directory.find(secret)
    await api_keys.revoke(account_id, key_id)
    await refused(secret)
    other_account, other_subject, _, other = await make(desk, api_keys, "grace@example.org")
    await directory.find(other)
    await close_account(desk.db, other_account, bump=generation.bump)
    await refused(other)
    _, erased, _, third = await make(desk, api_keys, "mary@example.org")
    await directory.find(third)
    async with desk.db.transaction(DataUse.SERVICE) as session:
        await session.execute(update(DataSubject).where(DataSubject.id == erased).values(state="erased"))
    generation.bump()
    await refused(third)
    assert len(said) == 1 and other_subject != erased


async def test_a_restricted_subject_is_found_as_such(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, generation: Counter
) -> None:
    _, subject_id, _, secret = await make(desk, api_keys)
    await directory.find(secret)
    async with desk.db.transaction(DataUse.SERVICE) as session:
        restricted = update(DataSubject).where(DataSubject.id == subject_id).values(state=SubjectState.RESTRICTED.value)
        await session.execute(restricted)
    generation.bump()
    assert (await directory.find(secret)).subject_state == "restricted"


async def test_a_subject_whose_key_is_gone_is_refused(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, generation: Counter
) -> None:
    _, subject_id, _, secret = await make(desk, api_keys)
    await directory.find(secret)
    await desk.keys.erase_subject(subject_id)
    generation.bump()
    with pytest.raises(InvalidKey):
        await directory.find(secret)


async def test_what_is_known_costs_no_read_until_the_generation_moves(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, generation: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, secret = await make(desk, api_keys)
    reads = Reads(directory, monkeypatch)
    for _ in range(3):
        await directory.find(secret)
    assert reads.count == 1
    generation.bump()
    assert directory.cached(secret) is None
    await directory.find(secret)
    assert reads.count == 2


async def test_without_hearing_of_a_change_an_entry_ends_by_age(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, secret = await make(desk, api_keys)
    await directory.find(secret)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 299)
    assert directory.cached(secret) is not None
    monkeypatch.setattr(time, "monotonic", lambda: now + 301)
    assert directory.cached(secret) is None


async def test_cache_seconds_of_zero_remembers_nothing(desk: Desk, api_keys: ApiKeys, generation: Counter) -> None:
    _, _, _, secret = await make(desk, api_keys)
    directory = KeyDirectory(desk.db, desk.keys, generation, cache_seconds=0)
    await directory.find(secret)
    assert directory.cached(secret) is None


async def test_what_was_read_before_a_change_isnt_kept_after_it(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id, _, key_id, secret = await make(desk, api_keys)
    reads = Reads(directory, monkeypatch)
    reads.go.clear()
    early = asyncio.create_task(directory.find(secret))
    await reads.began.wait()
    await api_keys.revoke(account_id, key_id)  # committed after the read, before its answer
    late = asyncio.create_task(directory.find(secret))  # must not join the read that began before
    await asyncio.sleep(0)
    reads.go.set()
    await early
    with pytest.raises(InvalidKey):
        await late
    assert directory.cached(secret) is None
    with pytest.raises(InvalidKey):
        await directory.find(secret)


async def test_many_at_once_are_one_read_and_one_that_leaves_doesnt_end_it(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, secret = await make(desk, api_keys)
    reads = Reads(directory, monkeypatch)
    reads.go.clear()
    asking = [asyncio.create_task(directory.find(secret)) for _ in range(20)]
    await reads.began.wait()
    asking[0].cancel()
    reads.go.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert len({id(principal) for principal in found[1:]}) == 1
    assert reads.count == 1 and directory._reading == {}


async def test_guessing_fills_nothing_and_pushes_no_good_key_out(
    desk: Desk, api_keys: ApiKeys, generation: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, secret = await make(desk, api_keys)
    directory = KeyDirectory(desk.db, desk.keys, generation, cache_seconds=300, size=5, refused_size=5)
    principal = await directory.find(secret)
    reads = Reads(directory, monkeypatch)
    guesses = [new_secret() for _ in range(20)]
    for guess in guesses:
        with pytest.raises(InvalidKey):
            await directory.find(guess)
    with pytest.raises(InvalidKey):
        await directory.find(guesses[-1])  # remembered: no further read
    assert reads.count == 20
    assert (len(directory._known), len(directory._refused)) == (1, 5)
    assert directory.cached(secret) is principal


async def test_the_least_recently_used_goes_first(desk: Desk, api_keys: ApiKeys, generation: Counter) -> None:
    account_id, subject_id, _, first = await make(desk, api_keys)
    others = [(await api_keys.create(account_id, subject_id, "more")).secret for _ in range(2)]
    directory = KeyDirectory(desk.db, desk.keys, generation, cache_seconds=300, size=2)
    await directory.find(first)
    await directory.find(others[0])
    assert directory.cached(first) is not None
    await directory.find(others[1])
    assert directory.cached(first) is not None and directory.cached(others[0]) is None


async def test_a_failing_database_is_no_refusal_and_isnt_remembered(
    desk: Desk, api_keys: ApiKeys, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, secret = await make(desk, api_keys)

    async def broken(digest: bytes) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(directory, "_load", broken)
        with pytest.raises(ConnectionError):
            await directory.find(secret)
    await directory.find(secret)


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_the_probes_key_is_known_as_such_and_only_of_its_own_account(
    desk: Desk, stores: tuple[Database, KeyStore], generation: Counter
) -> None:
    db, keys = stores
    account_id, made = await probe_account.open_key(db, keys, bump=generation.bump)
    found = await KeyDirectory(db, keys, generation).find(made.secret)
    assert (found.probe, found.account_id, found.role) == (True, account_id, "user")
    again, newer = await probe_account.open_key(db, keys, bump=generation.bump)
    assert again == account_id  # one account, however many runs
    with pytest.raises(InvalidKey):
        await KeyDirectory(db, keys, generation).find(made.secret)
    async with db.transaction(DataUse.SERVICE) as session:
        await session.execute(update(Account).where(Account.id == account_id).values(kind="customer"))
    with pytest.raises(InvalidKey):  # a customer's key is a person's
        await KeyDirectory(db, keys, generation).find(newer.secret)
