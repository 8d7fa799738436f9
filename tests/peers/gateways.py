"""The peers: how each is installed, started in front of a given upstream, and called.

Each lies in `.peers/NAME` with an environment of its own, from a lock file with hashes. Nothing of it is imported.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".peers"
_LOCKS = Path(__file__).parent
_READY_S = 90.0
KEY = "sk-peer-master-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that serves: where, how it is called, and where what it writes comes to rest."""

    url: str
    pid: int
    folder: Path  # its HOME, working and temp folder
    log: Path  # standard output and error
    headers: dict[str, str] = field(default_factory=dict)  # beside the key, per request


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a peer: `name` stands in the table, `detail` says how to repeat it."""

    name: str
    detail: str
    command: tuple[str, ...]
    environment: dict[str, str]
    files: dict[str, str]
    headers: dict[str, str]


class Peer:
    """A gateway of others."""

    name: str
    version: str

    def installed(self) -> bool:
        """Whether this version is there."""
        stamp = HOME / self.name / "installed"
        return stamp.exists() and stamp.read_text() == self._lock().read_text()

    def install(self) -> None:
        """Into `.peers/NAME`. Raises CalledProcessError where the installer fails."""
        if self.installed():
            return
        folder = HOME / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._install(folder)
        (folder / "installed").write_text(self._lock().read_text())

    def settings(self, port: int, upstream: int) -> list[Setting]:
        """The ways to run it on `port` in front of `upstream`, the most talkative first."""
        raise LookupError(self.name)

    def _install(self, folder: Path) -> None:
        raise LookupError(self.name)

    def _lock(self) -> Path:
        raise LookupError(self.name)


class LiteLLM(Peer):
    """The LiteLLM proxy, without a database: it then keeps least."""

    name = "litellm"
    version = "1.108.7"

    def _lock(self) -> Path:
        return _LOCKS / "litellm.lock"

    def _install(self, folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder / "venv"))
        pip = (str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, "--require-hashes", "-r", str(self._lock()))

    def settings(self, port: int, upstream: int) -> list[Setting]:
        command = (
            *(str(HOME / self.name / "venv/bin/litellm"), "--config", "config.yaml"),
            *("--host", "127.0.0.1", "--port", str(port)),
        )
        environment = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network for prices at its start
            "LITELLM_TELEMETRY": "False",
        }
        off = {"turn_off_message_logging": True, "redact_user_api_key_info": True, "set_verbose": False,
               "suppress_debug_info": True}  # fmt: skip
        return [
            Setting(
                "default", "a list of models and a master key, nothing else", command, environment,
                {"config.yaml": self._config(upstream, {})}, {},
            ),
            Setting(
                "logging off",
                "`turn_off_message_logging`, `redact_user_api_key_info`, `suppress_debug_info`, `LITELLM_LOG=ERROR`",
                command, {**environment, "LITELLM_LOG": "ERROR"}, {"config.yaml": self._config(upstream, off)}, {},
            ),
        ]  # fmt: skip

    def _config(self, upstream: int, settings: dict[str, object]) -> str:
        def model(name: str, served: str, base: str) -> dict[str, object]:
            return {"model_name": name, "litellm_params": {"model": served, "api_base": base, "api_key": "sk-upstream"}}

        base = f"http://127.0.0.1:{upstream}"
        return json.dumps(
            {
                "model_list": [
                    model("probe-openai", "openai/gpt-4o-mini", f"{base}/v1"),
                    model("probe-anthropic", "anthropic/claude-sonnet-4-5", base),
                ],
                "general_settings": {"master_key": KEY},
                "litellm_settings": {"request_timeout": 10, "num_retries": 0, **settings},
            },
            indent=2,
        )


class Portkey(Peer):
    """Portkey's gateway on Node; the caller's headers say where the upstream is."""

    name = "portkey"
    version = "1.15.2"

    def _lock(self) -> Path:
        return _LOCKS / "portkey" / "package-lock.json"

    def _install(self, folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_LOCKS / "portkey" / name, folder / name)
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", cwd=folder)

    def settings(self, port: int, upstream: int) -> list[Setting]:
        command = (
            "node", str(HOME / self.name / "node_modules/@portkey-ai/gateway/build/start-server.js"), f"--port={port}"
        )  # fmt: skip
        headers = {"x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1", "x-portkey-provider": "openai"}
        return [
            Setting("default", "`--port` alone: with its page that shows requests", command, {}, {}, headers),
            Setting("logging off", "`--headless`: without the page that shows requests",
                    (*command, "--headless"), {}, {}, headers),
        ]  # fmt: skip


PEERS: tuple[Peer, ...] = (LiteLLM(), Portkey())


@contextmanager
def running(setting: Setting, port: int, folder: Path) -> Iterator[Running]:
    """The peer, started in `folder` and ended with everything that it started. Raises RuntimeError if it doesn't start."""
    folder.mkdir(parents=True)
    temporary = folder / "tmp"
    temporary.mkdir()
    for name, text in setting.files.items():
        (folder / name).write_text(text)
    log = folder / "output.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("VALUEAPI_", "LITELLM_"))},
        **{"HOME": str(folder), "TMPDIR": str(temporary)},
        **setting.environment,
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            setting.command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, port, log)
        yield Running(f"http://127.0.0.1:{port}", process.pid, folder, log, setting.headers)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the peer didn't start: {log.read_text(errors='replace')[-2000:]}")


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd)
