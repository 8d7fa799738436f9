"""A serving process says and does what the store says of the control, and nothing where it can't be asked."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from governance import clock
from governance.bodies import attestation
from governance.bodies.probe_run import About
from governance.bodies.verdict import Verdict
from governance.db import Database
from governance.incidents import opening
from governance.jobs import due
from governance.period import Period
from governance.vault.keys import KeyStore
from router.app import standing_watch
from router.app.probe_process import SELF_PROBE
from router.app.service import Service
from router.app.standing_watch import CLOSED, StandingWatch
from router.app.stores import migrate, open_stores
from router.settings import Settings
from tests.governance.bodies.test_standing import BUILD, SETUP, ran

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
Stores = tuple[Database, KeyStore]


class Faced:
    """What a gateway was told."""

    closed: str | None = None
    probe: str | None = "nothing yet"

    def stand(self, probe_id: str | None) -> None:
        self.probe = probe_id


class Counter:
    value = 0

    def __call__(self) -> int:
        return self.value


async def watch(stores: Stores, gateway: Faced, generation: Callable[[], int], *, closes: bool = True) -> StandingWatch:
    faced: Any = gateway
    signer, about = await attestation.checker(stores[1]), About(BUILD, SETUP)
    max_age = Period.parse("PT13H")
    return StandingWatch(stores[0], faced, generation, signer=signer, about=about, max_age=max_age, closes=closes)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("closes", [True, False])
async def test_it_follows_what_others_wrote(stores: Stores, closes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing_watch, "_LOOK_S", 0.01)
    gateway, generation = Faced(), Counter()
    watching = await watch(stores, gateway, generation, closes=closes)
    await watching.look()
    assert (gateway.probe, gateway.closed) == (None, None)
    task = asyncio.create_task(watching.run())
    clean = await ran(stores, Verdict.CLEAN)
    generation.value += 1
    await until(lambda: gateway.probe == str(clean.id))
    await ran(stores, Verdict.LEAK)
    generation.value += 1
    await until(lambda: gateway.probe is None)
    assert gateway.closed == (CLOSED if closes else None) and watching.current.state == "red"
    [row] = await opening.listed(stores[0])
    await opening.acknowledge(stores[0], row.id, by="operator", reason="x")
    generation.value += 1
    await until(lambda: watching.current.state == "unverified")
    assert gateway.closed is None
    task.cancel()


async def test_an_age_needs_no_event_and_a_store_that_is_gone_proves_nothing(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("_LOOK_S", 0.01), ("_READ_S", 0.02), ("_BLIND_S", 0.3)):
        monkeypatch.setattr(standing_watch, name, seconds)
    gateway = Faced()
    watching = await watch(stores, gateway, Counter())
    clean = await ran(stores, Verdict.CLEAN)
    await watching.look()
    task = asyncio.create_task(watching.run())
    assert gateway.probe == str(clean.id)
    later = clock.now() + timedelta(hours=13)
    clock.install(lambda: later)
    try:
        await until(lambda: gateway.probe is None)
    finally:
        clock.install(None)
    await until(lambda: gateway.probe == str(clean.id))

    async def gone(*_: object) -> None:
        raise ConnectionError("kanarie@example.org")

    monkeypatch.setattr(standing_watch.standing, "read", gone)
    await asyncio.sleep(0.1)
    assert gateway.probe == str(clean.id)  # it may be a moment's trouble
    await until(lambda: gateway.probe is None)
    task.cancel()


async def test_a_deploy_is_probed_soon_and_a_plain_restart_is_not(stores: Stores, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    await migrate(settings)

    async def started() -> timedelta:
        """How long after this start the probe is due."""
        service = Service(settings)
        service.stores = await open_stores(settings)
        pair = service.stores.data, service.stores.keys
        if not built:
            built.append(service._about)
        else:
            about = built.pop()
            await ran(pair, Verdict.CLEAN, build=about.build, setup=str(about.setup))
            await due.end(pair[0], SELF_PROBE, due.DONE, clock.now() + timedelta(hours=6))
        about, signer = service._about, await attestation.checker(pair[1])
        await service._start_jobs(await standing_watch.standing.read(pair[0], signer, about, Period.parse("PT13H")))
        async with asyncio.timeout(20):  # who leads declares them, with its first look
            while not (found := [each for each in await due.states(pair[0]) if each.name == SELF_PROBE]):
                await asyncio.sleep(0.01)
        [job] = found
        await service.aclose()
        await service.stores.aclose()
        return job.due_at - clock.now()

    built: list[About] = []
    soon = timedelta(seconds=31)
    assert await started() < soon  # a home that was never probed
    assert await started() > timedelta(hours=5)
    built.append(About("0" * 64, SETUP))
    assert await started() < soon  # the last clean probe was of another program
