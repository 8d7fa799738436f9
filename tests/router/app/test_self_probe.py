"""The running service is probed as an account that is good for nothing else, and acts on what was found."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from typer.testing import CliRunner

from governance.bodies.probe_run import ProbeRun
from governance.errors import Conflict
from router.accounts.account import PROBE
from router.app import self_probe
from router.cli.main import command_line
from router.settings import Settings
from tests.governance.bodies.test_attestation import verified
from tests.services import leaky
from tests.services.small_probe import During, SmallProbe
from tests.services.valueapi import ValueAPI

HI = {"model": "simulator/gpt", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}


class Probed(ValueAPI):
    """A service with a leak that can be turned on, and a probe of it."""

    switch: Path

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, port=self.port, workers=2, self_probe_every="off", self_probe_logs=(self.log,))

    async def probe(self, during: During | None = None) -> tuple[ProbeRun, SmallProbe]:
        small = SmallProbe(during)
        return await self_probe.run(self.settings, small), small

    def chat(self, key: str | None = None) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx2.post(self.url + "/v1/chat/completions", json=HI, headers=headers, timeout=30)

    def soon(self, holds: Callable[[httpx2.Response], bool]) -> None:
        """In every process: many answers in a row, by connections of their own."""
        until, streak = time.monotonic() + 10, 0
        while streak < 12:
            answer = self.chat()
            assert time.monotonic() < until, dict(answer.headers)
            streak = streak + 1 if holds(answer) else 0

    async def command(self, *arguments: str, code: int = 0) -> Any:
        """A command in this process, which has everything imported; what it printed, as JSON where it is."""

        def run() -> Any:
            done = CliRunner().invoke(command_line(), list(arguments), env=self.environment)
            assert done.exit_code == code, done.output
            return json.loads(done.stdout) if "--json" in arguments else done.output

        return await asyncio.to_thread(run)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.home / "data" / "valueapi.db")) as connection:
            return connection.execute(query, values).fetchall()

    @property
    def account(self) -> str:
        [(found,)] = self.rows("SELECT id FROM account WHERE kind = ?", PROBE)
        return str(found)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probed]:
    folder = tmp_path_factory.mktemp("probed")
    home = folder / "home"
    environment = leaky.environment(folder / "leaky", home)
    made = Probed(home, {**environment, "VALUEAPI_WORKERS": "2", "VALUEAPI_CLOSE_ON_LEAK": "true"})
    made.switch = folder / "leaky" / "leak"
    made.start()
    yield made
    assert made.stop() == 0


async def test_answers_say_that_nothing_is_stored_once_a_probe_has_shown_it(service: Probed) -> None:
    assert service.chat().headers["x-valueapi-stored"] == "unverified"
    unknown = httpx2.get(service.url + "/v1/privacy/attestation")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    row, small = await service.probe()
    assert row.verdict == "clean" and small.statuses == [200, 200, 502, 200], (row.why, row.missed, row.unread)
    service.soon(lambda a: (a.headers["x-valueapi-stored"], a.headers.get("x-valueapi-probe")) == ("none", str(row.id)))
    refused = httpx2.post(service.url + "/v1/messages", json={}, headers={"x-api-key": "no"})
    assert refused.status_code == 401 and refused.headers["x-valueapi-stored"] == "none"
    told = service.ready().json()
    assert told["controls"]["bodies-not-stored"]["state"] == "stands" and len(told["build"]) == 64


async def test_the_attestation_is_checked_from_two_answers_alone(service: Probed) -> None:
    row, _ = await service.probe()
    answer = httpx2.get(service.url + "/v1/privacy/attestation")
    keys = httpx2.get(service.url + "/.well-known/jwks.json")
    assert keys.headers["content-type"] == "application/jwk-set+json"
    assert {"public, max-age=60", "public, max-age=300"} == {a.headers["cache-control"] for a in (answer, keys)}
    statement = verified(answer.text, keys.json())
    assert statement["subject"][0]["digest"]["sha256"] == service.ready().json()["build"] == row.build
    assert statement["predicate"]["probe"] == str(row.id) and statement["predicate"]["verdict"] == "clean"


async def test_a_probe_costs_and_counts_nothing(service: Probed) -> None:
    def book() -> list[object]:
        tables = ("ledger_entry", "posting", "usage", "api_key", "person")
        listed: list[object] = [service.rows(f"SELECT count(*) FROM {table}") for table in tables]
        return [*listed, service.rows("SELECT sum(balance_microcredits), count(*) FROM ledger_account")]

    service.chat()
    time.sleep(3)  # its record is committed, and the lease that it was reserved from is back
    before = book()
    seen: list[int] = []

    async def during(running: self_probe.Running, client: httpx2.AsyncClient) -> None:
        time.sleep(0.3)
        seen.extend(
            charge
            for (charge,) in service.rows("SELECT charge_microcredits FROM usage WHERE account_id = ?", service.account)
        )
        assert service.rows("SELECT * FROM lease WHERE account_id = ?", service.account) == []

    await service.probe(during)
    assert seen == [0, 0, 0, 0]  # the real way: through journal and usage log
    assert book() == before
    metrics = httpx2.get(service.url + "/metrics").text
    assert 'valueapi_requests_total{endpoint="probe",status="502"}' in metrics
    assert 'valueapi_requests_total{endpoint="chat",status="502"}' not in metrics


async def test_the_probes_key_opens_the_probes_upstream_and_nothing_else(service: Probed) -> None:
    async def during(running: self_probe.Running, client: httpx2.AsyncClient) -> None:
        assert (await client.post("/v1/chat/completions", json=HI)).status_code == 404  # no real provider
        models = (await client.get("/v1/models")).json()["data"]
        assert {model["id"] for model in models} == {"probe/openai", "probe/anthropic", "probe/google"}
        file = service.home / "run" / "probe.json"
        assert file.stat().st_mode & 0o777 == 0o600
        others = {"authorization": f"Bearer {service.key}"}
        asked = {**HI, "model": "probe/openai"}
        assert (await client.post("/v1/chat/completions", json=asked, headers=others)).status_code == 404
        kept = file.read_bytes()
        file.unlink()  # as after a crash, with the key still there
        assert (await client.post("/v1/chat/completions", json=asked)).status_code == 401
        file.write_bytes(kept)
        file.chmod(0o644)  # somebody else's writing
        assert (await client.post("/v1/chat/completions", json=asked)).status_code == 401
        with pytest.raises(Conflict):
            await service.probe()

    _, small = await service.probe(during)
    assert service.chat(small.key).status_code == 401
    assert service.rows("SELECT * FROM api_key WHERE account_id = ?", service.account) == []
    assert service.rows("SELECT * FROM person WHERE account_id = ?", service.account) == []
    assert await service.command("accounts", "api-keys", "list", str(UUID(service.account)), "--json") == []
    assert not (service.home / "run" / "probe.json").exists()


async def test_what_a_broken_probe_leaves_is_void_and_cleared_away(service: Probed) -> None:
    async def during(running: self_probe.Running, client: httpx2.AsyncClient) -> None:
        raise ValueError("kanarie")

    await service.probe()
    row, small = await service.probe(during)
    assert (row.verdict, row.why) == ("void", "The probe failed (ValueError).")
    assert service.chat(small.key).status_code == 401 and service.chat().headers["x-valueapi-stored"] == "none"


async def test_a_leak_closes_the_gateway_until_somebody_answers_for_it(service: Probed) -> None:
    service.switch.touch()
    row, _ = await service.probe()
    assert row.verdict == "leak" and row.findings == ["prompt at debug.log"] * 4
    service.soon(lambda a: (a.status_code, a.headers["x-valueapi-stored"]) == (503, "unverified"))
    closed = service.chat()
    assert "a probe found content" in closed.json()["error"]["message"] and int(closed.headers["retry-after"]) > 0
    assert service.ready().status_code == 503
    assert service.ready().json()["controls"]["bodies-not-stored"]["state"] == "red"
    doctor = await service.command("doctor", "--json", code=1)
    assert [check["ok"] for check in doctor["checks"] if check["check"] == "bodies-not-stored"] == [False]
    # Closed, it can still be probed: nobody else could tell whether it was mended.
    service.switch.unlink()
    (service.home / "log" / "debug.log").unlink()
    after, small = await service.probe()
    assert after.verdict == "clean" and 200 in small.statuses
    assert service.chat().status_code == 503
    [incident] = await leaks(service)
    assert incident["last_run"] == str(row.id) and incident["runs"] == 1
    answered = "incidents", "acknowledge", incident["id"], "--by", "operator", "--reason", "debug log turned off"
    await service.command(*answered)
    service.soon(lambda a: (a.status_code, a.headers["x-valueapi-stored"]) == (200, "none"))
    [incident] = await leaks(service)
    assert (
        incident["acknowledged_by"] == "operator"
        and incident["state"] == "open"
        and incident["reason"] == "debug log turned off"
    )
    await service.command(*answered, code=1)  # once


async def leaks(service: Probed) -> list[dict[str, object]]:
    """Incidents of the probe: the watch over writes sees the debug log too, a minute later."""
    listed = await service.command("incidents", "list", "--json")
    return [row for row in listed if row["control"] == "bodies-not-stored"]


async def test_a_closed_service_comes_up_closed_and_its_job_probes_it(service: Probed) -> None:
    service.switch.touch()
    assert (await service.probe())[0].verdict == "leak"
    service.kill()
    service.environment |= {"VALUEAPI_SELF_PROBE_EVERY": "PT6H"}
    with service.log.open("ab") as log:
        service.process = subprocess.Popen(
            [sys.executable, "-m", "router.cli", "serve", "--workers", "1"], env=service.environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    first, until = None, time.monotonic() + 60
    while first is None and time.monotonic() < until:
        try:
            first = service.chat()
        except httpx2.HTTPError:
            time.sleep(0.05)
    assert first is not None and first.status_code == 503
    service.switch.unlink()
    (service.home / "log" / "debug.log").unlink()
    await service.command("jobs", "run", "self-probe")
    while service.ready().json()["controls"]["bodies-not-stored"]["last_verdict"] != "clean":
        assert time.monotonic() < until + 60
        time.sleep(0.2)
    [incident] = await leaks(service)
    await service.command("incidents", "acknowledge", incident["id"], "--by", "operator", "--reason", "mended")
    service.soon(lambda a: (a.status_code, a.headers["x-valueapi-stored"]) == (200, "none"))
    [job] = [row for row in await service.command("jobs", "list", "--json") if row["name"] == "self-probe"]
    assert (job["outcome"], job["failures"]) == ("done", 0)
    told = httpx2.get(service.url + "/v1/privacy/attestation").text
    predicate = verified(told, httpx2.get(service.url + "/.well-known/jwks.json").json())["predicate"]
    assert predicate["verdict"] == "clean" and predicate["sent"]["cases"] > 50
    assert service.rows("SELECT * FROM usage WHERE account_id = ?", service.account) == []


async def test_a_process_that_left_no_record_of_its_setup_makes_the_run_void(service: Probed) -> None:
    told = (await service.probe())[0]
    assert told.verdict == "clean" and told.setup == service.ready().json()["setup"] and len(told.setup) == 64
    for records in ("*.json", "one"):
        folder = service.home / "run" / "confinement"
        moved = sorted(folder.glob("*.json"))[: 1 if records == "one" else None]
        if records == "one":  # another setup than its sibling's
            kept = moved[0].read_bytes()
            moved[0].write_bytes(kept.replace(b'"guard": true', b'"guard": false'))
        else:
            for file in moved:
                file.rename(file.with_suffix(".away"))
        row, _ = await service.probe()
        assert row.verdict == "void" and "no record of how it is set up" in row.why
        if records == "one":
            moved[0].write_bytes(kept)
        else:
            for file in moved:
                file.with_suffix(".away").rename(file)
