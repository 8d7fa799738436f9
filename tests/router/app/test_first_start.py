"""What all workers of a first start do at once is done once, and ends none of them."""

import asyncio
from datetime import timedelta

import pytest

from governance import clock
from governance.bodies import attestation
from governance.db import Database
from governance.jobs import due
from governance.vault.keys import KeyStore
from policies import versions

Stores = tuple[Database, KeyStore]
WORKERS = 8


@pytest.mark.parametrize("stores", ["postgresql"], indirect=True)
async def test_workers_that_start_at_once_all_start(stores: Stores) -> None:
    """On PostgreSQL: SQLite has one writer at a time."""
    data, keys = stores
    for _ in range(5):
        await asyncio.gather(*(attestation.signer(data, keys) for _ in range(WORKERS)))
        jobs = {f"job-{number}": clock.now() + timedelta(hours=1) for number in range(20)}
        await asyncio.gather(*(due.declare(data, jobs) for _ in range(WORKERS)))
        await asyncio.gather(*(versions.seed(data, versions.shipped()) for _ in range(WORKERS)))
        assert len(await due.states(data)) == 20 and len(await versions.history(data)) == 1
        assert len((await attestation.key_set(data))["keys"]) == 1
        await due.declare(data, {})
