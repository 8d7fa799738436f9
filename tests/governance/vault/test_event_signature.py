"""Signed events: each line stands for itself, for whoever has the public key."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance import events
from governance.db import Database
from governance.vault.event_signature import Verified, sign_events, verify
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]


@pytest.fixture(autouse=True)
def unsigned_again() -> Iterator[None]:
    yield
    events.sign_with(None)


async def test_lines_are_signed_and_an_altered_one_is_found(stores: Stores, event_log: Path) -> None:
    folder = event_log.parent
    events.emit("test:before:keys", {})
    await sign_events(stores[1], folder)
    events.emit("test:line:one", {"text": 'a "signature":" within', "count": 1})
    await events.emit_async("test:line:two", {"count": 2})
    assert verify(folder) == Verified(signed=2, unsigned=1, broken=0)
    assert [json.loads(line)["event"] for line in event_log.read_text().splitlines()][1:] == [
        "test:line:one",
        "test:line:two",
    ]
    event_log.write_bytes(event_log.read_bytes().replace(b'"count":2', b'"count":3'))
    assert verify(folder) == Verified(signed=1, unsigned=1, broken=1)


async def test_another_process_signs_with_the_same_key(stores: Stores, event_log: Path) -> None:
    keys = stores[1]
    await sign_events(keys, event_log.parent)
    events.emit("test:line:one", {})
    await sign_events(KeyStore(keys.db, keys.keyring), event_log.parent)
    events.emit("test:line:two", {})
    assert verify(event_log.parent) == Verified(signed=2, unsigned=0, broken=0)


async def test_lines_from_before_a_key_store_was_restored_are_still_ours(stores: Stores, event_log: Path) -> None:
    """A copy from before the first event lacks its key, and makes another."""
    keys, folder = stores[1], event_log.parent
    await sign_events(keys, folder)
    events.emit("test:line:one", {})
    await keys.destroy([(await keys.service_key("events")).id])
    await sign_events(KeyStore(keys.db, keys.keyring), folder)
    events.emit("test:line:two", {})
    assert verify(folder) == Verified(signed=2, unsigned=0, broken=0)
    (folder / "events.pub").write_text((folder / "events.pub").read_text().splitlines()[-1])
    assert verify(folder) == Verified(signed=1, unsigned=0, broken=1)
