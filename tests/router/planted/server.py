"""`python -m tests.router.planted.server`: the real service, with an operator's worst settings, and leaks on request.

Debug mode of asyncio, every logger at DEBUG with a handler of its own, and an error tracker around the application that
prints each exception with all locals. A request to `/planted` says what the next one meets, and answers with what ran.
"""

import asyncio
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router.app import serving
from router.app.asgi import Application
from router.cli import main
from router.gateway.attempts import Attempts, Served, Trail
from router.gateway.call import Admitted
from tests.router.planted.leaks import LEAKS
from tests.router.planted.wires import Wires

WIRES = Wires()
_opened: set[str] = set()
_armed_leak = ""


def _watch_files(event: str, given: tuple[Any, ...]) -> None:
    """What the process opens for writing, or makes as a temporary file."""
    if event.startswith("tempfile."):
        _opened.add(f"{event} {given}")
    elif event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _opened.add(str(given[0]))


class Tracked(Application):
    """The application with a tracker around it, and leaks in it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/planted":
            await self._plant(json.loads((await receive())["body"]), send)
            return
        if scope["type"] == "lifespan":
            _worst_logging()
        try:
            await super().__call__(scope, receive, send)
        except BaseException as error:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
            print("tracker:", *told.format(), repr(error.__dict__), error.args, flush=True)
            raise

    async def _plant(self, wanted: dict[str, Any], send: Any) -> None:
        global _armed_leak
        _armed_leak = wanted.get("leak", "")
        answer = {"ran": sorted(WIRES.ran), "opened": sorted(_opened), "shots": WIRES.shots}
        WIRES.ran.clear()
        _opened.clear()
        WIRES.armed, WIRES.shots, WIRES.content = wanted.get("wire", ""), wanted.get("shots", 0), wanted["content"]
        body = json.dumps(answer).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})
        leaking.service = self._service


def _worst_logging() -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    for name in (
        "httpx2",
        "httpcore2",
        "httpcore2.http11",
        "asyncio",
        "sqlalchemy.engine",
        "multipart",
        "aiosqlite",
        "plain",
    ):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(logging.StreamHandler(sys.stdout))


def leaking(answer: Callable[..., Any]) -> Callable[..., Any]:
    async def first_answer(self: Attempts, admitted: Admitted, trail: Trail) -> Served:
        if _armed_leak:
            service: Any = leaking.service  # type: ignore[attr-defined]
            home = Path(os.environ["VALUEAPI_HOME"])
            # In a task that nobody waits for as well: its exception is never retrieved.
            for attempt in (asyncio.ensure_future, None):
                work = LEAKS[_armed_leak](admitted, service.stores.data, home)
                if attempt is not None:
                    await asyncio.wait([attempt(work)])
                else:
                    await work
        served: Served = await answer(self, admitted, trail)
        return served

    return first_answer


if __name__ == "__main__":
    Attempts.first_answer = leaking(Attempts.first_answer)  # type: ignore[method-assign]
    WIRES.lay()
    sys.addaudithook(_watch_files)
    serving.Application = Tracked  # type: ignore[misc]
    sys.argv = ["valueapi", "serve", "--first-run"]
    main()
