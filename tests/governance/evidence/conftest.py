"""Both stores with the log's recorders, and a log on them."""

from pathlib import Path

import pytest

from governance.db import Database
from governance.evidence import pending
from governance.evidence.log import Log
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]


@pytest.fixture
def log(stores: Stores, tmp_path: Path) -> Log:
    """Of the stores, on SQLite and on PostgreSQL; nothing is in it yet."""
    pending.attach(*stores)
    return Log(tmp_path / "log" / "transparency", *stores, "log.example.com/t")
