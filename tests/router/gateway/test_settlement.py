"""The charge is in the journal's file when the last bytes of an answer go out, on a full disk too. In one process."""

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from governance.datamap import DataUse
from router.app import first_run, service, stores
from router.app.service import Service
from router.billing import journal, ledger
from router.gateway import routes
from router.providers.simulator.server import running
from router.settings import Settings
from tests.services import providers
from tests.services.small_disk import small_disk

Message = MutableMapping[str, Any]
OPENAI = {"messages": [{"role": "user", "content": "say kanarie"}], "max_tokens": 20}
GOOGLE = {"contents": [{"role": "user", "parts": [{"text": "say kanarie"}]}]}
FAULTS = ("400", "cut", "error_event", "slow")

# (path, body): every dialect's own wire, and one dialect's request to another's model; each asked whole and streamed.
STREAMED = [
    *[
        ("/v1/chat/completions", {**OPENAI, "model": f"{dialect}/good", "stream": stream})
        for dialect in ("openai", "anthropic", "google")
        for stream in (False, True)
    ],
    *[
        ("/v1/messages", {**OPENAI, "model": f"{dialect}/good", "stream": stream})
        for dialect in ("anthropic", "openai")
        for stream in (False, True)
    ],
    *[
        ("/v1/completions", {"model": "openai/good", "prompt": "say", "max_tokens": 20, "stream": stream})
        for stream in (False, True)
    ],
    *[("/v1/responses", {"model": "openai/good", "input": "say kanarie", "stream": stream}) for stream in (False, True)],
    ("/v1/embeddings", {"model": "openai/embedding", "input": "kanarie"}),
    ("/v1beta/models/google/good:generateContent", GOOGLE),
    ("/v1beta/models/google/good:streamGenerateContent?alt=sse", GOOGLE),
    ("/v1beta/models/google/good:streamGenerateContent", GOOGLE),
    ("/v1/messages/count_tokens", {"model": "anthropic/good", "messages": OPENAI["messages"]}),
    # What doesn't end well.
    *[
        ("/v1/chat/completions", {**OPENAI, "model": f"{dialect}/{fault}", "stream": True})
        for dialect in ("openai", "anthropic", "google")
        for fault in ("400", "cut", "error-event")
    ],
]  # fmt: skip


class Desk:
    """The service in this process, and requests to it as ASGI carries them."""

    def __init__(self, opened: Service, key: str, money_key: Any) -> None:
        self.service, self.key, self._money_key = opened, key, money_key
        self.folder = opened.settings.data_folder / "journal"

    def recorded(self) -> set[UUID]:
        """Requests whose charge lies in a file of the journal at this moment."""
        found = set()
        for path in self.folder.glob("*.journal"):
            payloads, _, _ = journal.parse(path.read_bytes(), 10**6)
            found |= {journal.open_money(self._money_key, payload).request_id for payload in payloads}
        return found

    async def ask(self, target: str, body: object, said: Callable[[Message], Awaitable[None]]) -> None:
        path, _, query = target.partition("?")
        match = routes.match(path)
        assert match is not None
        headers = [(b"authorization", f"Bearer {self.key}".encode()), (b"content-type", b"application/json")]
        scope = {"method": "POST", "headers": headers, "query_string": query.encode(), "client": ("127.0.0.1", 1)}
        sent = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

        async def receive() -> Message:
            if not sent:
                await asyncio.Event().wait()
            return sent.pop()

        await self.service.gateway.serve(match, scope, receive, said)

    async def balance(self) -> int:
        """After everything settled is committed."""
        await self.service.gateway._purse.drain()
        async with self.service.stores.data.session(DataUse.PAYMENT) as session:
            assert (await ledger.verify(session)).ok
            rows = await session.scalars(ledger.select(ledger.LedgerAccount.account_id).distinct())
            return sum([await ledger.balance(session, row) for row in rows if row is not None])


