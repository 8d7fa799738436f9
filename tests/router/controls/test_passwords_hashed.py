"""A password that rests otherwise than as a strong argon2id hash fails the control; the hash itself is never told."""

import hashlib
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher, Type

from governance import clock
from governance.controls.control import Outcome
from governance.datamap import DataUse
from governance.db import Database
from governance.ids import uuid7
from governance.subjects import add_subject, new_subject
from governance.vault.columns import seal
from governance.vault.keys import KeyStore
from router.accounts.account import DEFAULT_TIER, Account
from router.accounts.passwords import NO_PASSWORD, Passwords
from router.accounts.person import Person
from router.accounts.roles import Role
from router.controls.passwords_hashed import PasswordsHashed

Stores = tuple[Database, KeyStore]
PASSWORD = "nobody's horse battery"


async def add_person(stores: Stores, password_hash: str) -> None:
    data, keys = stores
    subject_id, now = await new_subject(keys), clock.now()
    async with data.transaction(DataUse.SERVICE) as session:
        account = Account(id=uuid7(), tier=DEFAULT_TIER, data_policy=None, created_at=now, first_run=False)
        session.add(account)
        add_subject(session, subject_id)
        await session.flush()
        person = Person(
            id=uuid7(), subject_id=subject_id, account_id=account.id, role=Role.USER.value, email_confirmed_at=now,
            created_at=now, first_password=False,
        )  # fmt: skip
        await seal(keys, person, email=f"{subject_id}@example.org", password_hash=password_hash)
        session.add(person)


async def test_hashes_as_the_program_makes_them_pass(stores: Stores) -> None:
    control = PasswordsHashed(stores[0])
    assert (await control.run()).outcome is Outcome.UNPROVEN
    await add_person(stores, NO_PASSWORD)
    found = await control.run()
    assert found.outcome is Outcome.UNPROVEN and found.counts["unset"] == 1
    passwords = Passwords()
    await add_person(stores, await passwords.hash(PASSWORD))
    passwords.close()
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.examined == 1


@pytest.mark.parametrize(
    "made",
    [
        lambda plain: plain,
        lambda plain: hashlib.sha256(plain.encode()).hexdigest(),
        lambda _: "$2b$12$KIXQ1bD1Qx1O6Y1m1b1uUe3pX0b1l8Y2wS3u0Q9aV1c2d3e4f5g6h",
        PasswordHasher(type=Type.I).hash,
        PasswordHasher(memory_cost=1024).hash,
        PasswordHasher(time_cost=1).hash,
        PasswordHasher(hash_len=8).hash,
    ],
    ids=["plain", "sha-256", "bcrypt", "argon2i", "little memory", "one pass", "short"],
)
async def test_anything_else_fails_and_is_not_quoted(stores: Stores, made: Callable[[str], str]) -> None:
    encoded = made(PASSWORD)
    await add_person(stores, encoded)
    found = await PasswordsHashed(stores[0]).run()
    assert found.outcome is Outcome.FAILED and encoded not in str(found)
    assert found.failures == ("1 of 1 passwords that were looked at aren't argon2id hashes of today's strength.",)


async def test_a_sample_takes_the_newest_and_some_of_the_rest(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.controls.passwords_hashed._SAMPLED", 6)
    strong = PasswordHasher().hash(PASSWORD)
    await add_person(stores, "plain and old")
    for _ in range(5):
        await add_person(stores, strong)
    control = PasswordsHashed(stores[0])
    seen: set[Outcome] = set()
    for _ in range(400):
        seen.add((await control.run()).outcome)
        if len(seen) > 1:
            break
    assert seen == {Outcome.PASSED, Outcome.FAILED}  # the old one isn't always taken, and is sooner or later
