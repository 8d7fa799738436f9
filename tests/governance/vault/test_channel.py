"""What both channels promise, with real processes: no increment is lost, nothing older after an announcement."""

import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from governance.vault.channel import Channel, open_channel
from governance.vault.channel_mmap import MemoryMapChannel
from governance.vault.channel_postgres import PostgresChannel
from tests.governance.vault.channel_driver import Process, assert_nothing_older, stamped

Start = Callable[..., Process]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A key store on each database."""
    if request.param == "sqlite":
        return "sqlite+aiosqlite:///keys.db"
    return str(request.getfixturevalue("postgres_keys"))


@pytest.fixture
async def channel(url: str, tmp_path: Path) -> AsyncIterator[Channel]:
    opened = open_channel(url, tmp_path / "run")
    yield opened
    await opened.aclose()


def test_the_key_store_decides_the_channel(tmp_path: Path) -> None:
    assert isinstance(open_channel("postgresql+asyncpg://app@db/keys", tmp_path), PostgresChannel)
    assert isinstance(open_channel("sqlite+aiosqlite:///keys.db", tmp_path), MemoryMapChannel)
    assert (tmp_path / "keys.mm").is_file()


def test_no_increment_is_lost(url: str, start: Start) -> None:
    announcers = [start("announce", url, "50") for _ in range(4)]
    generations = [generation for process in announcers for generation, _ in process.announced()]
    assert sorted(generations) == list(range(1, 201))


def test_nothing_older_is_seen_once_an_announcement_has_returned(url: str, start: Start) -> None:
    holders = [start("hold", url) for _ in range(3)]
    for holder in holders:
        holder.is_up()
    announcers = [start("announce", url, "25") for _ in range(3)]
    announced = [made for process in announcers for made in process.announced()]
    assert len(announced) == 75
    for holder in holders:
        seen = holder.seen()
        assert len(seen) > 1  # it did follow
        assert_nothing_older(seen, announced)


async def test_a_stopped_process_wakes_up_with_nothing_older(url: str, channel: Channel, start: Start) -> None:
    holder, other = start("hold", url), start("hold", url)
    holder.is_up()
    other.is_up()
    holder.signal(signal.SIGSTOP)
    holder.is_stopped()
    announced = [stamped(await channel.announce()), stamped(await channel.announce())]
    holder.signal(signal.SIGCONT)
    assert [generation for generation, _ in announced] == [1, 2]
    assert_nothing_older(holder.seen(), announced)
    assert_nothing_older(other.seen(), announced)


async def test_a_killed_process_holds_no_announcement_up(url: str, channel: Channel, start: Start) -> None:
    holder = start("hold", url)
    holder.is_up()
    holder.kill()
    assert await channel.announce() == 1
