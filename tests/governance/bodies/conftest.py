"""A guard over this process's sinks, as the service installs it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from governance.bodies.body import Body
from governance.bodies.fragments import Holding, Watch
from governance.bodies.guards import Guard, installed
from governance.bodies.known import Known

PROMPT = "Dear doctor, since Tuesday my left knee makes a sound like a kettle, and my wife says it whistles in B flat."


@pytest.fixture(scope="session")
def known() -> Known:
    return Known(("governance", "policies", "reports", "router"))


@pytest.fixture
def guard(known: Known, event_log: Path) -> Iterator[Guard]:
    with installed(Guard(Watch(), known)) as made:
        yield made


@pytest.fixture
def asked(guard: Guard) -> Callable[..., Holding]:
    """Put a request with these texts in flight; the usual prompt is in flight already."""

    def ask(*contents: str) -> Holding:
        return guard.watch.hold(Body(json.dumps({"messages": [{"content": each} for each in contents]}).encode()))

    ask(PROMPT)
    return ask
