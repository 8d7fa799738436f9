"""Keys made, read and destroyed, on both databases."""

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import make_transient

from governance import clock
from governance.datamap import DataUse, KeyBasis
from governance.db import Database
from governance.errors import Conflict, KeyGone, KeyUnavailable, PeriodOver
from governance.ids import uuid7
from governance.period import Period
from governance.vault import keyring as keyrings
from governance.vault import restored, rotation
from governance.vault.blind_index import BlindIndex, EmailIndex
from governance.vault.destroyed_list import DestroyedList
from governance.vault.destruction import DestroyedKey, Destructions, KeysEpoch, RootEpoch, Tombstone
from governance.vault.keys import KeyStore
from governance.vault.keytree import ROOT, KeyNode
from governance.vault.limits import Limit, Starts
from governance.vault.mirrors import DestroyedCopy, DestroyedState, Mirror
from governance.vault.rotation import Rotation, What
from governance.vault.stored_key import StoredKey

Stores = tuple[Database, KeyStore]
BATTERY = bool(os.environ.get("BATTERY"))


def other_process(keys: KeyStore) -> KeyStore:
    return KeyStore(keys.db, keys.keyring, mirrors=keys.destroyed_list.mirrors)


async def test_a_subject_key_is_committed_before_it_is_returned(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    made = await keys.create_subject_key(subject)
    apart = other_process(keys)
    assert await apart.subject_key(subject) == made
    assert apart.cached_subject_key(subject) == made
    apart.forget(subject)
    assert apart.cached_subject_key(subject) is None


async def test_a_key_that_was_never_made_is_gone(stores: Stores) -> None:
    with pytest.raises(KeyGone):
        await stores[1].subject_key(uuid7())
    with pytest.raises(KeyGone):
        await stores[1].key(uuid7())


async def test_the_cache_is_bounded(stores: Stores) -> None:
    _, keys = stores
    small = KeyStore(keys.db, keys.keyring, cache_size=2)
    subjects = [uuid7() for _ in range(3)]
    for subject in subjects:
        await small.create_subject_key(subject)
    assert [small.cached_subject_key(subject) is None for subject in subjects] == [True, False, False]


async def test_a_cached_key_ages(stores: Stores) -> None:
    _, keys = stores
    brief = KeyStore(keys.db, keys.keyring, cache_seconds=-1)
    subject = uuid7()
    await brief.create_subject_key(subject)
    assert brief.cached_subject_key(subject) is None


async def test_nothing_cached_is_used_without_a_heartbeat_or_under_another_generation(stores: Stores) -> None:
    _, keys = stores

    class Silent:
        current: int | None = 1

        def generation(self) -> int | None:
            return self.current

        async def announce(self) -> int:
            return 2

        async def start(self) -> None: ...

        async def aclose(self) -> None: ...

    channel = Silent()
    process = KeyStore(keys.db, keys.keyring, channel=channel)
    subject = uuid7()
    await process.create_subject_key(subject)
    assert process.cached_subject_key(subject) is not None
    channel.current = None
    assert process.cached_subject_key(subject) is None
    assert await process.subject_key(subject)
    assert process.cached_subject_key(subject) is None
    channel.current = 2
    assert process.cached_subject_key(subject) is None
    await process.subject_key(subject)
    assert process.cached_subject_key(subject) is not None


async def test_a_key_read_across_a_change_is_not_kept(stores: Stores) -> None:
    """A read that began before an erasure must not fill the cache behind it."""
    _, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    process = other_process(keys)
    tree = process._tree
    read = tree.read

    async def slow(session: object, node: UUID, key: UUID) -> bytes:
        secret = await read(session, node, key)  # type: ignore[arg-type]
        await process.channel.announce()
        process.cached_subject_key(uuid7())  # another request has seen the new generation by now
        return secret

    tree.read = slow  # type: ignore[method-assign, assignment]
    await process.subject_key(subject)
    assert process.cached_subject_key(subject) is None


async def test_a_service_key_is_one_however_many_ask(stores: Stores) -> None:
    _, keys = stores
    replicas = [other_process(keys) for _ in range(8)]
    found = await asyncio.gather(*(replica.service_key("journal") for replica in replicas))
    assert len({key.secret for key in found}) == 1


async def test_erasure_destroys_the_erasable_key_and_keeps_the_basis_keys(stores: Stores) -> None:
    _, keys = stores
    subject, neighbour = uuid7(), uuid7()
    made = await keys.create_subject_key(subject)
    await keys.create_subject_key(neighbour)
    tax = await keys.subject_key(subject, KeyBasis.TAX)
    assert await keys.erase_subject(subject) == (made.id,)
    for process in (keys, other_process(keys)):
        for attempt in (process.subject_key(subject), process.key(made.id), process.create_subject_key(subject)):
            with pytest.raises(KeyGone):
                await attempt
        assert (await process.key(tax.id)).key == tax
        assert await process.subject_key(neighbour)
    with pytest.raises(KeyGone):
        await keys.subject_key(subject, KeyBasis.CLAIMS)  # nothing new is kept of somebody erased
    assert await keys.end_basis(subject, KeyBasis.TAX) == (tax.id,)
    with pytest.raises(KeyGone):
        await other_process(keys).key(tax.id)


async def test_erasure_is_told_with_the_time_and_limit_of_the_keyring(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    (told,) = await keys.destroyed(await keys.erase_subject(subject))
    assert told.real_at is None and told.limit == keys.keyring.destruction
    assert await keys.erase_subject(subject) == ()


async def test_a_destruction_ends_the_root_key_of_before(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    before = keys.keyring.current
    await keys.erase_subject(subject)
    assert before not in await keys.keyring.root_ids()
    assert keys.keyring.current != before


@pytest.mark.parametrize("line", ["before the root key ends", "after it ended", "before mirrors"])
async def test_a_destruction_that_is_cut_short_is_finished_at_the_next_start(
    stores: Stores, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    before = keys.keyring.current

    class Killed(Exception):
        pass

    async def die(*_: object) -> None:
        if line == "after it ended":
            await type(keys.keyring).destroy(keys.keyring, before)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        if line == "before mirrors":
            patch.setattr(keys.destroyed_list.mirrors[1], "record", die)
        else:
            patch.setattr(keys.keyring, "destroy", die)
        await keys.erase_subject(subject)
    process = other_process(keys)
    await restored.reconcile(process, data)
    assert before not in await keys.keyring.root_ids()
    async with keys.db.session(DataUse.SECURITY) as session:
        assert await session.scalar(select(RootEpoch.destroyed_at).where(RootEpoch.root_id == before)) is not None
    assert await process.destroyed_list.is_told()
    for mirror in keys.destroyed_list.mirrors:
        known = await known_to(keys, mirror)
        assert known.subject_ids == {subject} and len(known.key_ids) == 1


async def list_key(keys: KeyStore) -> bytes:
    return (await keys.service_key(DestroyedList.KEY)).secret


async def known_to(keys: KeyStore, mirror: Mirror) -> Destructions:
    found, foreign = await mirror.known(await list_key(keys))
    assert not foreign
    return found


@dataclass(frozen=True)
class Copied:
    """A key store as it was at one moment."""

    root: bytes
    rows: tuple[Any, ...]

    @classmethod
    async def of(cls, keys: KeyStore) -> "Copied":
        await list_key(keys)  # as whoever opens the stores makes it, before any backup
        async with keys.db.session(DataUse.SECURITY) as session:
            classes = (KeyNode, StoredKey, DestroyedKey, Tombstone, KeysEpoch, BlindIndex, Rotation)
            rows = [row for each in classes for row in (await session.scalars(select(each))).all()]
        return cls(await keys.export_root(), tuple(rows))

    async def put_back(self, keys: KeyStore) -> None:
        async with keys.db.transaction(DataUse.SECURITY) as session:
            for table in reversed(StoredKey.metadata.sorted_tables):
                await session.execute(delete(table))
        async with keys.db.transaction(DataUse.SECURITY) as session:
            for row in self.rows:
                make_transient(row)
                session.add(row)
        await keys.adopt_root(self.root)


async def test_what_a_restore_brings_back_is_destroyed_again(stores: Stores) -> None:
    """The key store as it was before the erasure, beside mirrors that know of it."""
    data, keys = stores
    subject, kept = uuid7(), uuid7()
    await keys.create_subject_key(kept)
    lost = await keys.create_subject_key(subject)
    await EmailIndex(keys).add("somebody@example.org", subject)
    before = await Copied.of(keys)
    await keys.erase_subject(subject)
    assert await EmailIndex(keys).find("somebody@example.org") is None
    await before.put_back(keys)
    assert (await other_process(keys).key(lost.id)).key == lost  # the backup did bring it back
    process = other_process(keys)
    assert await EmailIndex(process).find("somebody@example.org") == subject
    assert await restored.reconcile(process, data) == [lost.id]
    with pytest.raises(KeyGone):
        await process.key(lost.id)
    assert await process.erased(subject)
    assert await EmailIndex(process).find("somebody@example.org") is None
    assert await process.subject_key(kept)
    assert await restored.reconcile(process, data) == []


async def test_a_restored_store_that_destroys_before_it_looks_still_forgets_the_old_ones(stores: Stores) -> None:
    """Its epochs bear the numbers of those that it doesn't know any more."""
    data, keys = stores
    people = [uuid7() for _ in range(4)]
    for person in people:
        await keys.create_subject_key(person)
    before = await Copied.of(keys)
    await keys.erase_subject(people[0])
    await keys.erase_subject(people[1])
    await before.put_back(keys)
    careless = other_process(keys)
    for person in people[2:]:
        await careless.erase_subject(person)
    assert await careless.subject_key(people[0])  # revived, and the numbers agree again
    process = other_process(keys)
    assert len(await restored.reconcile(process, data)) == 2
    for person in people:
        assert await process.erased(person)
        with pytest.raises(KeyGone):
            await process.subject_key(person)
    assert await process.destroyed_list.is_told()
    for mirror in keys.destroyed_list.mirrors:
        assert (await known_to(keys, mirror)).subject_ids == set(people)


@pytest.mark.parametrize("kept", [0, 1])
async def test_one_mirror_is_enough_and_learns_what_it_lost(stores: Stores, kept: int) -> None:
    data, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    before = await Copied.of(keys)
    await keys.erase_subject(subject)
    log = keys.destroyed_list.mirrors[1]
    if kept == 0:
        log._path.unlink()  # type: ignore[attr-defined]
    else:
        async with data.transaction(DataUse.SECURITY) as session:
            for table in (DestroyedCopy, DestroyedState):
                await session.execute(delete(table))
    await before.put_back(keys)
    process = other_process(keys)
    assert len(await restored.reconcile(process, data)) == 1 and await process.erased(subject)
    for mirror in keys.destroyed_list.mirrors:
        assert (await known_to(keys, mirror)).subject_ids == {subject}


@pytest.mark.parametrize("middle", [False, True])
async def test_a_store_from_before_an_index_was_renewed_still_finds_everybody(
    stores: Stores, middle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewed key was destroyed since, and the copy's entries hang on it alone; in the middle, on two such keys."""
    data, keys = stores
    monkeypatch.setattr(rotation, "_BATCH", 2)
    people = {f"person{number}@example.org": uuid7() for number in range(5)}
    for address, person in people.items():
        await keys.create_subject_key(person)
        await EmailIndex(keys).add(address, person)
    erased = people.pop("person4@example.org")

    async def renew(stop_after: int = 1000) -> None:
        async for _ in rotation.rotate(What.INDEX, keys, data):
            stop_after -= 1
            if not stop_after:
                return

    if middle:
        await renew(stop_after=3)
    before = await Copied.of(keys)
    held = {key.id for key in await keys.service_keys(EmailIndex.KEY)}
    assert len(held) == 1 + middle
    await renew()
    await renew()
    await keys.erase_subject(erased)
    await before.put_back(keys)
    process = other_process(keys)
    await restored.reconcile(process, data)
    assert {address: await EmailIndex(process).find(address) for address in people} == people
    assert await EmailIndex(process).find("person4@example.org") is None
    assert not held & {key.id for key in await process.service_keys(EmailIndex.KEY)}
    for key_id in held:
        with pytest.raises(KeyGone):
            await process.key(key_id)
    newcomer = uuid7()
    await process.create_subject_key(newcomer)
    with pytest.raises(Conflict):
        await EmailIndex(process).add("person0@example.org", newcomer)
    assert await process.destroyed_list.is_told()


async def test_a_torn_line_of_the_log_is_no_line(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    await keys.erase_subject(subject)
    log = keys.destroyed_list.mirrors[1]
    path: Path = log._path  # type: ignore[attr-defined]
    whole = path.read_bytes()
    for cut in range(1, len(whole), 1 if BATTERY else 5):
        path.write_bytes(whole[:-cut])
        assert (await known_to(keys, log)).subject_ids <= {subject}
        process = other_process(keys)
        assert await restored.reconcile(process, data) == []
        assert await process.destroyed_list.is_told()
        assert (await known_to(keys, log)).subject_ids == {subject}


@pytest.mark.parametrize("starts", [Starts.CREATION, Starts.YEAR_END])
async def test_a_period_key_is_one_a_period_and_ends_with_it(
    stores: Stores, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = stores
    rule = Limit(starts, Period.parse("P30D"))
    process = KeyStore(keys.db, keys.keyring, limits={"network": rule})
    now = clock.now()
    row = uuid7(), now
    key = await process.limit_key("network", KeyBasis.ERASABLE, None, *row)
    assert key is not None
    assert await process.limit_key("network", KeyBasis.ERASABLE, uuid7(), uuid7(), now) == key
    later = rule.end(rule.begin(now))
    assert later >= now
    assert await process.expire() == ()
    monkeypatch.setattr(clock, "now", lambda: later)
    assert await process.expire() == (key.id,)
    with pytest.raises(KeyGone):
        await process.key(key.id)
    with pytest.raises(PeriodOver):
        await process.limit_key("network", KeyBasis.ERASABLE, None, *row)


async def test_no_value_outlives_its_period(stores: Stores) -> None:
    """A day's key goes when the day's first value is due."""
    limit = Limit(Starts.CREATION, Period.parse("P30D"))
    made = clock.now()
    assert limit.end(limit.begin(made)) - made <= timedelta(days=30)


async def test_an_object_key_ends_its_own_rows_values_alone(stores: Stores) -> None:
    _, keys = stores
    process = KeyStore(keys.db, keys.keyring, limits={"session": Limit(Starts.OBJECT, Period.parse("P7D"))})
    first, second = uuid7(), uuid7()
    now = clock.now()
    ended = await process.limit_key("session", KeyBasis.ERASABLE, None, first, now)
    other = await process.limit_key("session", KeyBasis.ERASABLE, None, second, now)
    assert ended is not None and other is not None and ended != other
    assert await process.end_object("session", first) == (ended.id,)
    assert (await process.key(other.id)).key == other


async def test_without_the_root_key_nothing_opens(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keys = stores
    subject = uuid7()
    made = await keys.create_subject_key(subject)

    async def refuse(*_: object) -> bytes:
        raise KeyUnavailable("The keyring can't be reached.")

    monkeypatch.setattr(keys.keyring, "unwrap", refuse)
    process = other_process(keys)
    with pytest.raises(KeyUnavailable) as caught:
        await process.key(made.id)
    assert not isinstance(caught.value, KeyGone)  # a keyring out of reach must not look like an erasure
    with pytest.raises(KeyUnavailable):
        await process.erase_subject(subject)
    assert not await process.erased(subject)


async def test_a_keyring_that_is_changed_by_hand_says_that_destruction_is_not_real(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)

    async def by_hand(*_: object) -> None:
        raise Conflict("by hand")

    monkeypatch.setattr(type(keys.keyring), "root_lifetime", None)
    monkeypatch.setattr(keys.keyring, "destroy", by_hand)
    monkeypatch.setattr(keys.keyring, "rotate", by_hand)
    (told,) = await keys.destroyed(await keys.erase_subject(subject))
    assert told.real_at is None and told.limit.startswith("Not yet")


async def test_a_root_key_that_costs_money_is_replaced_when_it_is_due(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = stores
    monkeypatch.setattr(type(keys.keyring), "root_lifetime", timedelta(days=1))
    subject = uuid7()
    await keys.create_subject_key(subject)
    before = keys.keyring.current
    gone = await keys.erase_subject(subject)
    await keys.roll_root_if_due()
    assert keys.keyring.current == before
    assert (await keys.destroyed(gone))[0].limit.startswith("Not yet")
    tomorrow = clock.now() + timedelta(days=1)
    monkeypatch.setattr(clock, "now", lambda: tomorrow)
    await keys.roll_root_if_due()
    assert before not in await keys.keyring.root_ids()
    assert not (await keys.destroyed(gone))[0].limit.startswith("Not yet")
    await keys.roll_root_if_due()  # nothing waits any more
    assert len(await keys.keyring.root_ids()) == 1


async def test_a_restored_store_replaces_its_root_key_no_more_than_once(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the copy's destroyed keys wait for was destroyed by the provider long ago, in a history that is no more."""
    data, keys = stores
    monkeypatch.setattr(type(keys.keyring), "root_lifetime", timedelta(days=1))
    subject = uuid7()
    await keys.create_subject_key(subject)
    gone = await keys.erase_subject(subject)
    copy = await Copied.of(keys)
    now = clock.now() + timedelta(days=1)
    monkeypatch.setattr(clock, "now", lambda: now)
    await keys.roll_root_if_due()
    current = keys.keyring.current
    now += timedelta(days=10)
    await copy.put_back(keys)
    process = other_process(keys)
    await restored.reconcile(process, data)
    await process.close_roots()
    (told,) = await process.destroyed(gone)
    assert told.real_at is None and told.limit.startswith(f"Since when isn't known: on {now:%Y-%m-%d}")
    for _ in range(3):
        now += timedelta(days=1)
        await process.roll_root_if_due()
    assert keys.keyring.current == current


async def test_keys_under_a_root_key_that_nothing_knows_replace_none(stores: Stores) -> None:
    _, keys = stores
    await keys.create_subject_key(uuid7())
    current = keys.keyring.current
    async with keys.db.transaction(DataUse.SECURITY) as session:
        session.add(DestroyedKey(id=uuid7(), kind="unknown", epoch=1, root_id=uuid7(), destroyed_at=clock.now()))
    await keys.roll_root_if_due()
    assert keys.keyring.current == current


async def test_keys_that_a_copy_lacks_end_with_those_that_it_brought_back(stores: Stores) -> None:
    data, keys = stores
    revived, absent = uuid7(), uuid7()
    await keys.create_subject_key(revived)
    copy = await Copied.of(keys)
    await keys.create_subject_key(absent)
    gone = await keys.erase_subject(absent) + await keys.erase_subject(revived)
    await copy.put_back(keys)
    process = other_process(keys)
    assert await restored.reconcile(process, data) == list(gone[1:])
    assert not any(told.limit.startswith("Not yet") for told in await process.destroyed(gone))
    current = keys.keyring.current
    await process.roll_root_if_due()
    assert keys.keyring.current == current


async def test_counts_say_what_there_is_and_what_was_replaced(stores: Stores) -> None:
    _, keys = stores
    await keys.create_subject_key(uuid7())
    await keys.create_subject_key(uuid7())
    await keys.service_key("journal")
    await keys.replace_service_key("journal")
    assert await keys.counts() == [
        {"kind": "service", "basis": None, "keys": 2, "replaced": 1},
        {"kind": "subject", "basis": "erasable", "keys": 2, "replaced": 0},
    ]


async def test_tombstone_and_key_go_together(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the re-keying fails nothing is half done."""
    _, keys = stores
    subject = uuid7()
    made = await keys.create_subject_key(subject)

    async def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(keys._tree, "remove", fail)
        await keys.erase_subject(subject)
    async with keys.db.session(DataUse.SECURITY) as session:
        assert await session.get(Tombstone, subject) is None
        wrapped = await session.scalar(select(KeyNode.wrapped).where(KeyNode.id == ROOT))
    assert wrapped is not None and keyrings.root_id(wrapped) in await keys.keyring.root_ids()
    assert (await other_process(keys).key(made.id)).key == made


async def test_a_root_key_that_was_closed_is_never_wrapped_under_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keyring whose current key is told late (an AWS alias): another process would hang the store on a dying key."""
    data, keys = stores
    first, second = uuid7(), uuid7()
    await keys.create_subject_key(first)
    made = await keys.create_subject_key(second)
    before, wrap = keys.keyring.current, keys.keyring.wrap
    old = await wrap(bytes(32), ROOT)

    async def pending(*_: object) -> None:
        raise KeyUnavailable("not yet")

    with monkeypatch.context() as patch:
        patch.setattr(keys.keyring, "destroy", pending)
        await keys.erase_subject(first)

    class Late:
        """Another process's view, which still has the key of before."""

        root_lifetime = timedelta()
        current = before

        async def wrap(self, secret: bytes, key_id: UUID) -> bytes:
            return old

        def __getattr__(self, name: str) -> object:
            return getattr(keys.keyring, name)

    late = KeyStore(keys.db, Late())  # type: ignore[arg-type]
    with pytest.raises(KeyUnavailable, match="closed root key"):
        await late.erase_subject(second)
    await restored.reconcile(other_process(keys), data)
    assert (await other_process(keys).key(made.id)).key == made


@pytest.mark.parametrize("stores", ["sqlite", "postgresql"] if BATTERY else ["sqlite"], indirect=True)
async def test_thousands_of_keys_are_destroyed_again_after_a_restore(stores: Stores) -> None:
    """More ids than a statement of SQLite takes."""
    data, keys = stores
    await keys.create_subject_key(uuid7())

    many = Destructions(frozenset(uuid7() for _ in range(40_000)), frozenset(uuid7() for _ in range(1000)))
    for mirror in keys.destroyed_list.mirrors:
        await mirror.record(many, uuid7(), await list_key(keys))
    process = other_process(keys)
    assert await restored.reconcile(process, data) == []
    assert not await process.destroyed_list.missing() and await process.destroyed_list.is_told()
    assert await process.erased(next(iter(many.subject_ids)))


async def test_a_shorter_schedule_reaches_the_periods_that_are_there(stores: Stores) -> None:
    _, keys = stores
    now = clock.now()

    def under(days: int) -> KeyStore:
        limits = {"rule": Limit(Starts.CREATION, Period.parse(f"P{days}D"))}
        return KeyStore(keys.db, keys.keyring, limits=limits)

    async def ends_after() -> int:
        async with keys.db.session(DataUse.SECURITY) as session:
            at = (await session.scalars(select(StoredKey.expires_at).where(StoredKey.kind == "period"))).one()
        assert at is not None
        return (at.date() - now.date()).days

    await under(30).limit_key("rule", KeyBasis.ERASABLE, None, uuid7(), now)
    assert await ends_after() == 30
    assert await under(90).shorten_periods() == 0  # a longer promise doesn't reach back
    assert await under(7).shorten_periods() == 1
    assert await ends_after() == 7


@pytest.mark.parametrize("place", ["log", "data"])
async def test_who_writes_to_a_mirror_destroys_nothing(stores: Stores, place: str, event_log: Path) -> None:
    """A line or a row of one's own, and those of another home, are no destruction: one write would erase people for good."""
    data, keys = stores
    victim, erased = uuid7(), uuid7()
    victims_key = await keys.create_subject_key(victim)
    await keys.create_subject_key(erased)
    before = await Copied.of(keys)
    await keys.erase_subject(erased)
    mine = Destructions(frozenset({victims_key.id}), frozenset({victim}))
    mirror = keys.destroyed_list.mirrors[1 if place == "log" else 0]
    await mirror.record(mine, uuid7(), b"k" * 32)
    if place == "log":
        path: Path = mirror._path  # type: ignore[attr-defined]
        with path.open("a") as file:
            file.write(f'{{"keys": [], "subjects": ["{victim}"]}}\n{{"keys": 3, "subjects": "x", "mac": 5}}\n')
            file.write('{"keys": [], "mac": "\\ud800"}\n' + "[" * 100_000 + '\n{"state": "x"}\n')
    process = other_process(keys)
    assert await restored.reconcile(process, data) == []
    assert await process.subject_key(victim) == victims_key
    assert "vault:mirror:foreign" in event_log.read_text()
    # What is ours beside it still holds.
    await before.put_back(keys)
    again = other_process(keys)
    assert len(await restored.reconcile(again, data)) == 1
    assert await again.erased(erased) and not await again.erased(victim)
