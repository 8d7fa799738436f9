"""This program in a scratch home, in front of the hostile upstream: what `valueapi probe` probes by default."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

import router
from governance.errors import ValueAPIError
from router.probe.case import Credential, Lane
from router.probe.cases.lanes import OF_WIRE, lanes
from router.probe.scratch_databases import scratch_databases
from router.probe.target import Target
from router.surface import Account, Dialect, Endpoint, Service

_KEY_ENV = "PROBE_UPSTREAM_KEY"
_READY_S = 60.0
_STOP_S = 30.0
_PRICE = {"input": 1000, "cached_input": 1000, "output": 1000}
_UPSTREAM_PATH = {Dialect.OPENAI: "/v1", Dialect.ANTHROPIC: "", Dialect.GOOGLE: ""}
_FALLBACK = "probe/fallback"
_STOPPED = "stopped"
_STORES = ("VALUEAPI_DATABASE_URL", "VALUEAPI_KEYS_URL")
_TIERS = {
    "tiers": [
        {"name": name, "lifetime_top_up_microcredits_min": least, **{
            who: {"requests_per_minute": rate, "tokens_per_minute": rate * 1000} for who in ("account", "key")}}
        for name, least, rate in (("free", 0, 1_000_000), (_STOPPED, 10**15, 0))
    ]
}  # fmt: skip
_SETTINGS = {
    "VALUEAPI_MODE": "development",
    "VALUEAPI_SIMULATOR": "off",
    "VALUEAPI_UPSTREAM_ATTEMPTS_MAX": "2",
    "VALUEAPI_UPSTREAM_BACKOFF_SECONDS": "0.01",
    "VALUEAPI_UPSTREAM_FIRST_BYTE_SECONDS": "1.5",
    "VALUEAPI_UPSTREAM_IDLE_SECONDS": "1.5",
    "VALUEAPI_UPSTREAM_TOTAL_SECONDS": "20",
    "VALUEAPI_UPSTREAM_ANSWER_BYTES_MAX": str(4 * 2**20),
    "VALUEAPI_BREAKER": "false",  # an open one would keep cases from the upstream
    "VALUEAPI_BODY_IDLE_SECONDS_MAX": "5",
    "VALUEAPI_DEMO_CREDITS": "100000",
    "VALUEAPI_SELF_PROBE_EVERY": "off",  # one probe at a time
    "VALUEAPI_SIGN_IN_ATTEMPTS_PER_MINUTE": "100000",
    "VALUEAPI_SIGN_UP_ATTEMPTS_PER_MINUTE": "100000",
}


class NotStarted(ValueAPIError):
    """The program under probe didn't start; its log says why."""


class Own:
    """`folder` holds all that is its own: `home`, `tmp`, `work` (its working directory) and `log`, what it printed."""

    def __init__(self, folder: Path, upstream_port: int, workers: int, stores: dict[str, str]) -> None:
        self.folder = folder
        self.log = folder / "printed.log"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        for name in ("tmp", "work", "settings"):
            (folder / name).mkdir(mode=0o700)
        providers, tiers = folder / "settings" / "providers.yaml", folder / "settings" / "limits.yaml"
        providers.write_text(yaml.safe_dump(_catalog(f"http://127.0.0.1:{upstream_port}")))
        tiers.write_text(yaml.safe_dump(_TIERS))
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            **_SETTINGS,
            **stores,
            "PYTHONPATH": str(Path(router.__file__).parents[1]),  # the program that this is, not an installed one
            "HOME": str(folder / "work"),
            "TMPDIR": str(folder / "tmp"),
            "VALUEAPI_HOME": str(folder / "home"),
            "VALUEAPI_PORT": str(self.port),
            "VALUEAPI_WORKERS": str(workers),
            "VALUEAPI_PROVIDERS": str(providers),
            "VALUEAPI_TIERS": str(tiers),
            _KEY_ENV: secrets.token_hex(16),
        }
        self._databases = tuple(stores[name] for name in _STORES if name in stores)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, traced: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> None:
        """Begin to start; `traced` goes before the command."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [*traced, sys.executable, "-m", "router.cli", "serve", "--first-run"],
                env=self._environment, cwd=self.folder / "work", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=tuple(pass_fds),
            )  # fmt: skip

    async def ready(self) -> None:
        """Wait until it serves. Raises NotStarted."""
        until = time.monotonic() + _READY_S
        async with httpx2.AsyncClient(trust_env=False, timeout=2) as client:
            while time.monotonic() < until and self._process is not None and self._process.poll() is None:
                try:
                    if (await client.get(self.url + str(Service.READYZ))).status_code == 200:
                        return
                except httpx2.HTTPError:
                    pass
                await asyncio.sleep(0.05)
        raise NotStarted(f"The program under probe didn't start; what it printed is in {self.log}.")

    async def keys(self) -> dict[Credential, str]:
        """A key of an account with Credits, of one without, and of one that may ask nothing."""
        made = json.loads((self.folder / "home" / "first-run.json").read_text())
        person = {name: made["legal"][name] for name in ("email", "password")}
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=20) as client:
            token = _json(await client.post(str(Account.SIGN_IN), json=person))["session_token"]
            signed_in = {"authorization": f"Bearer {token}"}
            account = _json(await client.get(str(Account.ME), headers=signed_in))["account_id"]
            key = _json(await client.post(str(Account.KEYS), json={"name": "probe"}, headers=signed_in))["secret"]
        await asyncio.to_thread(self._cli, "accounts", "tier", account, _STOPPED)
        return {
            Credential.GOOD: made["api_key"],
            Credential.POOR: made["api_key_without_credits"],
            Credential.LIMITED: key,
        }

    def target(self, keys: dict[Credential, str], redis: str | None, since: float | None) -> Target:
        """It, with everything that is its own to look through."""
        return Target(
            url=self.url,
            lanes=tuple(own_lanes()),
            keys=keys,
            pids=(self.pid,),
            look=(self.folder,),
            postgres=self._databases,
            redis=(redis,) if redis is not None else (),
            since=since,
            own=True,
        )

    def _cli(self, *arguments: str) -> None:
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "router.cli", *arguments],
            env=self._environment, cwd=self.folder / "work", check=True, capture_output=True,
        )  # fmt: skip

    def stop(self) -> None:
        """SIGTERM, so that everything is settled and checkpointed; SIGKILL to all of it where that isn't enough."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@asynccontextmanager
