"""Starting, stopping, starting again; several workers; TLS; production mode."""

import json
import os
import pty
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from governance.backup import in_use
from governance.errors import Conflict
from tests.services.postgres import Postgres
from tests.services.redis import redis_server
from tests.services.valueapi import ValueAPI

HI = {"model": "simulator/gpt", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}


def chat(service: ValueAPI, key: str | None = None) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key or service.key}"}
    return httpx2.post(service.url + "/v1/chat/completions", json=HI, headers=headers, timeout=30)


def balance(service: ValueAPI) -> int:
    listed = json.loads(service.run("accounts", "list", "--json").stdout)
    return max(int(row["balance_microcredits"]) for row in listed)


def workers_of(service: ValueAPI) -> list[int]:
    told = json.loads(service.run("doctor", "--json", check=False).stdout)
    return [process for process in told["process_ids"] if process != told["supervisor_process_id"]]


def ready_again(service: ValueAPI) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if service.ready().status_code == 200:
                break
        except httpx2.HTTPError:
            time.sleep(0.1)


def test_a_second_start_reuses_everything_and_shows_no_key(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home").start()
    key = service.key
    assert chat(service).status_code == 200
    assert service.stop() == 0
    service.log.unlink()
    service.start()
    assert chat(service, key).status_code == 200 and service.key == key
    assert key not in service.log.read_text()
    assert service.stop() == 0


def test_a_charge_is_on_the_balance_to_the_micro_credit(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home").start()
    charge = int(chat(service).headers["x-valueapi-charge-microcredits"])
    service.stop()
    assert charge > 0 and balance(service) == 10_000_000 - charge


def test_workers_share_limits_leases_and_revocations(tmp_path: Path) -> None:
    rates = "{requests_per_minute: 12, tokens_per_minute: 1000000}"
    limits = tmp_path / "limits.yaml"
    limits.write_text(f"tiers: [{{name: free, lifetime_top_up_microcredits_min: 0, account: {rates}, key: {rates}}}]\n")
    service = ValueAPI(
        tmp_path / "home",
        {"VALUEAPI_WORKERS": "2", "VALUEAPI_TIERS": str(limits), "VALUEAPI_PRINCIPAL_CACHE_SECONDS": "60"},
    ).start()
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: chat(service).status_code, range(40)))
    # A minute's worth is twelve; the bucket refills by one in five seconds meanwhile.
    assert 12 <= statuses.count(200) <= 15 and set(statuses) == {200, 429}
    found = json.loads(service.run("accounts", "find", service.first_run["user"]["email"], "--json").stdout)
    listed = json.loads(service.run("accounts", "api-keys", "list", found["account_id"], "--json").stdout)
    service.run("accounts", "api-keys", "revoke", found["account_id"], listed[0]["id"])
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: chat(service).status_code, range(8))) == {401}
    assert service.stop() == 0
    assert json.loads(service.run("ledger", "verify", "--json").stdout)["ok"] is True


def test_refused_requests_count_towards_the_limit(tmp_path: Path) -> None:
    """Otherwise one key without Credits could fill the event log and keep the process busy for nothing."""
    service = ValueAPI(tmp_path / "home").start()
    headers = {"authorization": f"Bearer {service.first_run['api_key_without_credits']}"}
    refused = {"provider": {"headquarters": ["DE"]}, **HI}
    with httpx2.Client(base_url=service.url, headers=headers) as client:
        statuses = [client.post("/v1/chat/completions", json=refused).status_code for _ in range(80)]
    assert statuses[0] == 403 and statuses[-1] == 429 and statuses.count(403) <= 65
    assert service.stop() == 0


def counted(service: ValueAPI) -> set[float]:
    """Chats answered, as whichever worker is asked says."""
    scrapes = {
        line
        for _ in range(8)
        for line in httpx2.get(service.url + "/metrics").text.splitlines()
        if line.startswith('valueapi_requests_total{endpoint="chat",status="200"}')
    }
    return {float(line.rpartition(" ")[2]) for line in scrapes}


