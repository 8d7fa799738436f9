"""What travels in clear, or to an end that nobody verified, fails the control."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from governance.controls.control import ControlResult, Outcome
from router.app import links
from router.controls import transport_encrypted
from router.controls.transport_encrypted import Link, TransportEncrypted
from router.gateway.upstream import HttpxUpstream
from router.providers.catalog import Catalog
from router.settings import Settings
from tests.services import providers

WITNESS = "witness.example+1ab2cd34+BAAA"


async def run(home: Path, **settings: Any) -> ControlResult:
    made = Settings(home=home, **settings)
    catalog = Catalog.load(None, production=False, allow_insecure=True, simulator_url="http://127.0.0.1:9")
    return await TransportEncrypted(lambda: links.of(made, catalog)).run()


async def test_this_machine_alone_passes(tmp_path: Path) -> None:
    found = await run(tmp_path)
    assert found.outcome is Outcome.PASSED, found
    assert found.counts["links"] >= 4


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"database_url": "postgresql://u:p@db.example.com/x"},
        {"keys_url": "postgresql://u:p@db.example.com/x?ssl=require"},
        {"keys_url": "postgresql://u:p@10.0.0.7/x?ssl=verify-ca"},
        {"redis_url": "redis://cache.example.com/0"},
        {"redis_url": "rediss://cache.example.com/0?ssl_cert_reqs=none"},
        {"vault_addr": "http://vault.example.com"},
        {"mailgun_key": "k", "mailgun_domain": "d", "mailgun_url": "http://mail.example.com"},
        {"witnesses": f"http://w.example.com {WITNESS}"},
    ],
)
async def test_each_weak_link_is_named_without_its_address(tmp_path: Path, settings: dict[str, Any]) -> None:
    found = await run(tmp_path, **settings)
    assert found.outcome is Outcome.FAILED and len(found.failures) == 1
    assert "example.com" not in str(found) and "10.0.0.7" not in str(found)


@pytest.mark.parametrize(
    "settings",
    [
        {"database_url": "postgresql://u:p@db.example.com/x?ssl=verify-full"},
        {"database_url": "postgresql://u:p@/x?host=/run/postgresql"},
        {"database_url": "postgresql://u:p@127.0.0.1/x"},
        {"redis_url": "rediss://cache.example.com/0"},
        {"redis_url": "redis://localhost/0"},
        {"mailgun_key": "k", "mailgun_domain": "d"},
        {"witnesses": f"https://w.example.com {WITNESS}"},
    ],
)
async def test_what_is_verified_passes(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert (await run(tmp_path, **settings)).outcome is Outcome.PASSED


async def test_what_a_proxy_does_is_not_claimed(tmp_path: Path) -> None:
    found = await run(tmp_path, host="0.0.0.0", trusted_proxies="10.0.0.1")
    assert found.outcome is Outcome.UNPROVEN and "a proxy ends TLS" in found.missing


async def test_a_provider_in_clear_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(providers.KEY_ENV, providers.KEY)
    file = providers.write(tmp_path / "providers.yaml", "http://upstream.example.com")
    catalog = Catalog.load(file, production=False, allow_insecure=True, simulator_url=None)
    found = await TransportEncrypted(lambda: links.of(Settings(home=tmp_path), catalog)).run()
    assert "The provider openai: plain http to another machine." in found.failures


async def test_a_client_that_verifies_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trusting(HttpxUpstream):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._client = type(self._client)(verify=context, trust_env=False)

    control = TransportEncrypted(lambda: [Link("One")])
    assert (await control.run()).outcome is Outcome.PASSED
    monkeypatch.setattr(transport_encrypted, "HttpxUpstream", Trusting)
    assert (await control.run()).failures == (
        "The client of the providers takes a certificate that nobody vouches for.",
    )
