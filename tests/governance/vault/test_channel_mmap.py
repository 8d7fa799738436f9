"""The file itself: private, made once, one lock, and a fault said as such."""

import asyncio
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from governance.errors import ChannelDown, ConfigurationError
from governance.vault import channel_mmap
from governance.vault.channel_mmap import MemoryMapChannel
from tests.governance.vault.channel_driver import Process

LOCKER = """import fcntl, os, signal, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)
print('held', flush=True)
signal.pause()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "keys.mm"


async def test_the_file_is_eight_private_bytes(path: Path) -> None:
    channel = MemoryMapChannel(path)
    assert channel.generation() == 0
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_size) == (0o600, 8)
    assert [file.name for file in path.parent.iterdir()] == ["keys.mm"]
    await channel.start()
    assert await channel.announce() == channel.generation() == 1
    await channel.aclose()


async def test_the_counter_outlives_its_processes(path: Path) -> None:
    first = MemoryMapChannel(path)
    await first.announce()
    await first.aclose()
    second = MemoryMapChannel(path)
    assert second.generation() == 1
    await second.aclose()


async def test_processes_that_open_at_once_get_one_file(path: Path, start: Callable[..., Process]) -> None:
    announcers = [start("announce", "sqlite", "1") for _ in range(8)]
    assert sorted(process.announced()[0][0] for process in announcers) == list(range(1, 9))
    assert [file.name for file in path.parent.iterdir()] == ["keys.mm"]


def test_who_loses_the_race_takes_the_other_ones_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fallocate = os.posix_fallocate
    siblings = []

    def slow(fd: int, offset: int, length: int) -> None:
        monkeypatch.setattr(os, "posix_fallocate", fallocate)
        siblings.append(MemoryMapChannel(path))  # between the look and the link
        fallocate(fd, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", slow)
    loser = MemoryMapChannel(path)
    asyncio.run(loser.announce())
    assert [sibling.generation() for sibling in siblings] == [1]
    assert [file.name for file in path.parent.iterdir()] == ["keys.mm"]


async def test_tasks_of_one_process_lose_no_increment(path: Path) -> None:
    channel = MemoryMapChannel(path)
    made = await asyncio.gather(*(channel.announce() for _ in range(50)))
    assert sorted(made) == list(range(1, 51))
    await channel.aclose()


async def test_a_lock_that_is_never_let_go_is_an_error_and_its_holders_death_frees_it(path: Path) -> None:
    channel = MemoryMapChannel(path)
    with subprocess.Popen([sys.executable, "-c", LOCKER, str(path)], stdout=subprocess.PIPE, text=True) as locker:
        assert locker.stdout is not None and locker.stdout.readline() == "held\n"
        locker.send_signal(signal.SIGSTOP)
        with pytest.raises(ChannelDown):
            await channel.announce()
        assert channel.generation() == 0
        locker.kill()
    assert await channel.announce() == 1
    await channel.aclose()


async def test_waiting_for_the_lock_leaves_the_event_loop_free(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_mmap, "LOCK_WAIT_S_MAX", 60.0)
    channel = MemoryMapChannel(path)
    held = os.open(path, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    waiting = asyncio.create_task(channel.announce())
    await asyncio.sleep(0)
    assert not waiting.done()
    os.close(held)
    assert await waiting == 1
    await channel.aclose()


async def test_a_file_that_was_replaced_or_removed_under_a_process_is_an_error(path: Path) -> None:
    """Who opens it now looks at another page: an announcement there or here would not reach everyone."""
    channel = MemoryMapChannel(path)
    path.unlink()
    with pytest.raises(ChannelDown):
        await channel.announce()
    newer = MemoryMapChannel(path)
    with pytest.raises(ChannelDown):
        await channel.announce()
    await channel.aclose()
    await newer.aclose()


def test_a_damaged_file_or_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"1234")
    with pytest.raises(ConfigurationError, match=r"keys\.mm"):
        MemoryMapChannel(path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        MemoryMapChannel(path)
    assert not (tmp_path / "elsewhere").exists()
