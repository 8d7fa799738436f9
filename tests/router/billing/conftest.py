"""Stores that can fail, on both databases, and the journal folder beside them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from governance import events
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


@pytest.fixture
def event_log(tmp_path: Path) -> Path:
    """The sink's file. It stays open behind the test, as the sink can't be closed; the next test opens another."""
    events.open_sink(tmp_path / "log")
    return tmp_path / "log" / "events.jsonl"
