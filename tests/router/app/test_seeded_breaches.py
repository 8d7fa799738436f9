"""One breach at a time in the home of a real service: its control fails, and so do the promises that rest on it, and no other."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from governance import events
from governance.controls.control import Outcome
from governance.datamap import DataUse
from governance.vault.columns import seal
from governance.vault.purpose import Actor, stating
from policies import attestations, kept, promises
from policies.kept import State
from router.accounts.person import Person
from router.app.controls import kept as runs_of
from router.app.controls import registry
from router.app.stores import opened
from router.probe import program
from router.settings import Settings
from tests.services.valueapi import ValueAPI
from tests.shipped import shipped

PURPOSES = {"2.6", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8", "6.2"}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which people, keys and charges are; nothing runs in it."""
    service = ValueAPI(tmp_path_factory.mktemp("breaches") / "home").start()
    body = {"model": "simulator/gpt", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {service.key}"}
    assert httpx2.post(service.url + "/v1/chat/completions", json=body, headers=headers).status_code == 200
    assert service.stop() == 0
    yield service.home
    events.sign_with(None)  # the stores were opened in this process


@pytest.fixture(autouse=True)
def only_what_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that other tests declare are in no home."""
    for name in ("governance.datamap", "governance.personal_data.columns"):
        monkeypatch.setattr(f"{name}.registry", shipped)


def sql(store: str, statement: str, *values: object) -> Callable[[Path], None]:
    """Past the program, as somebody with the file would."""

    def change(home: Path) -> None:
        file = home / ("data/valueapi.db" if store == "data" else "keys/keys.db")
        with closing(sqlite3.connect(file)) as connection, connection:
            assert connection.execute(statement, values).rowcount > 0

    return change


def logged(line: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        with (home / "log" / "stray.jsonl").open("a") as log:
            log.write(json.dumps({"event": line}) + "\n")

    return change


def nothing(home: Path) -> None:
    """The settings alone are the breach."""


OPENED = "INSERT INTO opening_count (hour, \"column\", use, actor, count) VALUES (strftime('%Y-%m-%d %H:00:00.000000'), ?, ?, ?, 1)"


@dataclass(frozen=True)
class Breach:
    """What is done, what sees it, and which promises fail by it."""

    control: str
    failing: set[str]
    seed: Callable[[Path], None]
    settings: dict[str, Any] = field(default_factory=dict)


BREACHES = {
    "a posting is changed": Breach(
        "ledger-balanced", {"4.3"}, sql("data", "UPDATE posting SET amount_microcredits = amount_microcredits + 1 WHERE rowid = 1")
    ),
    "a charge is raised": Breach(
        "charges-match-usage", {"4.3"}, sql("data", "UPDATE usage SET charge_microcredits = charge_microcredits + 1")
    ),
    "a request went elsewhere": Breach(
        "upstream-as-requested", {"3.3", "4.2", "5.2"}, sql("data", "UPDATE usage SET provider = 'another'")
    ),
    "an address slips into a job's outcome": Breach(
        "undeclared-personal-data", {"2.1", "2.4"},
        sql("data", "INSERT INTO scheduled_job (name, due_at, failures, outcome) VALUES ('j', '2026-11-01 00:00:00', 1, ?)",
            "to anna@example.org"),
    ),
    "a card number is logged": Breach("card-numbers-absent", {"2.3", "2.4"}, logged("paid with 4111111111111111")),
    "an address is stored in clear": Breach(
        "pii-sealed", {"2.2", "7.1", "7.2"}, sql("data", "UPDATE person SET email = ? WHERE rowid = 1", b"anna@example.org")
    ),
    "a value is opened for analytics": Breach(
        "purpose-limited", PURPOSES, sql("data", OPENED, "usage.ip", "analytics.reporting.system", "job")
    ),
    "staff look without a record": Breach(
        "access-logged", {"7.1"}, sql("data", OPENED, "person.email", "essential.service.operations.support", "operator")
    ),
    "people's keys are three years old": Breach(
        "keys-rotated", {"7.1"},
        sql("keys", "UPDATE stored_key SET created_at = ? WHERE kind = 'subject'", "2023-01-01 00:00:00.000000"),
    ),
    "somebody who was erased has a key": Breach(
        "erasure-complete", {"6.1", "8.4"},
        sql("keys", "INSERT INTO tombstone (subject_id, epoch, erased_at) SELECT subject_id, 1, '2026-11-01 00:00:00' "
            "FROM stored_key WHERE basis = 'erasable' LIMIT 1"),
    ),
    "data is sent to a tracker": Breach(
        "recipients-declared", {"2.3", "3.3", "5.2", "5.4"},
        sql("data", "INSERT INTO outbound_host VALUES ('tracker.example.com', strftime('%Y-%m-%d %H:%M:00.000000'), "
            "strftime('%Y-%m-%d %H:%M:00.000000'))"),
    ),
    "Redis is asked in clear": Breach("transport-encrypted", {"7.2"}, nothing, {"redis_url": "redis://cache.example.com/0"}),
}  # fmt: skip


async def judged(settings: Settings, control_id: str) -> tuple[Outcome, set[str]]:
    """How a run of the control ends, and which promises fail by what is recorded then."""
    async with opened(settings) as stores:
        controls, runs = registry(stores), await runs_of(stores)
        with stating(Actor.SYSTEM):
            await runs.run(controls.get(control_id), program.digest())
        latest = await runs.latest()
        shown = kept.shown(promises.load(), controls, latest, await attestations.current(stores.data))
        return latest[control_id].outcome, {each.statement.id for each in shown if each.state is State.FAILING}


@pytest.mark.parametrize("name", BREACHES)
async def test_a_breach_fails_its_control_and_the_promises_on_it(pristine: Path, tmp_path: Path, name: str) -> None:
    breach = BREACHES[name]
    home = shutil.copytree(pristine, tmp_path / "home")
    settings = Settings(home=home)
    assert await judged(settings, breach.control) == (Outcome.PASSED, set())
    breach.seed(home)
    assert await judged(Settings(home=home, **breach.settings), breach.control) == (Outcome.FAILED, breach.failing)


async def test_a_password_in_clear_fails(pristine: Path, tmp_path: Path) -> None:
    home = shutil.copytree(pristine, tmp_path / "home")
    async with opened(Settings(home=home)) as stores:
        async with stores.data.session(DataUse.AUTHENTICATION) as session:
            person = (await session.scalars(select(Person).limit(1))).one()
        with stating(Actor.SYSTEM):
            await seal(stores.keys, person, password_hash="correct horse battery")
        async with stores.data.transaction(DataUse.AUTHENTICATION) as session:
            changed = update(Person).where(Person.id == person.id).values(password_hash=person.password_hash)
            await session.execute(changed.execution_options(synchronize_session=False))
    assert await judged(Settings(home=home), "passwords-hashed") == (Outcome.FAILED, {"2.2"})
