"""What the vault does by itself: each step apart from the others, and no end by a clock that jumped."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from governance import clock
from governance.datamap import KeyBasis
from governance.db import Database
from governance.errors import KeyGone
from governance.ids import uuid7
from governance.period import Period
from governance.vault import clock_watch, rotation
from governance.vault.keys import KeyStore
from governance.vault.limits import Limit, Starts
from governance.vault.upkeep import Upkeep

Stores = tuple[Database, KeyStore]


async def no_backup() -> None:
    return None


def upkeep_of(stores: Stores) -> Upkeep:
    data, keys = stores
    return Upkeep(keys, data, index_renewal=Period.parse("P1M"), oldest_backup=no_backup)


@pytest.fixture
def limited(stores: Stores) -> Stores:
    data, keys = stores
    limits = {"rule": Limit(Starts.CREATION, Period.parse("P2D"))}
    return data, KeyStore(keys.db, keys.keyring, limits=limits, mirrors=keys.destroyed_list.mirrors)


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Moves the clock; `ticked`: seconds of it that the machine really lived through."""

    def move(by: timedelta, ticked: float = 0.0) -> None:
        now, monotonic = clock.now() + by, time.monotonic() + ticked
        monkeypatch.setattr(clock, "now", lambda: now)
        monkeypatch.setattr(clock_watch.time, "monotonic", lambda: monotonic)

    return move


async def test_a_step_that_fails_keeps_no_other_from_being_done(
    limited: Stores, pass_time: Callable[..., None], event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = limited
    key = await keys.limit_key("rule", KeyBasis.ERASABLE, None, uuid7(), clock.now())
    assert key is not None
    upkeep = upkeep_of(limited)

    async def fail(*_: object) -> None:
        raise OSError("disk")

    monkeypatch.setattr(clock_watch, "HOLD_S", 0)
    monkeypatch.setattr(keys.destroyed_list, "is_told", fail)
    monkeypatch.setattr(keys, "roll_root_if_due", fail)
    monkeypatch.setattr(keys.openings, "flush", fail)
    pass_time(timedelta(days=3))
    assert await upkeep.once() == ["flush", "reconcile", "roll"]
    with pytest.raises(KeyGone):
        await keys.key(key.id)
    assert event_log.read_text().count("vault:upkeep:failed") == 3


async def test_a_clock_that_jumps_ends_nothing_for_an_hour(
    limited: Stores, pass_time: Callable[..., None], event_log: Path
) -> None:
    _, keys = limited
    key = await keys.limit_key("rule", KeyBasis.ERASABLE, None, uuid7(), clock.now())
    assert key is not None
    upkeep = upkeep_of(limited)
    assert await upkeep.once() == []
    pass_time(timedelta(days=400), ticked=60)
    for _ in range(3):
        assert await upkeep.once() == []
        assert await keys.key(key.id)
    assert event_log.read_text().count("vault:clock:jumped") == 1
    # A process that starts now knows no better, and waits for an hour of its own.
    assert await upkeep_of(limited).once() == []
    assert await keys.key(key.id)
    # Mended: all is as it was.
    pass_time(timedelta(days=-400), ticked=60)
    assert await upkeep.once() == []
    assert await keys.key(key.id)
    # Not mended for an hour: then it is the time.
    pass_time(timedelta(days=400), ticked=60)
    assert await upkeep.once() == []
    pass_time(timedelta(minutes=61), ticked=3660)
    assert await upkeep.once() == []
    with pytest.raises(KeyGone):
        await keys.key(key.id)


async def test_time_that_passes_by_minutes_ends_a_period_in_time(
    limited: Stores, pass_time: Callable[..., None], event_log: Path
) -> None:
    _, keys = limited
    key = await keys.limit_key("rule", KeyBasis.ERASABLE, None, uuid7(), clock.now())
    assert key is not None
    upkeep = upkeep_of(limited)
    for _ in range(2 * 24 * 2 + 1):
        await upkeep.once()
        pass_time(timedelta(minutes=30), ticked=1800)
    assert await upkeep.once() == []
    with pytest.raises(KeyGone):
        await keys.key(key.id)
    assert "vault:clock:jumped" not in event_log.read_text()


async def test_replaced_keys_wait_for_the_clock_too(stores: Stores, pass_time: Callable[..., None]) -> None:
    data, keys = stores
    subject = uuid7()
    old = await keys.create_subject_key(subject)
    upkeep = upkeep_of(stores)
    await upkeep.once()
    async for _ in rotation.rotate(rotation.What.SUBJECTS, keys, data):
        pass
    pass_time(rotation.GRACE + timedelta(hours=2))
    await upkeep.once()
    assert await keys.key(old.id)
