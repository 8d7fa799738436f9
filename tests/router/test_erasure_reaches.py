"""A destroyed key, as the running service feels it: at once in every worker, and for good whatever is restored.

PostgreSQL's stores are restored where `BATTERY=1`.
"""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from governance import clock
from governance.backup import registry
from governance.datamap import Store
from governance.ids import uuid7
from governance.vault import rotation
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore
from router.app.stores import Stores, opened
from router.settings import Settings
from tests.services.postgres import Postgres
from tests.services.valueapi import ValueAPI

RESTORED = pytest.mark.parametrize(
    "service", ["sqlite", "postgresql"] if os.environ.get("BATTERY") else ["sqlite"], indirect=True
)
CHAT = {"model": "simulator/gpt", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ValueAPI]:
    environment = {"VALUEAPI_WORKERS": "2"}
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        environment |= {
            "VALUEAPI_DATABASE_URL": server.create_database(),
            "VALUEAPI_KEYS_URL": server.create_database(),
        }
    running = ValueAPI(tmp_path / "home", environment).start()
    yield running
    running.stop()


def ask(service: ValueAPI, key: str) -> int:
    # A connection each, so that both workers are asked.
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.post(service.url + "/v1/chat/completions", json=CHAT, headers=headers, timeout=30).status_code


def signs_in(service: ValueAPI, who: str) -> bool:
    """Whether a password, sealed under the person's key, still opens."""
    person = {name: service.first_run[who][name] for name in ("email", "password")}
    answer = httpx2.post(service.url + "/v1/account/sign-in", json=person, timeout=30)
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def settings(service: ValueAPI, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """For this process to open the service's home."""
    for name, value in service.environment.items():
        if name.startswith("VALUEAPI_"):
            monkeypatch.setenv(name, value)
    return Settings.load()


def erase(service: ValueAPI, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """Another process of the home destroys the key of the first user, as the command that erases will."""
    listed = json.loads(service.cli("accounts", "list", "--json").stdout)
    email = service.first_run["user"]["email"]

    async def run() -> UUID:
        async with opened(settings(service, monkeypatch)) as stores:
            subject_id = await EmailIndex(stores.keys).find(email)
            assert subject_id is not None
            await stores.keys.erase_subject(subject_id)
            return subject_id

    assert listed
    return asyncio.run(run())


def test_an_erasure_by_another_process_reaches_every_worker_at_once(
    service: ValueAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {ask(service, service.key) for _ in range(12)} == {200}
    erase(service, monkeypatch)
    assert {ask(service, service.key) for _ in range(12)} == {401}
    assert signs_in(service, "operator") and not signs_in(service, "user")


if os.environ.get("BATTERY"):  # `test_a_drill` has the most of it

    @RESTORED
    def test_a_restored_key_store_revives_nobody(
        service: ValueAPI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        assert ask(service, service.key) == 200
        for store in ("data", "keys"):
            service.cli("backup", "create", "--store", store, "--out", str(tmp_path / store))
        subject_id = erase(service, monkeypatch)
        gone = next(
            row for row in json.loads(service.cli("keys", "destroyed", "--json").stdout) if row["kind"] == "subject"
        )
        assert gone["in_key_backups_until"] and gone["address_confirmable_until"]
        assert gone["real_from"] is None  # a key file promises no time
        assert gone["limit"].startswith("Not yet") != service.keys_url.startswith("sqlite")
        service.stop()
        service.cli("backup", "restore", str(tmp_path / "keys"), "--store", "keys")
        # The command itself undoes what it brought back: no other could use a revived key.
        assert "vault:restore:found" in (service.home / "log" / "events.jsonl").read_text()
        service.start()
        assert {ask(service, service.key) for _ in range(4)} == {401}
        assert signs_in(service, "operator") and not signs_in(service, "user")
        told = service.cli("erase-check", "--backup", str(tmp_path / "data"), "--subject", str(subject_id), "--json")
        findings = json.loads(told.stdout)
        assert findings["ok"] and sum(finding["of_erased"] for finding in findings["findings"]) > 0


@contextmanager
def destroying(home: Settings) -> Iterator[None]:
    """Subjects come and are erased all the time, in a thread of this process."""
    stop = threading.Event()

    async def work() -> None:
        async with opened(home) as stores:
            while not stop.is_set():
                subject_id = uuid7()
                await stores.keys.create_subject_key(subject_id)
                await stores.keys.erase_subject(subject_id)

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(asyncio.run, work())
        try:
            yield
        finally:
            stop.set()
            working.result()


async def rotated_long_ago(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace of replaced keys is over, and the service's upkeep comes by."""
    later = clock.now() + rotation.GRACE + timedelta(days=1)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: later)
        oldest = await registry.oldest(stores.keys.db, Store.DATA)
        await rotation.retire(stores.keys, stores.data, oldest)


@pytest.mark.parametrize(
    "service", ["sqlite", "postgresql"] if os.environ.get("BATTERY") else ["sqlite"], indirect=True
)
def test_a_drill(service: ValueAPI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Backups among destructions, a rotation, an erasure, both stores restored, a command, the service: the living are
    there, the erased isn't."""
    home = settings(service, monkeypatch)
    with destroying(home):
        for store in ("data", "keys"):
            service.cli("backup", "create", "--store", store, "--out", str(tmp_path / store))
    service.cli("keys", "rotate", "subjects")
    subject_id = erase(service, monkeypatch)

    async def wait() -> None:
        async with opened(home) as stores:
            await rotated_long_ago(stores, monkeypatch)

    asyncio.run(wait())
    service.stop()
    refused = service.cli("backup", "restore", str(tmp_path / "keys"), "--store", "keys", check=False)
    assert refused.returncode == 1 and "newer than the backup" in refused.stderr
    for store in ("keys", "data"):
        service.cli("backup", "restore", str(tmp_path / store), "--store", store, "--force")
    assert json.loads(service.cli("accounts", "list", "--json").stdout)
    service.start()
    assert ask(service, service.key) == 401
    assert signs_in(service, "operator") and not signs_in(service, "user")

    async def look(keys: KeyStore) -> None:
        assert await keys.erased(subject_id)
        assert await EmailIndex(keys).find(service.first_run["user"]["email"]) is None
        assert await EmailIndex(keys).find(service.first_run["operator"]["email"]) is not None

    async def look_again() -> None:
        async with opened(home) as stores:
            await look(stores.keys)

    asyncio.run(look_again())
