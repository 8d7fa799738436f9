"""The scheduled probe in a real service: on PostgreSQL with workers, and with its leader killed while it runs."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.governance.bodies.test_attestation import verified
from tests.services.postgres import Postgres
from tests.services.valueapi import ValueAPI


def until(found: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def control(service: ValueAPI) -> dict[str, object]:
    told: dict[str, object] = service.ready().json()["controls"]["bodies-not-stored"]
    return told


def started(folder: Path, **stores: str) -> ValueAPI:
    environment = {"VALUEAPI_WORKERS": "2", "VALUEAPI_SELF_PROBE_EVERY": "PT6H", **stores}
    return ValueAPI(folder / "home", environment).start()


def _probes() -> dict[int, int]:
    """Leaders of running probes, by the session that they belong to."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and b"router.app.probe_process" in (process / "cmdline").read_bytes():
                parent, _, session = (process / "stat").read_text().rpartition(")")[2].split()[1:4]
                found[int(session)] = int(parent)
        except OSError:
            continue
    return found


if os.environ.get("BATTERY"):  # what the suite has of it is in tests/router/app/test_self_probe.py

    @pytest.mark.timeout(600)
    def test_on_postgresql_with_workers(tmp_path: Path, postgres: Postgres) -> None:
        stores = {"VALUEAPI_DATABASE_URL": postgres.create_database(), "VALUEAPI_KEYS_URL": postgres.create_database()}
        service = started(tmp_path, **stores)
        # Nobody asks for it: it follows the start.
        until(lambda: control(service)["last_verdict"])
        assert control(service)["state"] == "stands", control(service)
        keys = httpx2.get(service.url + "/.well-known/jwks.json").json()
        told = verified(httpx2.get(service.url + "/v1/privacy/attestation").text, keys)["predicate"]
        assert told["verdict"] == "clean" and "PostgreSQL by SQL" in told["searched"]["places"]
        assert service.stop() == 0

    @pytest.mark.timeout(600)
    def test_a_leader_killed_while_it_probes(tmp_path: Path) -> None:
        service = started(tmp_path)
        service.cli("jobs", "run", "self-probe")
        until((service.home / "run" / "probe.json").exists)
        leader = until(_probes)[service.process.pid if service.process else 0]
        os.kill(leader, signal.SIGKILL)
        until(lambda: control(service)["last_verdict"] == "clean")
        jobs = json.loads(service.cli("jobs", "list", "--json").stdout)
        [job] = [row for row in jobs if row["name"] == "self-probe"]
        assert (job["outcome"], job["failures"]) == ("done", 0)
        events = [
            json.loads(line)["event"] for line in (service.home / "log" / "events.jsonl").read_text().splitlines()
        ]
        assert events.count("jobs:job:cut") == 1 and "bodies:probe:clean" in events
        assert not (service.home / "run" / "probe.json").exists()
        assert service.stop() == 0
