"""One simulator per module, on a real socket."""

from collections.abc import Iterator

import pytest

from router.providers.simulator import Recorder, Running, running


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def sim(recorder: Recorder) -> Iterator[Running]:
    with running(recorder) as server:
        yield server
