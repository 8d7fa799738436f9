"""A destroyed key, as the running service feels it: at once in every worker, and for good whatever is restored."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from router.app.stores import opened
from router.settings import Settings
from tests.services.postgres import Postgres
from tests.services.valueapi import ValueAPI

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


def erase(service: ValueAPI, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """Another process of the home destroys the key of the first user, as the command that erases will."""
    for name, value in service.environment.items():
        if name.startswith("VALUEAPI_"):
            monkeypatch.setenv(name, value)
    listed = json.loads(service.cli("accounts", "list", "--json").stdout)
    email = service.first_run["user"]["email"]

    async def run() -> UUID:
        async with opened(Settings.load()) as stores:
            from governance.vault.blind_index import EmailIndex

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


def test_a_restored_key_store_revives_nobody(
    service: ValueAPI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert ask(service, service.key) == 200
    for store in ("data", "keys"):
        service.cli("backup", "create", "--store", store, "--out", str(tmp_path / store))
    subject_id = erase(service, monkeypatch)
    service.stop()
    service.cli("backup", "restore", str(tmp_path / "keys"), "--store", "keys")
    log = service.home / "log" / "events.jsonl"
    assert "vault:restore:found" not in log.read_text()
    service.start()
    assert "vault:restore:found" in log.read_text()
    assert {ask(service, service.key) for _ in range(4)} == {401}
    assert signs_in(service, "operator") and not signs_in(service, "user")
    told = service.cli("erase-check", "--backup", str(tmp_path / "data"), "--subject", str(subject_id), "--json")
    findings = json.loads(told.stdout)
    assert findings["ok"] and sum(finding["of_erased"] for finding in findings["findings"]) > 0


def test_both_stores_restored_from_one_day_still_revive_nobody(
    service: ValueAPI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither store knows of the erasure then; the log folder does."""
    for store in ("data", "keys"):
        service.cli("backup", "create", "--store", store, "--out", str(tmp_path / store))
    erase(service, monkeypatch)
    service.stop()
    for store in ("keys", "data"):
        service.cli("backup", "restore", str(tmp_path / store), "--store", store)
    service.start()
    assert ask(service, service.key) == 401
    assert signs_in(service, "operator") and not signs_in(service, "user")
