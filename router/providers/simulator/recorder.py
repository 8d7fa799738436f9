"""What a simulator received, for tests that compare bytes. Exists only where a test constructs it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, repr=False)
class Received:
    """One request exactly as it came; header names are lower-case, in the order of the wire."""

    method: str
    path: str
    query: bytes = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The first header of that name, or None."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)


class Recorder:
    """Thread-safe: the simulator runs in a thread of its own while the test reads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Received] = []
        self._disconnects: list[str] = []

    @property
    def requests(self) -> list[Received]:
        with self._changed:
            return list(self._requests)

    @property
    def disconnects(self) -> list[str]:
        """Paths of requests whose client left before the answer was whole."""
        with self._changed:
            return list(self._disconnects)

    def clear(self) -> None:
        with self._changed:
            self._requests.clear()
            self._disconnects.clear()

    def add(self, received: Received) -> None:
        with self._changed:
            self._requests.append(received)
            self._changed.notify_all()

    def add_disconnect(self, path: str) -> None:
        with self._changed:
            self._disconnects.append(path)
            self._changed.notify_all()

    def wait_for(self, condition: Callable[["Recorder"], bool], timeout_s: float = 5.0) -> bool:
        """Block until the condition holds; False when it didn't in time. From async code: `asyncio.to_thread`."""
        # Condition's lock is re-entrant, so the condition may read the properties.
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout_s)
