"""Sign-up and confirmation: what comes of it, what nobody learns, and crashes between its durable steps."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from governance import clock
from governance.datamap import DataUse
from governance.errors import Rejected
from governance.subjects import DataSubject
from governance.vault.blind_index import EmailIndex
from router.accounts import sign_up as module
from router.accounts.account import Account, list_accounts
from router.accounts.desk import Desk
from router.accounts.person import Person, list_people, open_email
from router.accounts.sign_in import EmailUnconfirmed, SignInFailed
from router.accounts.sign_up import ANSWER, confirm, sign_up
from tests.router.accounts.conftest import EMAIL, PASSWORD, count_hashing, enter, join, mailed_token, mails


async def count(desk: Desk, model: Any) -> int:
    async with desk.db.session(DataUse.SERVICE) as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


async def test_from_sign_up_to_signed_in(desk: Desk) -> None:
    assert await sign_up(desk, f" {EMAIL} ", PASSWORD) == ANSWER
    with pytest.raises(EmailUnconfirmed):
        await enter(desk)
    ((template, mail),) = await mails(desk)
    assert (template, mail.to) == ("confirm", EMAIL)
    assert "https://api.example/portal/confirm?token=" in mail.text
    confirmed = await confirm(desk, await mailed_token(desk))
    assert (await enter(desk)).subject_id == confirmed.subject_id
    (person,) = await list_people(desk.db)
    assert (person.role, person.first_password, person.account_id) == ("user", False, confirmed.account_id)
    (account,) = await list_accounts(desk.db)
    assert (account.tier, account.first_run, account.closed_at) == ("free", False, None)
    assert await open_email(desk.db, person.subject_id, DataUse.SERVICE) == EMAIL


async def test_a_known_address_gets_the_same_answer_and_its_owner_a_mail(desk: Desk) -> None:
    await join(desk)
    for written in (EMAIL, EMAIL.upper(), "ａda.lovelace@example.org"):
        assert await sign_up(desk, written, "another password of mine") == ANSWER
    assert [(template, mail.to) for template, mail in await mails(desk)] == [
        ("confirm", EMAIL),
        ("existing-account", EMAIL),  # one an hour, however often it is tried
    ]
    assert await count(desk, Person) == await count(desk, Account) == 1
    with pytest.raises(SignInFailed):
        await enter(desk, password="another password of mine")
    await enter(desk)


async def test_an_unconfirmed_account_cant_be_taken_over_by_signing_up_again(desk: Desk) -> None:
    await sign_up(desk, EMAIL, PASSWORD)
    token = await mailed_token(desk)
    await sign_up(desk, EMAIL, "password of an attacker")
    await confirm(desk, token)
    with pytest.raises(SignInFailed):
        await enter(desk, password="password of an attacker")
    await enter(desk)


@pytest.mark.parametrize(("email", "password", "field"), [("nobody", PASSWORD, "email"), (EMAIL, "short", "password")])
async def test_bad_input_is_said_before_anything_is_looked_up(
    desk: Desk, email: str, password: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmailIndex, "find", None)
    with pytest.raises(Rejected) as caught:
        await sign_up(desk, email, password)
    assert caught.value.field == field


async def test_both_paths_hash_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = count_hashing(desk.passwords, monkeypatch)
    await sign_up(desk, EMAIL, PASSWORD)
    await sign_up(desk, EMAIL, PASSWORD)
    assert len(hashed) == 2


@pytest.mark.parametrize("known", [True, False])
async def test_the_answer_takes_its_time_whatever_the_path(
    desk: Desk, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if known:
        await sign_up(desk, EMAIL, PASSWORD)
    waited: list[float] = []
    sleep = asyncio.sleep

    ours = asyncio.get_running_loop()

    async def watch(seconds: float) -> None:
        # A simulator of this worker sleeps too, on a loop of its own.
        if asyncio.get_running_loop() is not ours:
            return await sleep(seconds)
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", watch)
    began = time.monotonic()
    await sign_up(replace(desk, answer_seconds=30.0), EMAIL, PASSWORD)
    worked = time.monotonic() - began
    (rest,) = waited
    assert 30.0 - worked <= rest <= 30.0  # so that work and wait are 30 seconds together


async def test_a_link_works_once_and_for_a_day(desk: Desk) -> None:
    await sign_up(desk, EMAIL, PASSWORD)
    token = await mailed_token(desk)
    for wrong in ("", token[:-1], token + "x", "\ud800"):
        with pytest.raises(Rejected):
            await confirm(desk, wrong)
    later = clock.now() + timedelta(hours=24, seconds=1)
    clock.install(lambda: later)
    try:
        with pytest.raises(Rejected) as caught:
            await confirm(desk, token)
    finally:
        clock.install(None)
    assert caught.value.field == "token" and token not in str(caught.value)
    await confirm(desk, token)
    with pytest.raises(Rejected):
        await confirm(desk, token)


async def test_of_many_confirmations_at_once_one_wins(desk: Desk) -> None:
    await sign_up(desk, EMAIL, PASSWORD)
    token = await mailed_token(desk)
    outcomes = await asyncio.gather(*(confirm(desk, token) for _ in range(8)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Confirmed"] + ["Rejected"] * 7


async def test_of_many_sign_ups_at_once_one_makes_the_account(desk: Desk) -> None:
    passwords = [f"{PASSWORD} {number}" for number in range(6)]
    answers = await asyncio.gather(*(sign_up(desk, EMAIL, password) for password in passwords))
    assert answers == [ANSWER] * 6
    assert await count(desk, Person) == await count(desk, Account) == await count(desk, DataSubject) == 1
    await confirm(desk, next(m.text.split("token=")[1].split()[0] for t, m in await mails(desk) if t == "confirm"))
    entered = await asyncio.gather(*(enter(desk, password=p) for p in passwords), return_exceptions=True)
    assert sum(isinstance(outcome, SignInFailed) for outcome in entered) == 5


class Killed(BaseException):
    """What a crash looks like from inside."""


def crash(after: bool, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def step(*arguments: Any) -> Any:
        if after:
            await real(*arguments)
        raise Killed

    return step


@pytest.mark.parametrize("after", [False, True], ids=["lost", "done-but-killed"])
@pytest.mark.parametrize("step", ["new_subject", "emails.add", "_create"])
async def test_a_crash_at_any_durable_step_leaves_an_address_that_can_sign_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    with monkeypatch.context() as patched:
        if step == "emails.add":
            patched.setattr(EmailIndex, "add", crash(after, EmailIndex.add))
        else:
            patched.setattr(module, step, crash(after, getattr(module, step)))
        with pytest.raises(Killed):
            await sign_up(desk, EMAIL, PASSWORD)
    assert await sign_up(desk, EMAIL, PASSWORD) == ANSWER
    links = [mail.text.split("token=")[1].split()[0] for template, mail in await mails(desk) if template == "confirm"]
    assert len(links) == 1
    await confirm(desk, links[0])
    await enter(desk)
    assert await count(desk, Person) == await count(desk, Account) == 1
