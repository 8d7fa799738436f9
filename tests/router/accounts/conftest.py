"""A desk on both databases, with hashes that are cheap to make: the rules are the same."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from argon2 import PasswordHasher

from governance.db import Database
from governance.mail.outbox import list_outbox, read_mail
from governance.mail.sender import Mail
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore
from router.accounts.desk import Desk, Links
from router.accounts.passwords import Passwords
from router.accounts.session import NewSession
from router.accounts.sign_in import sign_in
from router.accounts.sign_up import confirm, sign_up

EMAIL = "Ada.Lovelace@example.org"
PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_TOKEN = re.compile(r"token=([\w-]+)")


@dataclass
class Counter:
    """A generation as the shared counter is: `bump` moves it, calling it reads it."""

    value: int = 0

    def __call__(self) -> int:
        return self.value

    def bump(self) -> None:
        self.value += 1


@pytest.fixture
async def desk(stores: tuple[Database, KeyStore]) -> AsyncIterator[Desk]:
    data, keys = stores
    passwords = Passwords(CHEAP)
    yield Desk(data, keys, EmailIndex(keys), passwords, Links("https://api.example"), answer_seconds=0)
    passwords.close()


@pytest.fixture
def generation() -> Counter:
    return Counter()


def count_hashing(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """A list that gets an entry per argon2 run from now on: what was verified against, None for a new hash."""
    runs: list[str | None] = []
    work = passwords._work

    def counted(text: str, against: str | None) -> str:
        runs.append(against)
        return work(text, against)

    monkeypatch.setattr(passwords, "_work", counted)
    return runs


async def mails(desk: Desk) -> list[tuple[str, Mail]]:
    """(template, opened mail), the oldest first."""
    entries = reversed(await list_outbox(desk.db))
    return [(entry.template, await read_mail(desk.db, entry.id)) for entry in entries]


async def mailed_token(desk: Desk) -> str:
    """The token in the newest mail."""
    found = _TOKEN.search((await mails(desk))[-1][1].text)
    assert found is not None
    return found[1]


async def join(desk: Desk, email: str = EMAIL, password: str = PASSWORD) -> tuple[UUID, UUID]:
    """Sign up and confirm: (account id, subject id)."""
    await sign_up(desk, email)
    confirmed = await confirm(desk, await mailed_token(desk), password)
    return confirmed.account_id, confirmed.subject_id


async def enter(desk: Desk, email: str = EMAIL, password: str = PASSWORD) -> NewSession:
    return await sign_in(desk, email, password, ip="203.0.113.7", user_agent="Browser/1.0")
