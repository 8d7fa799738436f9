"""Real stores for every test that needs one: SQLite files, and a private PostgreSQL that starts once per worker."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import router.migrations.tables  # noqa: F401  a test alone has every table, as the service has
from governance import events
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.evidence import pending
from governance.vault import purpose
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from governance.vault.mirrors import DataMirror, LogMirror
from governance.vault.permitted import Permitted
from governance.vault.purpose import Actor, Bulk, Purpose
from governance.vault.staff_opening import StaffLog
from policies import retention
from tests.services import tables, valueapi
from tests.services.postgres import Postgres

# Tests open values for any use; routes, jobs and commands under test state their own, and that is what counts there.
purpose._current.set(Purpose(Actor.SYSTEM, frozenset(DataUse), bulk=Bulk.EXPORT))


ONCE_ON_POSTGRESQL = (
    *("governance/controls/", "governance/mail/", "governance/test_session_use.py", "governance/vault/test_purpose.py"),
    *("governance/vault/test_sealed.py", "router/accounts/", "router/controls/", "router/recipients/", "router/web/"),
)
"""What is tested there isn't decided by the database: the first test of each file meets PostgreSQL, all with BATTERY=1."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("BATTERY"):
        return
    met: set[Path] = set()
    left: set[pytest.Item] = set()
    for item in items:
        near = str(item.path.relative_to(Path(__file__).parent)).startswith(ONCE_ON_POSTGRESQL)
        if near and "postgresql" in item.name:
            if item.path in met:
                left.add(item)
            met.add(item.path)
    config.hook.pytest_deselected(items=list(left))
    items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def no_service_is_left() -> Iterator[None]:
    yield
    valueapi.end_all()


@pytest.fixture
def fresh_postgres(postgres: Postgres) -> Iterator[str]:
    """Async URL of a fresh, empty database."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Database, KeyStore]]:
    """Both stores with their tables, on each database: (data, keys)."""
    urls = {}
    for store in (Store.DATA, Store.KEYS):
        if request.param == "sqlite":
            urls[store] = await tables.sqlite(tmp_path / store / f"{store}.db", store)
        else:
            urls[store] = await tables.postgresql(request.getfixturevalue("postgres"), store)
    data, keys_db = Database(urls[Store.DATA]), Database(urls[Store.KEYS])
    keyring = FileKeyring.create(tmp_path / "keys" / "root.key")
    (tmp_path / "log").mkdir()
    mirrors = DataMirror(data), LogMirror(tmp_path / "log")
    keys = KeyStore(keys_db, keyring, limits=retention.load().limits(), mirrors=mirrors)
    data.context["keys"] = keys
    pending.attach(data, keys)
    Permitted(data, keys)
    StaffLog(keys)
    yield data, keys
    await data.aclose()
    await keys_db.aclose()
    if request.param == "postgresql":
        for store, url in urls.items():
            await tables.done_with(request.getfixturevalue("postgres"), store, url)


@pytest.fixture
def event_log(tmp_path: Path) -> Path:
    """The sink's file. It stays open behind the test, as the sink can't be closed; the next test opens another."""
    events.sign_with(None)  # a test before this one may have opened the stores as a command does
    events.open_sink(tmp_path / "log")
    return tmp_path / "log" / "events.jsonl"
