"""The real service as a stranger starts it: a process of its own, a scratch home, a free port."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
from typer.testing import CliRunner

from governance import events
from router.cli.main import command_line

_READY_S = 60.0
_started: "list[subprocess.Popen[bytes]]" = []


def end_all() -> None:
    """Kill what a test that failed half way left running."""
    for process in _started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    _started.clear()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ValueAPI:
    """`start` and `stop` (or `kill`) as often as needed; the home stays. `log` is what it printed."""

    program = ("router.cli", "serve", "--first-run")  # a module and its arguments

    def __init__(self, home: Path, environment: dict[str, str] | None = None) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.with_name(home.name + ".log")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VALUEAPI_")}
        self.environment = {
            **clean,
            "VALUEAPI_HOME": str(home),
            "VALUEAPI_PORT": str(self.port),
            "VALUEAPI_SELF_PROBE_LOGS": str(self.log),
            "VALUEAPI_SELF_PROBE_EVERY": "off",  # a test that is about it turns it on
            "VALUEAPI_CONTROLS": "off",
            **(environment or {}),
        }
        self.launcher: list[str] = []
        """What starts the program in its place, with the program's command line as its own."""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "ValueAPI":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, sys.executable, "-m", *self.program],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _started.append(self.process)
        until = time.monotonic() + _READY_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the service ended: {self.log.read_text()[-2000:]}")
            try:
                if self.ready().status_code == 200:
                    return self
            except httpx2.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the service isn't ready: {self.log.read_text()[-2000:]}")

    def ready(self) -> httpx2.Response:
        return httpx2.get(self.url + "/readyz", timeout=2)

    def kill(self) -> None:
        """SIGKILL to every process of it."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def cli(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command of `valueapi` on this home."""
        return subprocess.run(
            [*self.launcher, sys.executable, "-m", "router.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
        )

    def run(
        self, *arguments: str, check: bool = True, given: str | bytes | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """A command on this home within this process: to start one takes longer than all that most do. `given`: on standard
        input. Not from a coroutine. What confines its process gets one of its own."""
        if arguments[0] == "serve":
            return self.cli(*arguments, check=check)
        environment: dict[str, str | None] = {name: None for name in os.environ if name.startswith("VALUEAPI_")}
        environment |= {name: value for name, value in self.environment.items() if name.startswith("VALUEAPI_")}
        try:
            done = CliRunner().invoke(command_line(), list(arguments), env=environment, input=given)
        finally:
            events.sign_with(None)  # the command has opened the stores
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert not check or done.exit_code == 0, done.output
        return subprocess.CompletedProcess(list(arguments), done.exit_code, done.stdout, done.stderr)

    @property
    def first_run(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads((self.home / "first-run.json").read_text())
        return made

    @property
    def data_url(self) -> str:
        return self.environment.get("VALUEAPI_DATABASE_URL", f"sqlite+aiosqlite:///{self.home}/data/valueapi.db")

    @property
    def keys_url(self) -> str:
        return self.environment.get("VALUEAPI_KEYS_URL", f"sqlite+aiosqlite:///{self.home}/keys/keys.db")

    @property
    def key(self) -> str:
        return str(self.first_run["api_key"])
