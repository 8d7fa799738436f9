"""How caches of open keys, in whichever process, learn that keys or permitted uses were changed.

A cache entry is filled under a generation and is good only while `generation()` still says that one. So one number that
every process sees is all that an erasure needs to reach them (GDPR Art. 17): no list of caches, no message to be lost.
"""

from pathlib import Path
from typing import Protocol

from governance.vault.channel_mmap import MemoryMapChannel
from governance.vault.channel_postgres import PostgresChannel


class Channel(Protocol):
    """One process's end. Take the generation *before* the read that fills a cache, never after."""

    def generation(self) -> int | None:
        """What caches of open keys were filled under; one load, no I/O, called per request.

        None: the channel has had no heartbeat for a second, so nothing cached may be used.
        """

    async def announce(self) -> int:
        """After a committed change of keys or of permitted uses: a new generation.

        Returned when every process that could hold an older one has acknowledged it or its caches have died (1 s
        without heartbeat): from then on no process's `generation()` says an older one. Raises ChannelDown where it
        can't be known that a new generation is out; announcing again is always safe.
        """

    async def start(self) -> None:
        """Begin heartbeats in this process's event loop. A process that only announces needs none."""

    async def aclose(self) -> None:
        """End them."""


class OneProcess:
    """Of a store that this process alone has open, as while one is made or restored."""

    def __init__(self) -> None:
        self._generation = 0

    def generation(self) -> int | None:
        """A count of this process's own."""
        return self._generation

    async def announce(self) -> int:
        """The next count."""
        self._generation += 1
        return self._generation

    async def start(self) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        """Nothing to do."""


def open_channel(url: str, run_folder: Path) -> Channel:
    """The channel that reaches whoever can open the key store at `url`: one machine's processes, or many machines'."""
    if url.startswith("postgresql"):
        return PostgresChannel(url)
    return MemoryMapChannel(run_folder / "keys.mm")
