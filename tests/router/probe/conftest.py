"""The toy gateway as a process of its own, and a positive control that takes no minute."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from governance.bodies.scanner import control, control_sinks
from router.probe.case import Credential
from router.probe.cases.lanes import lanes
from router.probe.target import Target
from router.surface import Dialect, Endpoint
from tests.services.valueapi import free_port


@pytest.fixture(autouse=True)
def few_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control with every encoding, in files alone: every kind of place is in the scanner's own tests."""

    def sinks(folder: Path) -> list[control_sinks.Sink]:
        return [
            control_sinks._Local(folder, "file"),
            control_sinks.Sqlite(folder, "SQLite overflow pages", padding=20_000),
        ]

    monkeypatch.setattr(control, "local_sinks", sinks)
    monkeypatch.setattr(control, "shared_sinks", list)


@dataclass
class Toy:
    """A running toy gateway whose upstream is to be on `upstream_port`."""

    home: Path
    upstream_port: int
    port: int
    pid: int

    def target(self) -> Target:
        wires = (Dialect.OPENAI, (Endpoint.CHAT,)), (Dialect.ANTHROPIC, (Endpoint.MESSAGES,))
        return Target(
            url=f"http://127.0.0.1:{self.port}",
            lanes=tuple(lane for wire, endpoints in wires for lane in lanes(wire, "any", endpoints)),
            keys={Credential.GOOD: "any"},
            pids=(self.pid,),
            look=(self.home,),
            patience_s=5.0,
        )


@pytest.fixture
def toy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Toy]:
    """Its leaks are the indirect parameter."""
    home = tmp_path / "toy"
    home.mkdir()
    upstream_port = free_port()
    command = [sys.executable, "-m", "tests.simulators.leaky_gateway", str(home), f"http://127.0.0.1:{upstream_port}"]
    with (home / "printed.log").open("w+b") as log:
        process = subprocess.Popen([*command, *getattr(request, "param", ())], stdout=log, stderr=log)
        try:
            while not (said := (home / "printed.log").read_text()).endswith("\n"):
                assert process.poll() is None, said
            yield Toy(home, upstream_port, int(said.split()[0]), process.pid)
        finally:
            process.kill()
            process.wait()
