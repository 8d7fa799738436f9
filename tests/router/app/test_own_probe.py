"""Which cases the running service is sent, and how a run is kept: a leak is one whatever else failed, places are short."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.bodies.verdict import Verdict
from router.app import own_probe
from router.app.self_probe import Running
from router.probe.case import Credential
from router.probe.cases.lanes import lanes
from router.probe.cases.matrix import matrix
from router.probe.result import Control, Found, Gap
from router.probe.result import Result as Probed
from router.providers.probe_catalog import model_id, probe_catalog
from router.surface import Dialect, Endpoint
from tests.router.probe.conftest import few_sinks as few_sinks  # for every test here
from tests.services.valueapi import free_port

NOW = datetime(2026, 11, 26, tzinfo=UTC)
URL = "postgresql+asyncpg://app:s3cret@db/valueapi"
RUNNING = Running(
    Path("/srv/home"),
    "http://127.0.0.1:1",
    "key",
    lambda port: None,
    None,
    (),
    (7,),
    (URL,),
    (),
    Path("/srv/home/run"),
    NOW,
)
CLEAN = Probed(
    Verdict.CLEAN, (), NOW, NOW, "t", "1", "d", 90, {}, {}, 200, Control(700, ()), (),
    (Gap(URL, "refused"), Gap("/srv/home/data/x", "gone")), {}, 9, 1,
)  # fmt: skip


def test_every_endpoint_is_asked_and_the_main_ways_to_fail() -> None:
    made = [lane for dialect in Dialect for lane in lanes(dialect, model_id(dialect))]
    cases = matrix(made, (Credential.GOOD,), web=False, keep=own_probe.keeps)
    assert {case.lane.endpoint for case in cases if case.lane is not None and case.fault == "good"} == set(Endpoint)
    names = {case.name for case in cases}
    for name in own_probe._FAULTS | own_probe._FIELDS:
        assert {f"chat/{name}", f"chat-stream/{name}"} & names, name  # none of them was renamed
    assert {f"openai/{name}" for name in own_probe._HEADS} <= names
    assert 60 < len(cases) < 120
    assert {lane.model for lane in made} == {model.id for model in probe_catalog(1).models}


def test_places_are_told_by_their_place_in_the_home_and_stores_without_their_address() -> None:
    kept = own_probe._result(CLEAN, RUNNING)
    assert kept.verdict is Verdict.CLEAN and kept.why == ""
    assert kept.unread == ("store 1: refused", "home/data/x: gone")
    assert kept.searched == ("what changed in the home's folders", "what its processes hold open", "PostgreSQL by SQL")


def test_a_leak_is_one_also_where_the_run_shows_nothing_else() -> None:
    leak = Found("chat/good/prompt/text", "/srv/home/log/debug.log", "text", 7, 55, "running")
    kept = own_probe._result(replace(CLEAN, verdict=Verdict.VOID, reasons=("It was void.",), findings=(leak,)), RUNNING)
    assert kept.verdict is Verdict.LEAK and kept.findings == ("chat/good/prompt/text in home/log/debug.log (text)",)
    void = own_probe._result(replace(CLEAN, verdict=Verdict.VOID, reasons=("One.", "Two.")), RUNNING)
    assert (void.verdict, void.why) == (Verdict.VOID, "One. Two.")


@pytest.mark.parametrize("leaks, verdict", [(("temp-files",), Verdict.LEAK), ((), Verdict.CLEAN)])
async def test_the_real_search_finds_what_a_service_left_in_its_home(
    leaks: tuple[str, ...], verdict: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing here is a stand-in but the service: it is a gateway whose home has old files, and which leaks where told."""
    home, port = tmp_path / "home", free_port()
    (home / "run").mkdir(parents=True)
    begun: list[subprocess.Popen[bytes]] = []

    def announce(upstream_port: int) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.simulators.leaky_gateway",
            str(home),
            f"http://127.0.0.1:{upstream_port}",
        ]
        begun.append(subprocess.Popen([*command, *leaks, "--port", str(port)], stdout=subprocess.PIPE))
        assert begun[0].stdout is not None and begun[0].stdout.readline()

    monkeypatch.setattr(own_probe, "keeps", lambda name: name in ("chat/good", "messages/good", "generate/good"))
    monkeypatch.setattr(own_probe, "_SETTLES_S", 0.0)
    running = replace(
        RUNNING, home=home, url=f"http://127.0.0.1:{port}", announce=announce, look=(home,), pids=(), postgres=(),
        scratch=home / "run", began=datetime.now(UTC),
    )  # fmt: skip
    try:
        kept = await own_probe.probe(running)
    finally:
        for process in begun:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    assert (kept.verdict, kept.why, kept.missed) == (verdict, "", ())
    spooled = [found for found in kept.findings if "/prompt/" in found and "home/spool-" in found]
    assert bool(spooled) == bool(leaks) and not any("run/" in found for found in kept.findings)
    assert list((home / "run").iterdir()) == []


def test_processes_that_cant_be_seen_are_a_gap() -> None:
    kept = own_probe._result(CLEAN, replace(RUNNING, pids=()))
    assert "what its processes hold open" not in kept.searched and any("processes" in gap for gap in kept.unread)


def test_processes_that_could_not_be_read_are_not_said_to_be_searched() -> None:
    gap = Gap("process 7", "can't be read: Permission denied")
    assert "what its processes hold open" not in own_probe._result(replace(CLEAN, unread=(gap,)), RUNNING).searched
    assert "what its processes hold open" in own_probe._result(CLEAN, RUNNING).searched
