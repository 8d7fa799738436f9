"""Running the simulator on a real socket: in the foreground, or in a thread for a test or a development start."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.providers.simulator.app import CLOSE, ASGIApp, create
from router.providers.simulator.recorder import Recorder


class _ClosingProtocol(HttpToolsProtocol):
    """ASGI has no way to drop a connection, which is what some faults are; so the scope carries one."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {CLOSE: self.transport.close}


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator in a thread; `url` has no path: `http://127.0.0.1:PORT`."""

    url: str
    port: int


def _server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_ClosingProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    return uvicorn.Server(config)


def run(host: str, port: int, *, gap_ms: int = 0) -> None:
    """Serve in the foreground until a signal ends it."""
    _server(create(gap_ms=gap_ms), host, port).run()


@contextmanager
def running(recorder: Recorder | None = None, *, port: int = 0, gap_ms: int = 0) -> Iterator[Running]:
    """Serve on 127.0.0.1 from a thread while the block runs; port 0 takes a free one. OSError where it is taken."""
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    bound = int(listener.getsockname()[1])
    server = _server(create(recorder, gap_ms=gap_ms), "127.0.0.1", bound)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="simulator", daemon=True)
    # The socket listens already, so clients may connect before the thread has started to accept.
    thread.start()
    try:
        yield Running(f"http://127.0.0.1:{bound}", bound)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
        listener.close()
