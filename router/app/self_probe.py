"""The running service probes itself: through its own socket, as an account that exists for nothing else.

One run: a key, an upstream of its own on this machine that only that key is served from, canaries through both, a search
of what came to rest, the key and the usage rows gone, and the result kept and signed. It runs in a process of its own at
the lowest priority, so that serving doesn't feel it. What a crash leaves behind opens nothing (`gateway/probe_routes`)
and is cleared away by the next run.
"""

import asyncio
import fcntl
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx2

from governance import clock
from governance.backup import in_use
from governance.bodies import attestation, probe_run
from governance.bodies.probe_run import About, Limits, ProbeRun, Result
from governance.bodies.verdict import Verdict
from governance.datamap import DataUse
from governance.errors import Conflict, ValueAPIError
from governance.vault.purpose import Actor, states
from router.accounts import probe_account
from router.app import outputs, setup
from router.app.stores import Stores, opened
from router.billing import usage_log
from router.gateway import probe_routes
from router.gateway.shared import SharedBusy
from router.probe import program
from router.settings import Settings
from router.surface import Service

SECONDS_MAX: Final = 600.0
_READY_SECONDS: Final = 60.0
_ASKED: Final = 4  # per worker: connections are shared out by the kernel
_ROUNDS, _ROUND_SECONDS = 5, 0.5


@dataclass(frozen=True, slots=True)
class Running:
    """The service as a probe sees it. `announce(port)` lets `key` be served from the upstream at that port; `tls` is for
    its socket; `look` are folders and files that it writes, `postgres` and `redis` URLs of its stores, `began` when the run did.
    """

    home: Path
    url: str
    key: str = field(repr=False)
    announce: Callable[[int], None]
    tls: ssl.SSLContext | None
    look: tuple[Path, ...]
    pids: tuple[int, ...]
    postgres: tuple[str, ...] = field(repr=False)
    redis: tuple[str, ...] = field(repr=False)
    scratch: Path
    began: datetime


Probe = Callable[[Running], Awaitable[Result]]


@states(Actor.JOB)
async def run(settings: Settings, probe: Probe) -> ProbeRun:
    """One run, recorded whatever it ends in. Raises Conflict while another probes this home."""
    with _alone(settings.run_folder):
        async with opened(settings) as stores:
            began = clock.now()
            about = setup.running(settings)
            try:
                async with asyncio.timeout(SECONDS_MAX):
                    about = await _about(settings)
                    result = await _probed(settings, stores, probe, began)
                    if await _about(settings) != about:
                        raise Unprobed("The service was replaced while it was probed.")
            except ValueAPIError as error:
                result = _void(began, str(error))  # words of ours
            except Exception as error:
                # A probe that breaks shows nothing. Its text could hold what it met.
                result = _void(began, f"The probe failed ({type(error).__name__}).")
            return await _keep(settings, stores, result, about)


class Unprobed(ValueAPIError):
    """Why a run shows nothing."""


async def _probed(settings: Settings, stores: Stores, probe: Probe, began: datetime) -> Result:
    account_id, key = await probe_account.open_key(stores.data, stores.keys, bump=partial(_bump, stores))
    urls = (settings.data_store(), settings.key_store())
    running = Running(
        home=settings.home.absolute(),
        url=settings.own_url(),
        key=key.secret,
        announce=lambda port: probe_routes.announce(settings.run_folder, port, SECONDS_MAX),
        tls=tls(settings),
        look=tuple(path.absolute() for path in (*settings.folders()[1:], *settings.self_probe_logs)),
        pids=tuple(pid for pid in in_use.holders(settings.run_folder) if pid != os.getpid()),
        postgres=tuple(url for url in urls if url.startswith("postgresql")),
        redis=(settings.redis_url.get_secret_value(),) if settings.redis_url is not None else (),
        scratch=scratch(settings),
        began=began,
    )
    try:
        result = await probe(running)
        why = outputs.unsearched(settings.run_folder, running.pids, running.look, settings.self_probe_logs)
        # A leak that was seen is one all the same.
        return replace(result, verdict=Verdict.VOID, why=why) if why and result.verdict is Verdict.CLEAN else result
    finally:
        probe_routes.withdraw(settings.run_folder)
        await probe_account.remove_keys(stores.data, bump=partial(_bump, stores))
        await _forget(stores, account_id)


def scratch(settings: Settings) -> Path:
    """A folder that a probe may fill."""
    folder = settings.run_folder.absolute() / "probe"
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    return folder


async def _forget(stores: Stores, account_id: UUID) -> None:
    """Delete the usage rows; those of the last requests are still on their way from the journal."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(_ROUND_SECONDS)
        async with stores.data.transaction(DataUse.SERVICE) as session:
            if not await usage_log.forget(session, account_id):
                return


async def _keep(settings: Settings, stores: Stores, result: Result, about: About) -> ProbeRun:
    signer = await attestation.signer(stores.data, stores.keys)
    limits = Limits(settings.self_probe_every, settings.self_probe_max_age)
    row = await probe_run.record(stores.data, signer, result, about, version=program.version(), limits=limits)
    # A crash here: serving processes look by themselves within seconds.
    _bump(stores)
    return row


def _bump(stores: Stores) -> None:
    """Every process looks anew; where that can't be said, each does within seconds by itself."""
    with suppress(SharedBusy):
        stores.shared.bump()


def _void(began: datetime, why: str) -> Result:
    return Result(Verdict.VOID, began, clock.now(), 0, 0, 0, (), (), (), (), 0, why)


async def _about(settings: Settings) -> About:
    """The program and the setup that every process of the service says it is, and has left beside it. Raises Unprobed."""
    told: set[tuple[str, str]] = set()
    async with asyncio.timeout(_READY_SECONDS):
        while not told:
            try:
                for _ in range(_ASKED * settings.workers):
                    told.add(await _asked(settings))
            except (httpx2.HTTPError, ValueError, KeyError):
                told.clear()
                await asyncio.sleep(0.2)
    if len(told) != 1:
        raise Unprobed("Several versions of the program, or setups of it, are running.")
    build, setup_digest = told.pop()
    left = setup.running(settings)
    if left.setup != setup_digest:
        raise Unprobed("A process of the service left no record of how it is set up.")
    return About(build, setup_digest, left.facts)


async def _asked(settings: Settings) -> tuple[str, str]:
    """By a connection of its own. A service that is closed answers 503 and says it all the same."""
    # No environment: what is on this machine is never reached by a proxy.
    async with httpx2.AsyncClient(verify=tls(settings) or False, trust_env=False, timeout=5) as client:
        answer: dict[str, Any] = (await client.get(settings.own_url() + str(Service.READYZ))).json()
    return str(answer["build"]), str(answer["setup"])


def tls(settings: Settings) -> ssl.SSLContext | None:
    """What the service's own socket is asked with: its own certificate is trusted, whatever name it bears."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(cafile=str(settings.tls_cert))
    context.check_hostname = False
    return context


@contextmanager
def _alone(run_folder: Path) -> Iterator[None]:
    handle = os.open(run_folder / "probe.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("A probe of this home is running already.") from None
        yield
    finally:
        os.close(handle)
