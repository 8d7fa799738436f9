"""SIGKILL at random points of every rotation, again and again: it ends, every value opens, and no old key is left."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import select

from governance import clock
from governance.datamap import METADATA, DataUse, Store
from governance.db import Database
from governance.ids import uuid7
from governance.mail.outbox import OutboxMail
from governance.vault import keytree, restored, rotation
from governance.vault.blind_index import EmailIndex
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from governance.vault.mirrors import DataMirror, LogMirror
from governance.vault.purpose import Actor, Bulk, Grant, stating
from governance.vault.rotation import What
from tests.governance.backup.rows import add_mail
from tests.services.postgres import Postgres

KILLS = 20 if os.environ.get("BATTERY") else 3
PEOPLE = 60
FAN = 4  # many nodes for few people


def stores(home: Path, urls: tuple[str, str]) -> tuple[Database, KeyStore]:
    data, keys_db = Database(urls[0]), Database(urls[1])
    mirrors = DataMirror(data), LogMirror(home)
    keys = KeyStore(keys_db, FileKeyring.create(home / "root.key"), mirrors=mirrors)
    data.context["keys"] = keys
    return data, keys


async def close(data: Database, keys: KeyStore) -> None:
    await data.aclose()
    await keys.db.aclose()


async def fill(home: Path, urls: tuple[str, str]) -> None:
    data, keys = stores(home, urls)
    for db, store in ((data, Store.DATA), (keys.db, Store.KEYS)):
        async with db.engine.begin() as connection:
            await connection.run_sync(METADATA[store].create_all)
    for number in range(PEOPLE):
        subject = await add_mail(data, keys, f"person {number}")
        await EmailIndex(keys).add(f"person{number}@example.org", subject)
    await close(data, keys)


async def rotate(home: Path, urls: tuple[str, str], what: What) -> None:
    """What the killed process runs: first what every start does, then the command."""
    data, keys = stores(home, urls)
    await restored.reconcile(keys, data)
    with stating(Actor.OPERATOR, granted=Grant(Bulk.ROTATION)):
        async for _ in rotation.rotate(what, keys, data):
            sys.stdout.write(".")
            sys.stdout.flush()
    await close(data, keys)


async def judge(home: Path, urls: tuple[str, str], what: What) -> None:
    data, keys = stores(home, urls)
    done = await rotation.last(what, keys)
    assert done is not None and done.finished_at is not None and await rotation.left(done, keys) == 0
    later = clock.now() + rotation.GRACE + timedelta(seconds=1)
    clock.install(lambda: later)
    try:
        await rotation.retire(keys, data, None)
    finally:
        clock.install(None)
    assert {row["replaced"] for row in await keys.counts()} == {0}
    assert len(await keys.keyring.root_ids()) == 1
    async with data.session(DataUse.NOTICES) as session:
        mails = [await session.get_one(OutboxMail, mail) for mail in await session.scalars(select(OutboxMail.id))]
    assert {await mail.body.open(DataUse.NOTICES) for mail in mails} == {f"person {number}" for number in range(PEOPLE)}
    found = {await EmailIndex(keys).find(f"person{number}@example.org") for number in range(PEOPLE)}
    assert found == {mail.subject_id for mail in mails}
    newcomer = uuid7()
    await keys.create_subject_key(newcomer)
    await close(data, keys)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("database", "what"),
    list(product(("sqlite", "postgresql"), What))
    if os.environ.get("BATTERY")
    else [("sqlite", What.KEK), ("postgresql", What.SUBJECTS), ("sqlite", What.INDEX)],
)
def test_a_rotation_survives_sigkill(
    what: What,
    database: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keytree, "FAN", FAN)
    if database == "sqlite":
        urls = (f"sqlite+aiosqlite:///{tmp_path}/data.db", f"sqlite+aiosqlite:///{tmp_path}/keys.db")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        urls = (server.create_database(), server.create_database())
    asyncio.run(fill(tmp_path, urls))
    command = [sys.executable, "-m", "tests.battery.test_kill_rotation", str(tmp_path), *urls, what]
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.read(1)  # it has begun
        time.sleep(random.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    asyncio.run(judge(tmp_path, urls, what))


if __name__ == "__main__":
    keytree.FAN = FAN
    asyncio.run(rotate(Path(sys.argv[1]), (sys.argv[2], sys.argv[3]), What(sys.argv[4])))