class Answer:
    """What went out: `recorded[n]` says whether the charge was in the journal when piece n did."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.recorded: list[bool] = []
        self.at_first_piece: Callable[[], None] | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        request_id = UUID(self.headers[b"x-request-id"].decode().removeprefix("req_"))
        if message["body"] or not self.pieces:
            self.pieces.append(message["body"])
            self.recorded.append(request_id in self._desk.recorded())
        if self.at_first_piece is not None:
            self.at_first_piece()
            self.at_first_piece = None

    @property
    def text(self) -> str:
        return b"".join(self.pieces).decode()


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(providers.KEY_ENV, providers.KEY)
    # One process may open several services in its life here, and metrics have one name a registry.
    monkeypatch.setattr(service, "REGISTRY", CollectorRegistry())
    with running() as simulator:
        yield providers.write(tmp_path / "providers.yaml", simulator.url, FAULTS)


@asynccontextmanager
async def opened(home: Path, file: Path) -> AsyncIterator[Desk]:
    settings = Settings(home=home, providers=file, breaker=False, upstream_attempts_max=1)
    await stores.migrate(settings)
    made = await first_run.prepare(settings, make=True)
    assert made is not None
    running_service = await Service.open(settings)
    try:
        money_key = await running_service.stores.keys.service_key(journal.MONEY_KEY)
        yield Desk(running_service, str(made["api_key"]), money_key)
    finally:
        await running_service.aclose()


async def test_the_last_bytes_go_out_after_the_record_in_every_dialect(tmp_path: Path, upstream: Path) -> None:
    async with opened(tmp_path / "home", upstream) as desk:
        late = []
        for target, body in STREAMED:
            answer = Answer(desk)
            await desk.ask(target, body, answer)
            name = f"{target} {body.get('model', '')} stream={body.get('stream', False)}"  # type: ignore[attr-defined]
            good = "good" in name or "embedding" in name
            assert answer.pieces and (not good or answer.status == 200), f"{name}: {answer.status} {answer.text}"
            if not answer.recorded[-1]:
                late.append(name)
            # The control: what went out before was not the charge's turn yet.
            if "stream=True" in name and good:
                assert len(answer.recorded) > 1 and not answer.recorded[0], name
        assert late == []


async def test_a_disk_that_fills_up_in_a_stream_loses_no_charge_and_then_refuses(
    tmp_path: Path, upstream: Path
) -> None:
    stream = {**OPENAI, "model": "openai/good", "stream": True}
    with small_disk(tmp_path / "home" / "data" / "journal") as disk:
        async with opened(tmp_path / "home", upstream) as desk:
            before = await desk.balance()
            disk.fill()
            for path, body in (("/v1/chat/completions", stream), ("/v1/messages", {**OPENAI, "model": "mixed/good"})):
                refused = Answer(desk)
                await desk.ask(path, body, refused)
                assert (refused.status, refused.headers[b"retry-after"]) == (503, b"5")
                assert ('"type":"error"' in refused.text.replace(" ", "")) == (path == "/v1/messages")
                desk.service.gateway._purse._refused_until = 0.0
            assert await desk.balance() == before
            disk.free()
            answer = Answer(desk)
            answer.at_first_piece = disk.fill
            await desk.ask("/v1/chat/completions", stream, answer)
            assert answer.status == 200 and answer.text.rstrip().endswith("[DONE]") and answer.recorded[-1]
            assert (tmp_path / "home" / "data" / "journal" / "filler").exists()
            disk.free()
            charge = before - await desk.balance()
            assert charge > 0


async def test_a_record_that_the_disk_refuses_in_a_stream_is_owed_until_it_is_written(
    tmp_path: Path, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = {**OPENAI, "model": "openai/good", "stream": True}
    real = os.write

    def broken(handle: int, data: bytes) -> int:
        if Path(f"/proc/self/fd/{handle}").readlink().suffix == ".journal":
            raise OSError(errno.EIO, "input/output error")
        return real(handle, data)

    async with opened(tmp_path / "home", upstream) as desk:
        before, purse = await desk.balance(), desk.service.gateway._purse
        answer = Answer(desk)
        with monkeypatch.context() as patch:
            answer.at_first_piece = lambda: patch.setattr(os, "write", broken)
            await desk.ask("/v1/chat/completions", stream, answer)
            # The answer is cut, not ended; its Credits stay reserved, and nobody else is served.
            assert "[DONE]" not in answer.text and '"error"' in answer.text
            (held,) = purse._held.values()
            assert held.reserved > 0 and len(purse._owed) == 1
            refused = Answer(desk)
            await desk.ask("/v1/chat/completions", stream, refused)
            assert (refused.status, refused.headers[b"retry-after"]) == (503, b"1")
        async with asyncio.timeout(10):
            while purse._owed:
                await asyncio.sleep(0.01)
        assert held.reserved == 0 and before - await desk.balance() > 0
        said = (tmp_path / "home" / "log" / "events.jsonl").read_text()
        assert said.count("billing:charge:owed") == said.count("billing:charge:recorded") == 1
