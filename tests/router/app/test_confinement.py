"""The real service with a leak planted in it: what confinement stops, what the watch records, and what is said where
the kernel has no Landlock. The leak is imported into every process of the service, workers included."""

import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from governance.bodies.confine import Kept
from router.app import confinement, confinement_left, serving
from router.cli import doctor
from router.settings import Settings
from tests.services import child
from tests.services.at_rest import holding
from tests.services.valueapi import ValueAPI

CANARY = "kanarie-that-a-careless-handler-keeps"
NO_LANDLOCK = [sys.executable, "-S", "-m", "tests.services.no_landlock"]


def leaking(folder: Path, ways: str, settings: dict[str, str]) -> ValueAPI:
    (folder / "outside").mkdir()
    planted = child.ROOT / "tests" / "simulators" / "leaking"
    return ValueAPI(
        folder / "home",
        {
            "PYTHONPATH": f"{planted}:{child.ROOT}",
            "LEAKING": ways,
            "LEAKING_TO": str(folder / "outside"),
            "TMPDIR": str(folder / "outside"),
            "VALUEAPI_BODY_GUARD": "off",  # not what stops anything here
            **settings,
        },
    )


def ask(service: ValueAPI) -> httpx2.Response:
    body = {"model": "simulator/gpt", "messages": [{"role": "user", "content": CANARY}], "max_tokens": 20}
    headers = {"authorization": f"Bearer {service.key}"}
    return httpx2.post(service.url + "/v1/chat/completions", json=body, headers=headers, timeout=30)


def events(service: ValueAPI, name: str) -> list[dict[str, object]]:
    lines = (service.home / "log" / "events.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"].startswith(name)]


def shared_memory(service: ValueAPI) -> Path:
    return Path(f"/dev/shm/leaking-{service.port}")


def test_workers_write_nothing_outside_and_what_they_try_is_recorded(tmp_path: Path) -> None:
    service = leaking(tmp_path, "temporary,shared memory,child,home", {"VALUEAPI_WORKERS": "2"}).start()
    before = (tmp_path / "outside").stat().st_mtime_ns
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: ask(service).status_code, range(8))) == {200}
    # Not even a name came and went there.
    assert list((tmp_path / "outside").iterdir()) == [] and (tmp_path / "outside").stat().st_mtime_ns == before
    told = json.loads(service.cli("doctor", "--json", check=False).stdout)  # the guard is off, which it minds
    assert service.stop() == 0
    assert not shared_memory(service).exists()
    # What lies under the home Landlock lets pass: the watch is what tells of it, and of nothing that is declared.
    watched = events(service, "bodies:write:")
    assert {(event["what"], event["where"]) for event in watched} == {
        ("open", "outside"), ("os.system", "process"), ("open", "home"),
    }  # fmt: skip
    assert CANARY not in json.dumps(watched) and str(service.home) not in json.dumps(watched)
    assert (service.home / "debug.txt").read_text().count(CANARY) == 1
    # Supervisor and workers, each by itself.
    confined = events(service, "bodies:confinement:")
    assert len({event["process_id"] for event in confined}) == 3
    assert all("signature" in event and str(event["writes"]).startswith("held") for event in confined)
    rows = {row["check"]: row for row in told["checks"] if row["check"].startswith("confinement")}
    assert set(rows) == {f"confinement: {name.replace('_', ' ')}" for name in Kept}
    assert rows["confinement: writes"]["ok"] and "3 processes" in rows["confinement: writes"]["found"]


def test_on_a_kernel_without_landlock_the_leak_is_there_and_it_is_said_loudly(tmp_path: Path) -> None:
    """The control: the same service, the same leak, and nothing but Landlock is missing."""
    service = leaking(tmp_path, "temporary,shared memory,child", {})
    service.launcher = NO_LANDLOCK
    service.start()
    try:
        assert ask(service).status_code == 200
        rows = {row["check"]: row for row in doctor._confinement(Settings(home=service.home))}
        assert holding([tmp_path / "outside", shared_memory(service)], [CANARY])
        assert len(list((tmp_path / "outside").iterdir())) == 2
    finally:
        shared_memory(service).unlink(missing_ok=True)
    assert service.stop() == 0
    log = service.log.read_text()
    assert "NOT CONFINED: Files may be written anywhere: this kernel has no Landlock" in log
    [event] = events(service, "bodies:confinement:")
    assert event["event"] == "bodies:confinement:not_confined" and "NOT held" in str(event["writes"])
    row = rows["confinement: writes"]
    assert not row["ok"] and "no Landlock" in str(row["found"]) and "lsm=" in str(row["mend"])
    # Where it is required nothing is served.
    service.environment["VALUEAPI_CONFINEMENT"] = "required"
    refused = service.cli("serve", check=False)
    assert refused.returncode == 2 and "VALUEAPI_CONFINEMENT=required" in refused.stderr
    assert "no Landlock" in refused.stderr and "Traceback" not in refused.stderr
    assert [event["event"] for event in events(service, "bodies:confinement:")] == [event["event"]] * 2
    # Nor by a worker whose supervisor was confined: this code is what its supervisor stops at.
    worker = [*NO_LANDLOCK, sys.executable, "-m", "router.app.worker", "0"]
    assert subprocess.run(worker, env=service.environment, capture_output=True).returncode == serving._START_FAILED


