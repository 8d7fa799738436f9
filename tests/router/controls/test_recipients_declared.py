"""A host that the policy doesn't name fails the control, whether something was sent to it or the settings name it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from governance import clock
from governance.controls.control import ControlResult, Outcome
from policies import recipients
from router.app import hosts
from router.controls.recipients_declared import RecipientsDeclared
from router.settings import Settings


async def run(
    *seen: str, named: Mapping[str, str] | None = None, operated: Mapping[str, str] | None = None, days: int = 1
) -> ControlResult:
    async def looked_at() -> dict[str, datetime]:
        return dict.fromkeys(seen, clock.now() - timedelta(days=days))

    async def upstream() -> set[str]:
        return {"api.openai.com"}

    control = RecipientsDeclared(recipients.load, looked_at, lambda: named or {}, upstream, lambda: operated or {})
    return await control.run()


async def test_named_recipients_pass() -> None:
    found = await run("api.openai.com", "api.mailgun.net", "api.stripe.com", "127.0.0.1", "::1", "localhost")
    assert found.outcome is Outcome.PASSED and found.examined == 6 and found.counts == {"elsewhere": 3}
    assert (await run()).outcome is Outcome.UNPROVEN


@pytest.mark.parametrize("host", ["collector.example.com", "api.openai.com.evil.example", "10.0.0.7", "api.openai.co"])
async def test_another_host_is_named(host: str) -> None:
    found = await run("api.openai.com", host)
    assert found.failures == (f"Data was sent to {host}, which is no declared recipient's.",)
    assert (await run(host, operated={host: "hosting"})).outcome is Outcome.PASSED
    assert (await run("localhost", host, days=31)).outcome is Outcome.UNPROVEN


async def test_stores_elsewhere_are_to_be_declared() -> None:
    named = {"the data store": "db.example.com", "Redis": "cache.example.com"}
    found = await run("api.openai.com", named=named, operated={"db.example.com": "hosting"})
    assert found.failures == ("The settings name cache.example.com for Redis, which is no declared recipient's.",)


async def test_who_is_no_operators_recipient_cannot_be_claimed() -> None:
    found = await run("tracker.example.com", operated={"tracker.example.com": "stripe"})
    assert found.failures == (
        "tracker.example.com is declared as one of stripe, which the policy doesn't name as the operator's.",
    )


def test_hosts_are_read_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example.com:3128")  # sees nothing but TLS
    settings = Settings(
        home=tmp_path,
        database_url="postgresql://a:b@db.example.com/x",
        redis_url="rediss://:pw@cache.example.com:6379/0",
        recipient_hosts="hosting=DB.example.com, edge=cdn.example.net",
    )
    found = hosts.named(settings)
    assert found == {
        "the data store": "db.example.com",
        "Redis": "cache.example.com",
    }
    assert hosts.operated(settings) == {"db.example.com": "hosting", "cdn.example.net": "edge"}
    with pytest.raises(ValueError, match="recipient=host"):
        Settings(home=tmp_path, recipient_hosts="db.example.com")
