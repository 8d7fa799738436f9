"""The web application on a real socket, and people in it."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from prometheus_client import CollectorRegistry

from governance.db import Database
from governance.mail import outbox
from governance.vault.keys import KeyStore
from router.accounts import sign_up
from router.accounts.directory import KeyDirectory
from router.gateway.caller import TrustedProxies
from router.gateway.protocol import Limits, make_protocol
from router.gateway.ratelimit import LocalRateLimiter
from router.providers.catalog import Catalog
from router.settings import Settings
from router.web.app import create_web
from router.web.context import WebContext

PASSWORD = "a long enough passphrase"
Stores = tuple[Database, KeyStore]


@dataclass
class Running:
    """A served application, what it was made from, and what it was told."""

    base: str
    context: WebContext
    reasons: list[str] = field(default_factory=list)
    bumps: int = 0

    def client(self, **options: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.base, **options)

    async def mails(self, template: str) -> list[str]:
        """Bodies of the mails of a kind, the newest first."""
        data = self.context.data
        entries = [entry for entry in await outbox.list_outbox(data) if entry.template == template]
        return [(await outbox.read_mail(data, entry.id)).text for entry in entries]

    async def link(self, template: str) -> str:
        """The link of the newest mail of a kind."""
        found = re.search(r"http\S+token=\S+", (await self.mails(template))[0])
        assert found is not None
        return found[0]

    async def person(self, email: str, password: str = PASSWORD) -> sign_up.Confirmed:
        """A confirmed account, made below the web."""
        desk = self.context.desk()
        await sign_up.sign_up(desk, email)
        confirmed = await sign_up.confirm(desk, (await self.link("confirm")).rpartition("=")[2], password)
        desk.passwords.close()
        return confirmed

    async def bearer(self, email: str, password: str = PASSWORD) -> dict[str, str]:
        """Headers of a session begun through the API."""
        async with self.client() as client:
            answer = await client.post("/v1/account/sign-in", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return {"authorization": f"Bearer {answer.json()['session_token']}"}

    @asynccontextmanager
    async def browser(self, email: str, password: str = PASSWORD) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that signed in through the page."""
        async with self.client() as client:
            await submit(client, "/portal/sign-in", {"email": email, "password": password})
            yield client


async def submit(
    client: httpx2.AsyncClient, page: str, fields: dict[str, Any], to: str | None = None
) -> httpx2.Response:
    """Load a page, take its form token and send a form with it, as a browser does."""
    shown = await client.get(page)
    assert shown.status_code == 200, shown.text
    return await client.post(to or page, data=fields | {"form_token": form_token(shown.text)})


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found is not None
    return found[1]


@asynccontextmanager
async def serve(stores: Stores, home: Path, **settings: Any) -> AsyncIterator[Running]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    wide = {"sign_in_attempts_per_minute": 1000, "sign_up_attempts_per_minute": 1000}
    made = Settings(home=home, port=port, **(wide | settings))
    data, keys = stores
    running = Running(f"http://127.0.0.1:{port}", None)  # type: ignore[arg-type]  # set just below

    def bump() -> None:
        running.bumps += 1

    catalog = Catalog.load(None, production=False, allow_insecure=False, simulator_url="http://127.0.0.1:9")
    running.context = WebContext(
        data=data,
        keys=keys,
        settings=made,
        directory=KeyDirectory(data, keys, lambda: running.bumps),
        limiter=LocalRateLimiter(),
        cell_secret=b"s" * 32,
        catalog=catalog,
        ready=lambda: running.reasons,
        metrics=CollectorRegistry(),
        bump=bump,
        proxies=TrustedProxies(made.trusted_proxies),
        answer_seconds=0.0,  # even time is what tests/router/accounts measures
    )
    config = uvicorn.Config(
        create_web(running.context),
        http=make_protocol(Limits()),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield running
    finally:
        server.should_exit = True
        await task
        listener.close()
