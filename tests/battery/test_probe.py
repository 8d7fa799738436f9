"""The whole probe on our own service: every case, on SQLite and on PostgreSQL with Redis, under two workers.

Without BATTERY a sample of the cases on PostgreSQL; SQLite's sample is in tests/router/probe/test_run.py.
"""

import os

import pytest

from governance.bodies.scanner import control, control_sinks
from governance.bodies.verdict import Verdict
from router.probe import run
from router.probe.case import only
from tests.services.postgres import Postgres
from tests.services.redis import redis_server

BATTERY = bool(os.environ.get("BATTERY"))
SAMPLE = (
    "chat/good",
    "messages/500 as JSON",
    "messages/good",
    "generate/good",
    "generate/400 as text",
    "openai/invalid UTF-8",
)


@pytest.fixture(autouse=True)
def sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample plants in files alone: a minute of PostgreSQL's own kinds of place is for the battery."""

    async def none(url: str) -> list[control_sinks.Sink]:
        return []

    if not BATTERY:
        monkeypatch.setattr(control, "local_sinks", lambda folder: [control_sinks._Local(folder, "file")])
        monkeypatch.setattr(control, "shared_sinks", list)
        monkeypatch.setattr(control, "redis_sinks", lambda folder, url: [])
        monkeypatch.setattr(control, "postgres_sinks", none)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"] if BATTERY else ["postgresql"])
async def test_nothing_comes_to_rest_in_two_workers(store: str, request: pytest.FixtureRequest) -> None:
    cases = run.Options().cases if BATTERY else only(SAMPLE)
    if store == "sqlite":
        result = await run.probe_own(run.Options(cases=cases, shared=BATTERY, trace=BATTERY), workers=2)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        with redis_server() as redis:
            options = run.Options(
                postgres=server.create_database(),
                postgres_data=(server.root,) if BATTERY else (),  # a hundred megabytes beside those of other tests
                redis=redis,
                cases=cases,
                shared=BATTERY,
            )
            result = await run.probe_own(options, workers=2)
    assert (result.verdict, result.reasons, result.findings) == (Verdict.CLEAN, (), ())
    assert result.seen_by_others == {}
    assert result.cases > (2000 if BATTERY else 8) and all(result.carried.values())
