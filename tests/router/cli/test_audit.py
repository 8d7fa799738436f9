"""`valueapi audit` as an operator and an auditor meet it, beside the running service."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from click.testing import Result
from typer.testing import CliRunner

from governance import events
from governance.errors import ConfigurationError
from governance.evidence import event_log
from governance.evidence.note import NoteKey
from router.app.service import Service
from router.app.stores import opened
from router.cli.main import command_line
from router.settings import Settings
from tests.governance.evidence.made import ROOT
from tests.services.valueapi import ValueAPI
from tests.simulators.witness import Witness


def run(service: ValueAPI, *arguments: str, check: bool = True) -> Result:
    """A command within this process: a process each would take longer than all that they do."""
    environment = {name: value for name, value in service.environment.items() if name.startswith("VALUEAPI_")}
    done = CliRunner().invoke(command_line(), arguments, env=environment)
    assert not check or done.exit_code == 0, done.output
    return done


def told(service: ValueAPI, *arguments: str, check: bool = True) -> dict[str, object]:
    return dict(json.loads(run(service, "audit", *arguments, "--json", check=check).stdout))


def _size(running: ValueAPI) -> int:
    """Of the newest checkpoint that is published; 0 before the first."""
    answer = httpx2.get(running.url + "/transparency/checkpoint")
    assert answer.status_code == 404 or answer.text.startswith("log.example.com/t\n")
    return int(answer.text.split("\n")[1]) if answer.status_code == 200 else 0


def _settled(running: ValueAPI) -> int:
    """The size, once what the start and the commands recorded is in the log."""
    until, size = time.monotonic() + 60, 0
    while size == 0 or size != _size(running):
        assert time.monotonic() < until, "the service has published nothing, or doesn't stop"
        size = _size(running)
        time.sleep(2.5)
    return size


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValueAPI]:
    """A home whose log has entries, made by the service and by commands; the service is stopped."""
    running = ValueAPI(tmp_path_factory.mktemp("audit") / "home", {"VALUEAPI_LOG_ORIGIN": "log.example.com/t"}).start()
    run(running, "keys", "rotate", "kek")
    size = _settled(running)
    # A chat request leaves no entry.
    body = {"model": "simulator/gpt", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {running.key}"}
    assert httpx2.post(running.url + "/v1/chat/completions", json=body, headers=headers).status_code == 200
    time.sleep(2.5)
    assert _size(running) == size
    running.stop()
    yield running
    events.sign_with(None)  # commands within this process have opened the stores


def test_a_log_is_verified_listed_exported_and_checked_by_the_single_file(service: ValueAPI, tmp_path: Path) -> None:
    report = told(service, "verify")
    assert report["ok"] is True and report["not_given"] == 0 and report["origin"] == "log.example.com/t"
    rows = json.loads(run(service, "audit", "log", "--json").stdout)
    assert {"vault:key:rotated"} <= {row["type"] for row in rows}
    out = tmp_path / "bundle.json"
    size = told(service, "export", "--out", str(out))["size"]
    keys = [each for each in (service.home / "log/transparency/keys").read_text().split()]
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "docs/privacy/verify_log.py", out, "--key", keys[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and f"{size} entries opened, 0 not given" in done.stdout
    assert told(service, "verify", str(out), "--key", keys[0])["ok"] is True
    assert told(service, "verify", str(service.home / "log/transparency"))["opened"] == 0
    shown = run(service, "audit", "log").stdout
    assert "vault:key:rotated" in shown  # and no emoji
    bad = tmp_path / "bad.json"
    bad.write_text(out.read_text().replace('"position": 0', '"position": 10'))
    refused = run(service, "audit", "verify", str(bad), check=False)
    assert refused.exit_code == 1 and "WRONG" in refused.stdout
    assert run(service, "audit", "verify", str(tmp_path / "nothing"), check=False).exit_code == 1


def test_a_bundle_takes_the_place_of_a_file_alone(service: ValueAPI, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for wrong in (tmp_path, tmp_path / "link", tmp_path / "pipe", tmp_path / "no folder" / "bundle"):
        refused = run(service, "audit", "export", "--out", str(wrong), check=False)
        assert refused.exit_code == 1 and "A bundle is a new file" in refused.output
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_changed_event_log_is_found(service: ValueAPI) -> None:
    """The service recorded the event log as it started; here it is done by hand, a minute being long."""

    async def take_over() -> None:
        async with opened(Settings(home=service.home, log_origin="log.example.com/t")) as stores:
            events.emit("test:line:written", {"number": 1})
            assert await event_log.take_over(stores.settings.log_folder, stores.data) == 1
            await stores.log.advance()

    asyncio.run(take_over())
    assert told(service, "verify")["ok"] is True
    file = service.home / "log" / "events.jsonl"
    good = file.read_bytes()
    file.write_bytes(good.replace(b'"number":1', b'"number":2'))
    refused = told(service, "verify", check=False)
    assert refused["ok"] is False and refused["event_log"]
    file.write_bytes(good)
    assert told(service, "verify")["ok"] is True


def test_where_the_log_was_changed_controls_run_and_verify_says_so(service: ValueAPI) -> None:
    assert "The evidence is as it was recorded" in run(service, "verify", "--recorded", check=False).stdout
    head = service.home / "log/transparency/checkpoint"
    good = head.read_text()
    head.write_text(good.replace("\n\n", "\nmore\n\n"))
    try:
        ran = run(service, "controls", "run", "passwords-hashed")
        assert "The transparency log waits." in ran.stderr and "nothing is signed" not in ran.stdout
        refused = run(service, "verify", "--recorded", check=False)
        assert (
            refused.exit_code == 1
            and "WRONG Checkpoint newest" in refused.stdout
            and " promises of privacy/" in refused.stdout
        )
        assert json.loads(run(service, "verify", "--recorded", "--json", check=False).stdout)["log"]["ok"] is False
        assert "A control fails" in run(service, "controls", "run", "log-intact", check=False).stderr
    finally:
        head.write_text(good)
    told(service, "export", "--out", str(service.home / "run" / "bundle"))
    assert told(service, "verify")["ok"] is True


@pytest.mark.parametrize("store", ["data", "keys"])
def test_a_restore_says_what_it_lost(service: ValueAPI, tmp_path: Path, store: str) -> None:
    backup = tmp_path / "backup"
    run(service, "backup", "create", "--store", store, "--out", str(backup))
    told(service, "export", "--out", str(tmp_path / "a"))
    before = told(service, "verify")
    for _ in range(2):
        run(service, "keys", "rotate", "kek")  # in the key store
    grown = told(service, "export", "--out", str(tmp_path / "b"))["size"]
    assert isinstance(grown, int) and grown == int(str(before["size"])) + 2
    run(service, "backup", "restore", str(backup), "--store", store, "--force")
    size = told(service, "export", "--out", str(tmp_path / "c"))["size"]
    report = told(service, "verify")
    assert report["ok"] is True
    lost = 2 if store == "keys" else 0
    assert (
        int(str(report["lost"])) - int(str(before["lost"]))
        == lost
        == int(str(report["not_given"])) - int(str(before["not_given"]))
    )
    assert size == grown + 2  # what was restored, and what the log has to say of it
    rows = json.loads(run(service, "audit", "log", "--json", "--limit", "2").stdout)
    assert {row["type"] for row in rows} == {"backup:store:restored", "evidence:log:restored"}
    assert all(row["detail"]["store"] == store for row in rows)


def test_checkpoints_go_outside(service: ValueAPI, tmp_path: Path) -> None:
    key = NoteKey.parse((service.home / "log/transparency/keys").read_text().split()[0])
    assert "Left as" in run(service, "audit", "witness", "--folder", str(tmp_path / "outside")).stdout
    with Witness("log.example.com/t", key.public, key.id) as asked:
        named = NoteKey(asked.name, asked.public, 4)
        done = run(service, "audit", "witness", "--url", asked.url, "--key", str(named))
        assert "cosigned" in done.stdout
        assert told(service, "verify", "--witness", str(named))["cosigned"] == 1
    for wrong in ([], ["--folder", "a", "--url", "b"], ["--url", "http://127.0.0.1:1"]):
        assert run(service, "audit", "witness", *wrong, check=False).exit_code == 1


def test_another_origin_stops_the_start(service: ValueAPI) -> None:
    with pytest.raises(ConfigurationError, match="VALUEAPI_LOG_ORIGIN differs"):
        asyncio.run(Service.open(Settings(home=service.home, log_origin="other.example.com")))
