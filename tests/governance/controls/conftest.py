"""The data store, and a clock that can be moved."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from governance import clock
from governance.db import Database
from governance.vault.keys import KeyStore


@pytest.fixture
def data(stores: tuple[Database, KeyStore]) -> Database:
    return stores[0]


@pytest.fixture
def later() -> Iterator[Callable[[timedelta], None]]:
    """Moves the clock on."""
    moved = timedelta()

    def on(by: timedelta) -> None:
        nonlocal moved
        moved += by

    clock.install(lambda: datetime.now(UTC) + moved)
    yield on
    clock.install(None)