def test_metrics_add_up_over_workers_and_name_no_content(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home", {"VALUEAPI_WORKERS": "2"}).start()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: chat(service).status_code, range(20))) == {200}
    assert counted(service) == {20.0}
    assert service.stop() == 0


if os.environ.get("BATTERY"):

    def test_two_supervisors_of_one_home_count_each_their_own(tmp_path: Path) -> None:
        home = tmp_path / "home"
        first = ValueAPI(home, {"VALUEAPI_WORKERS": "2"}).start()
        for _ in range(5):
            assert chat(first).status_code == 200
        second = ValueAPI(home, {"VALUEAPI_WORKERS": "2"}).start()
        for _ in range(3):
            assert chat(second).status_code == 200
        assert counted(first) == {5.0} and counted(second) == {3.0}
        folders = {folder for folder in (home / "run" / "metrics").iterdir() if any(folder.glob("*.db"))}
        assert len(folders) == 2
        # Nothing is written where `doctor` doesn't say so.
        told = json.loads(first.run("doctor", "--json").stdout)["writable_folders"]
        assert {str(folder) for folder, _, files in os.walk(home) if files} <= set(told)
        second.kill()
        third = ValueAPI(home, {"VALUEAPI_WORKERS": "2"}).start()
        assert counted(first) == {5.0} and counted(third) == set()
        assert len(list((home / "run" / "metrics").iterdir())) == 2
        assert first.stop() == 0 and third.stop() == 0


def test_an_address_in_use_is_told_before_a_key_is_shown(tmp_path: Path) -> None:
    import socket

    service = ValueAPI(tmp_path / "home")
    with socket.create_server(("127.0.0.1", service.port)):
        refused = service.run("serve", "--first-run", check=False)
    assert refused.returncode == 2 and "VALUEAPI_PORT" in refused.stderr and "sk-va-" not in refused.stdout
    assert not (tmp_path / "home" / "first-run.json").exists()


def test_the_first_key_is_shown_on_a_terminal_alone(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", *service.program]
    with subprocess.Popen(command, env=service.environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"Content-Type" not in shown:
            shown += os.read(ours, 4096)
        process.terminate()
    os.close(ours)
    assert shown.decode().count(service.key) == 2
    piped = ValueAPI(tmp_path / "other").start()
    printed = piped.log.read_text()
    assert piped.stop() == 0
    assert piped.key not in printed and "first-run.json" in printed
    # What is printed works as it stands.
    asks = printed[printed.index("-H 'Authorization:") : printed.index(" \\\n")]
    said = subprocess.run(
        ["bash", "-c", f"printf %s {asks.removeprefix('-H ')}"], capture_output=True, text=True, check=True
    )
    assert said.stdout == f"Authorization: Bearer {piped.key}"


def test_the_printed_request_names_a_model_that_answers(tmp_path: Path) -> None:
    import re

    service = ValueAPI(tmp_path / "home", {"OPENAI_API_KEY": "sk-nobodys", "HTTP_PROXY": "http://127.0.0.1:9"})
    service.start()
    printed = service.log.read_text()
    assert "provider openai was found" in printed
    named = re.search(r'"model":"([^"]+)"', printed)
    listed = httpx2.get(service.url + "/v1/models", headers={"authorization": f"Bearer {service.key}"}).json()
    assert named and named[1] in {model["id"] for model in listed["data"]}
    service.stop()
    del service.environment["OPENAI_API_KEY"]
    service.start()  # a proxy in the environment must not see what goes to this machine's own simulator
    assert chat(service).status_code == 200
    assert service.stop() == 0


def test_two_services_share_limits_through_redis(tmp_path: Path, postgres: Postgres) -> None:
    """Two machines, as far as a test can: apart homes, one database, one key store, one Redis."""
    rates = "{requests_per_minute: 10, tokens_per_minute: 1000000}"
    limits = tmp_path / "limits.yaml"
    limits.write_text(f"tiers: [{{name: free, lifetime_top_up_microcredits_min: 0, account: {rates}, key: {rates}}}]\n")
    with redis_server() as url:
        environment = {
            "VALUEAPI_REDIS_URL": url,
            "VALUEAPI_TIERS": str(limits),
            "VALUEAPI_DATABASE_URL": postgres.create_database(),
            "VALUEAPI_KEYS_URL": postgres.create_database(),
            "VALUEAPI_KEY_FILE": str(tmp_path / "root.key"),
        }
        first = ValueAPI(tmp_path / "one", environment).start()
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "first-run.json").write_text((tmp_path / "one" / "first-run.json").read_text())
        second = ValueAPI(tmp_path / "two", environment).start()
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda n: chat((first, second)[n % 2]).status_code, range(30)))
        assert 10 <= statuses.count(200) <= 13 and set(statuses) == {200, 429}
        assert first.stop() == 0 and second.stop() == 0
        assert json.loads(first.run("ledger", "verify", "--json").stdout)["ok"] is True


def test_every_process_is_listed_and_the_supervisor_is_named(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home", {"VALUEAPI_WORKERS": "2"}).start()
    assert service.process is not None
    told = json.loads(service.run("doctor", "--json").stdout)
    of_service = {int(line) for line in pgrep(service.process.pid)}
    assert told["supervisor_process_id"] == service.process.pid
    assert set(told["process_ids"]) == of_service and len(of_service) == 3
    # No restore comes in while no worker lives: the supervisor starts others on the same stores.
    for worker in workers_of(service):
        os.kill(worker, signal.SIGKILL)
    with pytest.raises(Conflict, match="stop it first"):
        in_use.alone(service.home / "run")
    ready_again(service)
    assert service.stop() == 0
    service.environment["VALUEAPI_WORKERS"] = "1"
    service.start()
    told = json.loads(service.run("doctor", "--json").stdout)
    assert told["process_ids"] == [service.process.pid] and told["supervisor_process_id"] is None
    assert service.stop() == 0


def pgrep(group: int) -> list[str]:
    return subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True, check=True).stdout.split()


