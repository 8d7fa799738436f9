"""The toy gateway as a process of its own, and one real positive control for all runs of a test worker."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from governance.bodies.scanner import control
from router.probe import run
from router.probe.case import Credential
from router.probe.cases.lanes import lanes
from router.probe.target import Target
from router.surface import Dialect, Endpoint
from tests.services.valueapi import free_port

_controls: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def one_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control takes seconds and says the same each time: these tests make it once, and then believe it."""

    async def once(folder: Path, **options: Any) -> control.Control:
        key = repr(sorted(name for name, value in options.items() if value is not None))
        if key not in _controls:
            _controls[key] = await control.positive_control(folder, **options)
        return _controls[key]  # type: ignore[no-any-return]

    monkeypatch.setattr(run, "positive_control", once)


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
