"""SIGKILL at random points of concurrent spending: the book balances, no charge twice, no settled charge lost.

`BATTERY=1` kills 50 times instead of 5.
"""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from governance.datamap import DataUse
from governance.db import Database
from governance.vault.keys import KeyStore
from router.billing import lease, ledger
from router.billing.commit import Committer
from router.billing.ledger import CREDIT, AccountKind, LedgerAccount, LedgerEntry, ledger_account_id
from router.billing.usage_log import Usage
from tests.router.billing.book import IP, USER_AGENT, Customer, customer

KILLS = 50 if os.environ.get("BATTERY") else 5
GRANT = 1000 * CREDIT


async def spend_until_killed(plan: dict[str, str], seed: int) -> list[str]:
    """A child's lines before it was killed: each says that a settle had returned."""
    chance = random.Random(seed)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.router.billing.spender", json.dumps(plan | {"seed": str(seed)}),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    out = b""
    wanted = chance.randrange(1, 400)
    async with asyncio.timeout(60):
        while out.count(b"\n") < wanted:
            chunk = await child.stdout.read(512)
            assert chunk, "the child ended before it was killed"
            out += chunk
    child.send_signal(signal.SIGKILL)
    out += await child.stdout.read()
    assert await child.wait() == -signal.SIGKILL
    # A last line without its end was never fully said.
    return out.decode().rpartition("\n")[0].splitlines()


async def check(db: Database, made: Customer, said: dict[str, int]) -> int:
    async with db.session(DataUse.PAYMENT) as session:
        assert (await ledger.verify(session)).ok
        assert await lease.differences(session) == []
        rows = {str(row.id): row for row in await session.scalars(select(Usage))}
        entries = set(await session.scalars(select(LedgerEntry.idempotency_key).where(LedgerEntry.kind == "charge")))
        revenue = await session.get(LedgerAccount, ledger_account_id(AccountKind.REVENUE))
        balance = await ledger.balance(session, made.account_id)
    assert [name for name in said if name not in rows] == []
    assert [name for name, charge in said.items() if rows[name].charge_microcredits != charge] == []
    charged = {ledger.key_hash(f"charge:{name}") for name, row in rows.items() if row.charge_microcredits}
    assert entries == charged
    spent = sum(row.charge_microcredits for row in rows.values())
    assert revenue is not None
    assert revenue.balance_microcredits == spent
    assert balance == GRANT - spent
    return len(rows)


@pytest.mark.timeout(1200)
async def test_killed_processes_lose_and_double_nothing(stores: tuple[Database, KeyStore], tmp_path: Path) -> None:
    db, keys = stores
    made = await customer(db, keys, GRANT)
    plan = {
        "home": str(tmp_path), "data": db.engine.url.render_as_string(hide_password=False),
        "keys": keys.db.engine.url.render_as_string(hide_password=False),
        "subject": str(made.subject_id), "account": str(made.account_id),
    }  # fmt: skip
    folder = tmp_path / "data" / "journal"
    said: dict[str, int] = {}
    left = 0
    for number in range(KILLS):
        # Two at a time: the survivor adopts what the killed one left, while it is killed itself.
        for lines in await asyncio.gather(*(spend_until_killed(plan, number * 2 + side) for side in range(2))):
            for line in lines:
                name, charge = line.split()
                assert name not in said
                said[name] = int(charge)
        left += len(list(folder.glob("*.journal")))
        if number % 2:
            # In between the next children adopt, and may be killed at it.
            continue
        await Committer(db, keys, folder).adopt_orphans()
        assert await check(db, made, said) >= len(said)
    await Committer(db, keys, folder).adopt_orphans()
    assert await check(db, made, said) >= len(said) > KILLS
    assert left > 0, "no journal was ever left behind: this test kills too late"
    assert [path.name for path in folder.iterdir()] == ["folder.id"]
    async with db.session(DataUse.PAYMENT) as session:
        assert await session.scalar(select(lease.Lease.id).where(lease.Lease.state == "open").limit(1)) is None
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert IP.encode() not in content
            assert USER_AGENT.encode() not in content
