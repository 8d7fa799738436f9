"""A serving process for tests: many tasks spend one account's Credits until none are left or it is killed.

`python -m tests.router.billing.spender JSON`: stores, folders and the account; prints a line `request-id charge` after
each settle returned, and `done reserved-refusals` at the end.
"""

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from uuid import UUID

from governance.db import Database
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from governance.vault.purpose import Actor, stating
from router.billing.purse import Purse, PurseLimits
from router.errors import TooFewCredits, Unavailable
from tests.router.billing.book import Customer, Signal

TASKS = 16


async def spend(purse: Purse, made: Customer, chance: random.Random) -> None:
    while True:
        need = chance.randrange(1, 2000)
        try:
            reservation = await purse.reserve(made.account_id, need)
        except TooFewCredits:
            return
        except Unavailable:
            await asyncio.sleep(0.05)
            continue
        await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01)))
        if chance.random() < 0.1:
            purse.release(reservation)
            continue
        event = made.event(chance.randrange(need + 1))
        purse.settle(reservation, event, made.key)
        os.write(1, f"{event.request_id} {event.charge_microcredits}\n".encode())


async def main(plan: dict[str, str]) -> None:
    home = Path(plan["home"])
    db, keys_db = Database(plan["data"]), Database(plan["keys"])
    keys = KeyStore(keys_db, FileKeyring(home / "keys" / "root.key"))
    db.context["keys"] = keys
    subject_id = UUID(plan["subject"])
    with stating(Actor.GATEWAY):
        made = Customer(await keys.subject_key(subject_id), subject_id)
    made.account_id = UUID(plan["account"])
    limits = PurseLimits(spare_microcredits=20_000, tick_s=0.01, adopt_every_s=0.1)
    purse = await Purse.open(db, keys, home / "data" / "journal", Signal(home / "recall"), limits)
    chance = random.Random(plan["seed"])
    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(spend(purse, made, chance))
    await purse.aclose()
    await db.aclose()
    await keys_db.aclose()
    os.write(1, b"done\n")


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
