"""A served web application on SQLite; tests that are about storage take `stores` on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.router.web.running import Running, Stores, serve


@pytest.fixture
async def web(stores: Stores, tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(stores, tmp_path / "home") as running:
        yield running
