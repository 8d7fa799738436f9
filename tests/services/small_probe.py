"""A probe of a few requests, for tests of what stands around the real one: its own upstream, canaries, and a search."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from governance import clock
from governance.bodies.probe_run import Result
from governance.bodies.verdict import Verdict
from router.app.self_probe import Running
from tests.services.at_rest import holding

During = Callable[[Running, httpx2.AsyncClient], Awaitable[None]]


def _answer(head: bytes, prompt: bytes) -> tuple[int, bytes]:
    if b"answer-500" in prompt:
        return 500, json.dumps({"error": {"message": prompt.decode()}}).encode()
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "input_tokens": 1, "output_tokens": 1}
    text = "kanarie" + secrets.token_hex(16)
    message = {"role": "assistant", "content": text}
    told: dict[str, Any] = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    return 200, json.dumps(told | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    status, body = _answer(head, await reader.readexactly(size))
    start = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    writer.write(start % (status, len(body)) + body)
    await writer.drain()
    writer.close()


class SmallProbe:
    """`statuses` are what the requests were answered with; `during` runs while the probe's key is good."""

    def __init__(self, during: During | None = None) -> None:
        self._during = during
        self.statuses: list[int] = []
        self.key = ""

    async def __call__(self, running: Running) -> Result:
        canaries = [f"kanarie{secrets.token_hex(16)}" for _ in range(4)]
        self.key = running.key
        server = await asyncio.start_server(_serve, "127.0.0.1", 0)
        running.announce(server.sockets[0].getsockname()[1])
        async with server, httpx2.AsyncClient(base_url=running.url, trust_env=False, timeout=20) as client:
            client.headers["authorization"] = f"Bearer {running.key}"
            for canary, mode in zip(canaries, ("", "", "answer-500 ", ""), strict=True):
                body = {"model": "probe/openai", "messages": [{"role": "user", "content": mode + canary}]}
                self.statuses.append((await client.post("/v1/chat/completions", json=body)).status_code)
            if self._during is not None:
                await self._during(running, client)
        await asyncio.sleep(0.3)  # the journal's way to the usage log
        found = holding(running.look, canaries)
        verdict = Verdict.LEAK if found else Verdict.CLEAN if 200 in self.statuses else Verdict.VOID
        places = tuple(f"prompt at {place.rpartition('/')[2]}" for places in found.values() for place in places)
        return Result(verdict, running.began, clock.now(), 4, 4, 1, (), places, (), ("home",), 1000)
