"""How a change of keys reaches every process that may hold open ones."""

from typing import Protocol


class Channel(Protocol):
    """A generation that all processes of one key store share."""

    def generation(self) -> int | None:
        """What caches of open keys are filled under; one load, no I/O. None: no heartbeat, nothing cached may be used."""

    async def announce(self) -> int:
        """A new generation; returns when no process uses what it cached under an older one."""

    async def start(self) -> None:
        """Begin heartbeats in this process."""

    async def aclose(self) -> None:
        """End them."""


class OneProcess:
    """A store that this process alone has open: tests, and stores under construction."""

    def __init__(self) -> None:
        self._generation = 0

    def generation(self) -> int | None:
        return self._generation

    async def announce(self) -> int:
        self._generation += 1
        return self._generation

    async def start(self) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        """Nothing to do."""
