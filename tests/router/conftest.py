"""One running service a worker, in front of a recording simulator: what most tests of the router ask."""

from collections.abc import Iterator

import pytest

from router.providers.simulator.recorder import Recorder
from router.providers.simulator.server import running
from tests.services import providers
from tests.services.at_rest import holding
from tests.services.valueapi import ValueAPI

FAULTS = (
    "400", "401", "403", "404", "429,retry_after=1", "500", "503", "cut", "cut_json", "malformed", "html", "error_event",
    "redirect", "no_usage", "huge_usage", "negative_usage", "text_usage", "hang", "hang_midway", "close", "wrong_type",
    "no_terminator", "empty", "slow", "500,times=1", "429,times=1",
)  # fmt: skip


class Governed(ValueAPI):
    """The service with its upstream's recorder."""

    recorder: Recorder


@pytest.fixture(scope="session")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    folder = tmp_path_factory.mktemp("governed")
    recorder = Recorder()
    with running(recorder) as upstream:
        file = providers.write(folder / "providers.yaml", upstream.url, FAULTS)
        tiers = folder / "limits.yaml"
        tiers.write_text(
            "tiers: [{name: free, lifetime_top_up_microcredits_min: 0, "
            "account: {requests_per_minute: 100000, tokens_per_minute: 100000000}, "
            "key: {requests_per_minute: 100000, tokens_per_minute: 100000000}}]\n"
        )
        service = Governed(
            folder / "home",
            {
                "VALUEAPI_PROVIDERS": str(file),
                "VALUEAPI_TIERS": str(tiers),
                "VALUEAPI_UPSTREAM_FIRST_BYTE_SECONDS": "2",
                "VALUEAPI_UPSTREAM_IDLE_SECONDS": "2",
                "VALUEAPI_UPSTREAM_BACKOFF_SECONDS": "0.01",
                "VALUEAPI_BREAKER": "false",
                "VALUEAPI_DEMO_CREDITS": "1000",
                providers.KEY_ENV: providers.KEY,
            },
        )
        service.recorder = recorder
        service.start()
        yield service
        service.stop()
        # Every fault mode above echoed its prompt back at us: none of it may have come to rest or into the log.
        assert holding([service.home, service.log], ["kanarie"], but=frozenset({"first-run.json"})) == {}


@pytest.fixture
def service(governed: Governed) -> Governed:
    """The running service, its recorder empty."""
    governed.recorder.clear()
    return governed