async def instance(
    upstream_port: int, *, workers: int = 1, postgres: str | None = None, redis: str | None = None, keep: bool = False
) -> AsyncIterator[Own]:
    """A fresh one, not yet started; stopped and removed at the end, unless it is to be kept."""
    async with AsyncExitStack() as stack:
        stores = {}
        if postgres is not None:
            made = await stack.enter_async_context(scratch_databases(postgres, ("data", "keys")))
            stores = dict(zip(_STORES, (made["data"], made["keys"]), strict=True))
        if redis is not None:
            stores["VALUEAPI_REDIS_URL"] = redis
        folder = Path(tempfile.mkdtemp(prefix="valueapi-probe-"))
        if not keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        own = Own(folder, upstream_port, workers, stores)
        stack.callback(own.stop)
        yield own


def own_lanes() -> list[Lane]:
    """Every endpoint of the three wires, every translation, and a model whose first provider fails."""
    made = [lane for wire in OF_WIRE for lane in lanes(wire, _model(wire))]
    chat, messages = (Endpoint.CHAT,), (Endpoint.MESSAGES,)
    made += lanes(Dialect.OPENAI, _model(Dialect.ANTHROPIC), chat, "for Anthropic, ")
    made += lanes(Dialect.OPENAI, _model(Dialect.GOOGLE), chat, "for Gemini, ")
    made += lanes(Dialect.ANTHROPIC, _model(Dialect.OPENAI), messages, "for OpenAI, ")
    return made + lanes(Dialect.OPENAI, _FALLBACK, chat, "with fallback, ")


def _model(wire: Dialect) -> str:
    return f"probe/{wire}"


def _catalog(upstream: str) -> dict[str, Any]:
    providers = {
        f"hostile-{name}": {
            "dialect": wire.value,
            "base_url": upstream + _UPSTREAM_PATH[wire],
            "key": {"env": _KEY_ENV},
        }
        for wire in OF_WIRE
        for name in (wire.value, f"{wire.value}-second")
    }
    models = [_model_spec(_model(wire), [f"hostile-{wire}"], wire) for wire in OF_WIRE]
    openai = Dialect.OPENAI
    models.append(_model_spec(_FALLBACK, [f"hostile-{openai}", f"hostile-{openai}-second"], openai))
    return {"providers": providers, "models": models}


def _model_spec(name: str, providers: list[str], wire: Dialect) -> dict[str, Any]:
    endpoints = [endpoint.value for endpoint in OF_WIRE[wire]]
    return {
        "id": name,
        "context_window": 100_000_000,
        "max_output_tokens": 4096,
        "capabilities": ["text"],
        "dimensions": 2,
        "providers": [
            {"provider": provider, "model": "hostile-model", "endpoints": endpoints, "price": _PRICE}
            for provider in providers
        ],
    }


def _json(response: httpx2.Response) -> dict[str, Any]:
    if response.status_code >= 400:
        raise NotStarted(f"The program under probe refused to make its accounts ({response.status_code}).")
    made: dict[str, Any] = response.json()
    return made


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
