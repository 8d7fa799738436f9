"""The control says what the probe has shown, has it run where nothing is shown, and is no leak where nobody could look."""

from collections.abc import Awaitable, Callable

import pytest

from governance import clock
from governance.bodies import attestation, standing
from governance.bodies.probe_run import About
from governance.bodies.standing import Standing
from governance.bodies.verdict import Verdict
from governance.controls.bodies_not_stored import BodiesNotStored
from governance.controls.control import Outcome
from governance.controls.registry import Registry
from governance.controls.runs import Runs
from governance.db import Database
from governance.errors import Conflict
from governance.incidents import opening
from governance.incidents.incident import Cause
from governance.vault.keys import KeyStore
from tests.governance.bodies.test_standing import AGE, BUILD, SETUP, ran
from tests.governance.controls.made import CODE

Stores = tuple[Database, KeyStore]
pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


async def state(stores: Stores) -> Standing:
    return await standing.read(stores[0], await attestation.checker(stores[1]), About(BUILD, SETUP), AGE)


def control(stores: Stores, probe: Callable[[], Awaitable[object]]) -> BodiesNotStored:
    made = BodiesNotStored(stores[0], lambda: state(stores), probe)
    Registry([made])
    return made


async def never() -> None:
    raise AssertionError


async def test_a_clean_probe_is_a_pass_and_no_other_is_run(data: Database, stores: Stores) -> None:
    await ran(stores, Verdict.CLEAN)
    found = await control(stores, never).run()
    assert (found.outcome, found.examined, found.counts["planted"]) == (Outcome.PASSED, 9, 40)


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_what_is_not_shown_is_probed(data: Database, stores: Stores, verdict: Verdict) -> None:
    found = await control(stores, lambda: ran(stores, verdict)).run()
    assert found.outcome is {
        Verdict.CLEAN: Outcome.PASSED, Verdict.LEAK: Outcome.FAILED, Verdict.VOID: Outcome.UNPROVEN,
    }[verdict]  # fmt: skip


async def test_where_no_probe_can_run_nothing_is_proven(data: Database, stores: Stores) -> None:
    async def refused() -> None:
        raise Conflict("The service isn't running.")

    found = await control(stores, refused).run()
    assert (found.outcome, found.missing) == (Outcome.UNPROVEN, "The service isn't running.")


async def test_a_leak_is_reported_as_it_was_found_and_is_one_incident(data: Database, stores: Stores) -> None:
    row = await ran(stores, Verdict.LEAK)
    await ran(stores, Verdict.VOID)  # it takes nothing back
    run = await Runs(data, await attestation.signer(*stores)).run(control(stores, never), CODE)
    assert run.outcome is Outcome.FAILED and list(run.failures) == row.findings
    [incident] = await opening.listed(data)
    assert (incident.cause, incident.runs, incident.found) == (Cause.FAILED, 2, row.findings)


async def test_a_control_that_cannot_look_is_an_incident_but_no_leak(data: Database, stores: Stores) -> None:
    async def broken() -> None:
        raise OSError

    await ran(stores, Verdict.CLEAN, ago=AGE.exact)
    made = control(stores, broken)
    run = await Runs(data, await attestation.signer(*stores)).run(made, CODE)
    assert run.outcome is Outcome.FAILED
    [incident] = await opening.listed(data)
    assert incident.cause == Cause.NOT_RUN
    # The gateway is closed for a leak: this is none.
    await ran(stores, Verdict.CLEAN)
    assert (await state(stores)).stands and clock.now() >= run.at
