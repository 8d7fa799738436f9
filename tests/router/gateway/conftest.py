"""A store whose commits can be held, for the gateway's own tests."""

from collections.abc import AsyncIterator

import pytest

from governance.db import Database
from governance.vault.keys import KeyStore
from tests.router.billing.book import Flaky


@pytest.fixture
async def ledger(stores: tuple[Database, KeyStore]) -> AsyncIterator[tuple[Flaky, KeyStore]]:
    db, keys = stores
    store = Flaky(db.engine.url.render_as_string(hide_password=False))
    store.context = db.context
    yield store, keys
    await store.aclose()
