"""A guard over this process's sinks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from governance.bodies.fragments import Holding
from governance.bodies.guards import Guard
from tests.services.guarding import body, guarding


@pytest.fixture
def guard(event_log: Path) -> Iterator[Guard]:
    with guarding() as made:
        yield made


@pytest.fixture
def asked(guard: Guard) -> Callable[..., Holding]:
    """Put one more request in flight, with these texts."""
    return lambda *contents: guard.watch.hold(body(*contents))
