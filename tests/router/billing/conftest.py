"""Stores that can fail, on both databases, and the journal folder beside them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from governance.db import Database
from governance.vault.keys import KeyStore
from tests.router.billing.book import Flaky, Signal


@pytest.fixture
def db(stores: tuple[Database, KeyStore]) -> Database:
    return stores[0]


@pytest.fixture
def keys(stores: tuple[Database, KeyStore]) -> KeyStore:
    return stores[1]


@pytest.fixture
async def flaky(db: Database) -> AsyncIterator[Flaky]:
    store = Flaky(db.engine.url.render_as_string(hide_password=False))
    store.context = db.context
    yield store
    await store.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal"


@pytest.fixture
def signal(tmp_path: Path) -> Signal:
    return Signal(tmp_path / "recall")
