"""One service with wires and leaks, in front of a simulator that is a process of nobody's concern."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from router.providers.simulator.server import running
from tests.services import providers
from tests.services.valueapi import ValueAPI

FAULTS = ("400", "401", "503", "cut", "malformed", "html", "error_event", "redirect", "empty")


class Planted(ValueAPI):
    """See `server`. `temp` is where its temporary files would be."""

    program = ("tests.router.planted.server",)
    temp: Path
    client: httpx2.Client

    def plant(self, content: str, **wanted: Any) -> dict[str, Any]:
        """Says what the next request meets: `leak`, or `wire` with `shots`. Tells what ran and was opened before."""
        while True:
            # What is armed may hit this very request.
            with suppress(httpx2.HTTPError):
                sent = {"content": content, **wanted}
                answer = self.client.post(self.url + "/planted", json=sent, headers={"connection": "close"})
                told: dict[str, Any] = answer.json()
                return told

    def ask(self, path: str, **sent: Any) -> httpx2.Response | None:
        """The answer to a POST with the account's key, or None where the connection was cut."""
        headers = {"authorization": f"Bearer {self.key}", "connection": "close", **sent.pop("headers", {})}
        try:
            return self.client.post(self.url + path, headers=headers, **sent)
        except httpx2.HTTPError:
            return None


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("planted")
    with running() as upstream:
        service = Planted(
            folder / "home",
            {
                "VALUEAPI_PROVIDERS": str(providers.write(folder / "providers.yaml", upstream.url, FAULTS)),
                "VALUEAPI_UPSTREAM_BACKOFF_SECONDS": "0.001",
                "VALUEAPI_UPSTREAM_FIRST_BYTE_SECONDS": "2",
                "VALUEAPI_BREAKER": "false",
                "VALUEAPI_DEMO_CREDITS": "1000",
                "PYTHONASYNCIODEBUG": "1",
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]),
                "TMPDIR": str(folder / "temp"),
                # Nothing but layer 1 stands between a leak and the disk.
                "VALUEAPI_CONFINEMENT": "off",
                "VALUEAPI_BODY_GUARD": "off",
                "VALUEAPI_WRITE_WATCH": "off",
                providers.KEY_ENV: providers.KEY,
            },
        )
        tiers = folder / "limits.yaml"
        many = "{requests_per_minute: 100000, tokens_per_minute: 100000000}"
        tiers.write_text(
            f"tiers: [{{name: free, lifetime_top_up_microcredits_min: 0, account: {many}, key: {many}}}]\n"
        )
        service.environment["VALUEAPI_TIERS"] = str(tiers)
        service.temp = folder / "temp"
        service.temp.mkdir()
        service.start()
        # A failure in a callback of the connection can leave it open and unanswered.
        with httpx2.Client(timeout=httpx2.Timeout(5, read=2), trust_env=False) as service.client:
            yield service
        service.kill()  # what failed in a connection's callbacks would be waited for
