"""A gateway in this process over real parts: a scripted upstream's address, a purse with Credits, buckets that stand still."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from governance.datamap import DataUse
from governance.vault.keys import KeyStore
from router.accounts.principal import Principal
from router.billing import usage_log
from router.billing.purse import Purse
from router.billing.usage_log import Usage
from router.gateway import routes
from router.gateway.admission import Admission
from router.gateway.api import Gateway
from router.gateway.attempts import Attempts, AttemptSettings
from router.gateway.breaker import Breaker, BreakerSettings
from router.gateway.caller import TrustedProxies
from router.gateway.metrics import Metrics
from router.gateway.ratelimit import LocalRateLimiter, Tiers, cell_key
from router.gateway.ratelimit.tiers import Rates, Tier
from router.gateway.upstream import HttpxUpstream
from router.providers.catalog import Catalog
from router.providers.secrets import Secret
from tests.router.billing.book import Customer, Flaky, Signal, customer

MODEL = "up/model"
PRICE = {"input": 1_000_000, "cached_input": 100_000, "cache_write": 1_250_000, "output": 4_000_000}
CONTEXT = 5_000
ENDPOINTS = {"openai": ["chat", "completions", "embeddings", "responses"], "anthropic": ["messages", "count_tokens"]}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
_SECRET = bytes(32)
_PER_MINUTE = 60_000
_ANSWER_BYTES_MAX = 1 << 20


class Asking:
    """One request on its way through the gateway; the caller may leave at any time."""

    def __init__(self, rig: "Rig", path: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self._inbox: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self._more = asyncio.Event()
        match = routes.match(path)
        assert match is not None
        scope = {"method": "POST", "query_string": b"", "client": ("192.0.2.1", 1),
                 "headers": [(b"authorization", b"Bearer sk"), *headers]}  # fmt: skip
        self.task = asyncio.ensure_future(rig.gateway.serve(match, scope, self._inbox.get, self._send))

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.body += message.get("body", b"")
        self._more.set()

    def leave(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def until(self, mark: bytes) -> None:
        """Wait until the answer holds `mark`."""
        while mark not in self.body:
            self._more.clear()
            await self._more.wait()

    async def done(self) -> "Asking":
        await self.task
        return self


class Rig:
    """See the module."""

    def __init__(self, gateway: Gateway, purse: Purse, limiter: LocalRateLimiter, db: Flaky, made: Customer) -> None:
        self.gateway = gateway
        self.db = db
        self._purse = purse
        self._limiter = limiter
        self._customer = made
        self.registry: CollectorRegistry

    def ask(
        self, body: object = None, path: str = "/v1/chat/completions", headers: list[tuple[bytes, bytes]] | None = None
    ) -> Asking:
        return Asking(self, path, json.dumps(CHAT if body is None else body).encode(), headers or [])

    async def taken(self) -> list[int]:
        """Tokens that are missing in the account's and in the key's bucket."""
        out = []
        for owner in ("account", "key"):
            ident = self._customer.account_id if owner == "account" else self._customer.api_key_id
            cell = cell_key(_SECRET, owner, ident.bytes)
            [want] = [w for w in _tier().wants(cell, cell, 0)[:2] if w.kind == "tokens"]
            window = (await self._limiter.take([want])).tokens
            assert window is not None
            out.append(_PER_MINUTE - window.remaining)
        return out

    def reserved(self) -> int:
        """Micro-credits that are set aside for requests."""
        held = self._purse._held.get(self._customer.account_id)
        return 0 if held is None else held.reserved

    def in_flight(self) -> float:
        value = self.registry.get_sample_value("valueapi_requests_in_flight")
        assert value is not None
        return value

    async def usage(self) -> Usage:
        """The newest usage row."""
        await self._purse.drain()
        async with self.db.transaction(DataUse.PAYMENT) as session:
            return (await usage_log.list_usage(session, self._customer.account_id, 1))[0]


class _Directory:
    """Knows one key."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def cached(self, secret: str) -> Principal:
        return self._principal


def _tier(per_minute: int = _PER_MINUTE) -> Tier:
    rates = Rates(100_000, per_minute)
    return Tier("free", 0, rates, rates)


@asynccontextmanager
async def rigged(
    folder: Path,
    db: Flaky,
    keys: KeyStore,
    url: str,
    dialect: str = "openai",
    attempts_max: int = 1,
    per_minute: int = _PER_MINUTE,
) -> AsyncIterator[Rig]:
    """A gateway whose one model is served at `url`."""
    made = await customer(db, keys, 100_000_000)
    key = made.key
    principal = Principal(made.api_key_id, made.account_id, made.subject_id, "free", "user", None, None, key, "active")
    file = folder / "providers.yaml"
    provider = {"dialect": dialect, "base_url": url, "key": {"env": "X"}}
    route = {"provider": "up", "model": "m-up", "endpoints": ENDPOINTS[dialect], "price": PRICE}
    model = {"id": MODEL, "context_window": CONTEXT, "max_output_tokens": 400, "providers": [route]}
    file.write_text(yaml.safe_dump({"providers": {"up": provider}, "models": [model]}))
    catalog = Catalog.load(
        file, production=False, allow_insecure=True, simulator_url=None, resolve_key=lambda ref: Secret("k")
    )
    limiter = LocalRateLimiter(now_ns=lambda: 10**15)
    purse = await Purse.open(db, keys, folder / "journal", Signal(folder / "recall"))
    upstream = HttpxUpstream()
    registry = CollectorRegistry()
    settings = AttemptSettings(attempts_max, 0.0, 60, 60, 60, 60)
    gateway = Gateway(
        directory=_Directory(principal),  # type: ignore[arg-type]
        admission=Admission(catalog, Tiers([_tier(per_minute)]), limiter, purse, _SECRET, _ANSWER_BYTES_MAX),
        attempts=Attempts(upstream, Breaker(BreakerSettings(enabled=False)), settings, bytes(32)),
        purse=purse,
        limiter=limiter,
        proxies=TrustedProxies(()),
        metrics=Metrics(registry),
        body_bytes_max=1 << 20,
        answer_bytes_max=_ANSWER_BYTES_MAX,
    )
    rig = Rig(gateway, purse, limiter, db, made)
    rig.registry = registry
    try:
        yield rig
    finally:
        await upstream.aclose()
        await purse.aclose()