def test_strictly_the_request_fails_and_costs_nothing(tmp_path: Path) -> None:
    """The watch alone: confinement is off."""
    settings = {"VALUEAPI_CONFINEMENT": "off", "VALUEAPI_WRITE_WATCH": "strict", "LEAKING_RAISES": "1"}
    service = leaking(tmp_path, "temporary", settings).start()
    answers = [ask(service) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {500}
    assert CANARY not in answers[0].text
    [left] = confinement_left.left(service.home / "run")
    assert service.stop() == 0
    assert list((tmp_path / "outside").iterdir()) == []
    [event] = events(service, "bodies:write:outside")  # once per place in the code
    assert event["refused"] is True
    with closing(sqlite3.connect(service.home / "data" / "valueapi.db")) as store:
        assert store.execute("SELECT sum(charge_microcredits) FROM usage").fetchone()[0] in (None, 0)
    assert {measure.name for measure in left.missing} == {Kept.WRITES, Kept.MEMORY, Kept.SWAP}
    assert "VALUEAPI_CONFINEMENT" in left.measures[0].detail


def test_what_is_turned_off_is_recorded_at_start_and_told(tmp_path: Path) -> None:
    on = {row["check"]: row["ok"] for row in doctor._layers(Settings(home=tmp_path))}
    assert on == {"body guard": True, "write watch": True}
    service = ValueAPI(
        tmp_path / "home", {"VALUEAPI_BODY_GUARD": "off", "VALUEAPI_WRITE_WATCH": "off", "VALUEAPI_CONFINEMENT": "off"}
    ).start()
    # As the processes that run were started, whatever this command's own settings are.
    rows = doctor._layers(Settings(home=service.home))
    assert service.stop() == 0
    assert {str(row["check"]) for row in rows if not row["ok"] and row["mend"]} == {"body guard", "write watch"}
    assert all("1 running" in str(row["found"]) for row in rows)
    for name in ("guard", "write_watch"):
        [event] = events(service, f"bodies:{name}:off")
        assert "signature" in event


@pytest.mark.parametrize(
    "path, passes",
    [
        ("data/journal/0190b7f2-7d51-7000-8000-000000000000-12.journal", True),
        ("data/journal/prompt.txt", False),
        ("log/events.jsonl", True),
        ("log/events-20261126T054416.898397Z.jsonl", True),
        ("log/events-20261126T054416.898397Z-1.jsonl", True),
        ("log/debug.log", False),
        ("run/metrics/tmpab12/counter_17.db", True),
        ("run/tmp/spooled", False),
        ("data/valueapi.db-wal", True),
        ("keys/keys.db", True),
        ("keys/keys.db.copy", False),
    ],
)
def test_what_a_request_may_write_is_named(tmp_path: Path, path: str, passes: bool) -> None:
    settings = Settings(home=tmp_path)
    assert confinement.declared(settings).matcher()(os.path.realpath(tmp_path / path)) is passes


def test_stores_and_keys_that_lie_elsewhere_are_declared(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    settings = Settings(
        home=tmp_path / "home",
        database_url=f"sqlite:///{tmp_path}/link/d.db",
        keys_url="postgresql://localhost/keys",
        key_file=tmp_path / "secret" / "root.key",
    )
    assert set(settings.writable_folders()) == {*settings.folders(), tmp_path / "disk", tmp_path / "secret"}
    assert confinement.declared(settings).matcher()(f"{tmp_path}/disk/d.db-wal")
    assert settings.keyring == "file" and Settings(home=tmp_path, keyring="env").writable_folders() == (
        Settings(home=tmp_path).folders()
    )
