"""The running service runs its controls by their cadence, in a process of its own."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from router.app import child, controls_process
from router.app.controls import kept
from router.app.controls_process import ControlsFailed
from router.app.stores import migrate, opened
from router.settings import Settings
from tests.services.valueapi import ValueAPI


def test_the_job_runs_every_control_that_is_due(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home", {"VALUEAPI_CONTROLS": "on"}).start()
    try:
        service.cli("jobs", "run", "controls")
        until = time.monotonic() + 240
        job: dict[str, str] = {}
        while time.monotonic() < until and not job.get("ended_at"):
            time.sleep(1)
            [job] = [
                each for each in json.loads(service.cli("jobs", "list", "--json").stdout) if each["name"] == "controls"
            ]
        assert job["outcome"] == "done"
        rows = json.loads(service.cli("controls", "list", "--json").stdout)
        assert all(row["outcome"] is not None for row in rows) and len(rows) >= 2
        assert not [row for row in rows if row["outcome"] == "failed"]
    finally:
        service.stop()


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home")
    await migrate(made)
    return made


async def test_a_process_that_ends_early_is_a_failure_of_the_job(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    async def ended(module: str) -> int:
        started.append(module)
        return -9

    monkeypatch.setattr(child, "run", ended)
    async with opened(settings) as stores:
        with pytest.raises(ControlsFailed):
            await controls_process.start(stores)
        assert started == ["router.app.controls_process"]


async def test_no_process_is_started_while_none_is_due(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(module: str) -> int:
        raise AssertionError(module)

    monkeypatch.setattr(child, "run", never)
    monkeypatch.setattr(controls_process.waiting, "by_cadence", lambda *_: [])
    async with opened(settings) as stores:
        await controls_process.start(stores)
        assert await (await kept(stores)).latest() == {}


async def test_a_child_that_is_called_off_is_ended() -> None:
    running = asyncio.create_task(child.run("tests.services.child_that_waits"))
    await asyncio.sleep(1)
    running.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 5