if os.environ.get("BATTERY"):

    def test_keys_are_checked_once_and_a_restarted_worker_empties_no_cache(tmp_path: Path) -> None:
        service = ValueAPI(tmp_path / "home").start()
        assert service.stop() == 0
        with closing(sqlite3.connect(service.home / "keys" / "keys.db")) as keys, keys:
            # A row whose key no bucket holds, as damage leaves it.
            keys.execute(
                "INSERT INTO stored_key (id, kind, node_id, created_at) "
                "SELECT hex(randomblob(16)), kind, node_id, created_at FROM stored_key LIMIT 1"
            )
        service.environment["VALUEAPI_WORKERS"] = "2"
        service.start()
        generation = (service.home / "run" / "keys.mm").read_bytes()
        before = workers_of(service)
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + 30
        while (now := workers_of(service)) == before or len(now) < 2:
            assert time.monotonic() < until
        assert {chat(service).status_code for _ in range(20)} == {200}
        assert (service.home / "run" / "keys.mm").read_bytes() == generation
        assert service.stop() == 0
        log = (service.home / "log" / "events.jsonl").read_text().splitlines()
        assert sum("vault:keys:unreadable" in line for line in log) == 1


def test_a_dead_workers_journal_is_adopted_once_and_its_leases_return(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home", {"VALUEAPI_WORKERS": "2"}).start()
    charges = [int(chat(service).headers["x-valueapi-charge-microcredits"]) for _ in range(10)]
    for worker in workers_of(service):
        os.kill(worker, signal.SIGKILL)
    ready_again(service)
    assert chat(service).status_code == 200
    last = int(chat(service).headers["x-valueapi-charge-microcredits"])
    assert service.stop() == 0
    assert balance(service) == 10_000_000 - sum(charges) - charges[0] - last
    adopted = [
        line for line in (service.home / "log" / "events.jsonl").read_text().splitlines() if "orphan:adopted" in line
    ]
    assert sum(json.loads(line)["records"] for line in adopted) <= 10


def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    service = ValueAPI(tmp_path / "home", {"VALUEAPI_TLS_CERT": str(cert), "VALUEAPI_TLS_KEY": str(key)})
    service.url = service.url.replace("http:", "https:")
    context = ssl.create_default_context(cafile=cert)
    service.ready = lambda: httpx2.get(service.url + "/readyz", verify=context, timeout=2)  # type: ignore[method-assign]
    service.start()
    answer = httpx2.post(
        service.url + "/v1/chat/completions",
        json=HI,
        headers={"authorization": f"Bearer {service.key}"},
        verify=context,
    )
    assert answer.status_code == 200
    assert service.stop() == 0


def test_production_refuses_first_passwords_the_simulator_and_insecure_upstreams(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home").start()
    service.stop()
    service.environment["VALUEAPI_MODE"] = "production"
    refused = service.run("serve", check=False)
    assert refused.returncode == 2 and "first password" in refused.stderr
    service.run("accounts", "remove-first-run")
    file = tmp_path / "providers.yaml"
    from tests.services import providers

    providers.write(file, "http://127.0.0.1:9")
    service.environment["VALUEAPI_PROVIDERS"] = str(file)
    refused = service.run("serve", check=False)
    assert refused.returncode != 0 and "VALUEAPI_ALLOW_INSECURE_UPSTREAMS" in refused.stderr
    service.environment["VALUEAPI_SIMULATOR"] = "on"
    refused = service.run("serve", check=False)
    assert refused.returncode == 2 and "contradicts" in refused.stderr


@pytest.mark.parametrize("name", ["VALUEAPI_UNHEARD_OF", "VALUEAPI_PORT"])
def test_a_bad_setting_stops_start_up_with_its_name(tmp_path: Path, name: str) -> None:
    service = ValueAPI(tmp_path / "home", {name: "s3cret"})
    refused = service.run("serve", check=False)
    assert refused.returncode == 2 and name in refused.stderr and "s3cret" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_migrations_equal_the_models_on_both_databases(tmp_path: Path, postgres: Postgres) -> None:
    import asyncio

    from alembic.script import ScriptDirectory

    from governance.datamap import Store
    from governance.db import Database
    from router.migrations import run, version

    async def differences(url: str, store: Store) -> list[object]:
        database = Database(url)
        try:
            await run.upgrade(database, store)
            return [item for item in await run.differences(database, store) if "test_" not in str(item)]
        finally:
            await database.aclose()

    for store in Store:
        scripts = ScriptDirectory.from_config(run._config(store))
        assert version.known(store) == [script.revision for script in reversed(list(scripts.walk_revisions()))]
    assert asyncio.run(differences(f"sqlite+aiosqlite:///{tmp_path}/a.db", Store.DATA)) == []
    assert asyncio.run(differences(f"sqlite+aiosqlite:///{tmp_path}/b.db", Store.KEYS)) == []
    assert asyncio.run(differences(postgres.create_database(), Store.DATA)) == []
    assert asyncio.run(differences(postgres.create_database(), Store.KEYS)) == []
