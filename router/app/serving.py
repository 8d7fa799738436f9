"""Runs the server: one process, or a supervisor with workers that share one listening socket.

The supervisor serves nothing, and opens the stores once, before there are workers. It restarts a worker that dies; a
worker whose supervisor dies ends too.
"""

import asyncio
import ctypes
import gc
import os
import signal
import socket
import subprocess
import sys
import time

import uvicorn
from prometheus_client import multiprocess

from governance.backup import in_use
from governance.bodies import confine
from governance.errors import ConfigurationError
from router.app import confinement, figures, last_resort
from router.app.asgi import Application
from router.app.key_check import check_keys
from router.app.logs import configure as configure_logs
from router.gateway.protocol import Limits, make_protocol
from router.settings import Settings

_STOP_SECONDS = 15.0
_START_FAILED = 3  # uvicorn's exit code where the application's start-up failed
_PR_SET_PDEATHSIG = 1


def _limits(settings: Settings) -> Limits:
    return Limits(
        head_bytes_max=settings.head_bytes_max,
        headers_max=settings.headers_max,
        head_seconds_max=settings.head_seconds_max,
        body_bytes_max=settings.body_bytes_max,
        body_seconds_idle_max=settings.body_idle_seconds_max,
        body_bytes_per_second_min=settings.body_bytes_per_second_min,
        body_seconds_max=settings.body_seconds_max,
        target_bytes_max=settings.target_bytes_max,
        write_seconds_stalled_max=settings.write_stalled_seconds_max,
        keepalive_seconds=settings.keepalive_seconds,
        connections_max=settings.connections_max,
    )


def config(settings: Settings) -> uvicorn.Config:
    """The server's configuration, the same in every process."""
    return uvicorn.Config(
        Application(settings),
        host=settings.host,
        port=settings.port,
        http=make_protocol(_limits(settings)),
        ws="none",
        loop="uvloop",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
        timeout_graceful_shutdown=10,
    )


def check_address(settings: Settings) -> None:
    """Raises ConfigurationError before anything is made or shown where the address can't be listened on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"VALUEAPI_HOST and VALUEAPI_PORT: {settings.host} port {settings.port} can't be listened on "
                f"({error.strerror}); is another service running there?"
            ) from None


def serve(settings: Settings) -> int:
    """Run until a signal; the exit code. Raises KeyUnavailable where the keyring doesn't open the key store.

    Raises ConfigurationError where the settings require a confinement that isn't held.
    """
    configure_logs()
    last_resort.install()
    confinement.apply(settings)  # before any thread: it binds this one and those that it starts
    # Held until the end: no restore gets in between this check and a worker, however late that one starts.
    held = in_use.share(settings.run_folder)
    try:
        asyncio.run(check_keys(settings))
        if settings.workers > 1:
            return _supervise(settings)
        return _run(uvicorn.Server(config(settings)), None)
    finally:
        os.close(held)


def worker(descriptor: int) -> int:
    """A worker's whole life, on the supervisor's socket."""
    configure_logs()
    last_resort.install()
    settings = Settings.load()
    try:
        confinement.apply(settings)  # an exec has taken part of the supervisor's back
    except ConfigurationError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201  the sentence that start-up stops with
        return _START_FAILED
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    listener = socket.socket(fileno=descriptor)
    return _run(uvicorn.Server(config(settings)), [listener])


def _run(server: uvicorn.Server, sockets: list[socket.socket] | None) -> int:
    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    # The server raises its signal again once it has stopped; with these handlers that ends in a clean exit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=sockets)
    # The interpreter's last collection would look at everything ever imported: half a second for nothing.
    gc.freeze()
    return 0 if server.started else _START_FAILED


def _supervise(settings: Settings) -> int:
    asyncio.run(confine.record_current())
    listener = config(settings).bind_socket()
    folder, held = figures.begin(settings.run_folder)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    inherited = (listener.fileno(), held)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    workers = [_spawn(*inherited) for _ in range(settings.workers)]
    failed = 0
    while not stopping:
        for place, process in enumerate(workers):
            if process.poll() is None:
                continue
            if process.returncode == _START_FAILED:
                failed = _START_FAILED
                stopping.append(signal.SIGTERM)
                break
            multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
            time.sleep(0.2)  # a worker that dies at once must not spin
            workers[place] = _spawn(*inherited)
        time.sleep(0.1)
    _stop(workers)
    return failed


def _spawn(listener: int, held: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "router.app.worker", str(listener)], pass_fds=[listener, held])  # noqa: S603


def _stop(workers: "list[subprocess.Popen[bytes]]") -> None:
    for process in workers:
        process.terminate()
    until = time.monotonic() + _STOP_SECONDS
    for process in workers:
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
