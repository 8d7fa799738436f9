"""Keeps a serving process's answers true to how the control of bodies stands: its headers, and whether it serves at all.

The state lies in the data store, so that it outlives a restart and reaches every process; each looks again when the shared
generation moves (a probe or an operator changed something) and every few seconds (an age has no event).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from governance.bodies import standing
from governance.bodies.attestation import Signer
from governance.bodies.probe_run import About
from governance.bodies.standing import UNREAD, Standing
from governance.db import Database
from governance.period import Period
from router.gateway.api import Gateway

_LOOK_S: Final = 0.25
_READ_S: Final = 5.0
_BLIND_S: Final = 60.0  # without an answer of the store for so long nothing is known any more
CLOSED: Final = "The service is closed: a probe found content at rest, and nobody has answered for it yet."
_log = structlog.get_logger("service")


class StandingWatch:
    """One process's. `current` is what it last saw."""

    def __init__(
        self,
        data: Database,
        gateway: Gateway,
        generation: Callable[[], int],
        *,
        signer: Signer,
        about: About,
        max_age: Period,
        closes: bool,
    ) -> None:
        self._data = data
        self._gateway = gateway
        self._generation = generation
        self._signer = signer
        self._about = about
        self._max_age = max_age
        self._closes = closes
        self._read_at = time.monotonic()
        self.current: Standing = UNREAD

    async def look(self) -> None:
        """Read once, and act on it. Raises what the store raises."""
        self._set(await standing.read(self._data, self._signer, self._about, self._max_age))
        self._read_at = time.monotonic()

    async def run(self) -> None:
        """Forever."""
        seen, looked_at = self._generation(), time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            generation, now = self._generation(), time.monotonic()
            if generation == seen and now - looked_at < _READ_S:
                continue
            seen, looked_at = generation, now
            try:
                await self.look()
            except Exception as error:
                # Its text could hold an address. Whether it is closed stays as it was.
                _log.warning("the control's state can't be read", type=type(error).__name__)
                if now - self._read_at > _BLIND_S:
                    self.current = UNREAD
                    self._gateway.stand(None)

    def _set(self, now: Standing) -> None:
        self.current = now
        self._gateway.stand(str(now.probe_id) if now.probe_id is not None else None)
        self._gateway.closed = CLOSED if self._closes and now.incident_id is not None else None
