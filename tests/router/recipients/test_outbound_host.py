"""Hosts that were sent to are remembered by all processes, once each, and none is lost to a failed write."""

import pytest

from governance import outbound
from governance.db import Database
from governance.vault.keys import KeyStore
from router.recipients import outbound_host

Stores = tuple[Database, KeyStore]


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    outbound.take()


async def test_a_host_is_remembered_once_and_in_one_spelling(stores: Stores) -> None:
    data = stores[0]
    for host in ("api.openai.com", "API.openai.com", "api.openai.com.", "api.stripe.com"):
        outbound.saw(host)
    first = await outbound_host.seen(data)
    assert set(first) == {"api.openai.com", "api.stripe.com"}
    outbound.saw("api.openai.com")
    assert await outbound_host.seen(data) == first
    assert outbound.take() == frozenset()


async def test_what_could_not_be_written_is_kept(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    data = stores[0]
    outbound.saw("api.openai.com")
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(type(data), "transaction", lambda *_: 1 / 0)
        await outbound_host.flush(data)
    assert set(await outbound_host.seen(data)) == {"api.openai.com"}
