"""Sign-up and confirmation: what comes of it, what nobody learns, and crashes between its durable steps."""

import asyncio
import time
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from governance import clock, sinks
from governance.datamap import DataUse
from governance.errors import Rejected, Withheld
from governance.subjects import DataSubject
from governance.vault.blind_index import EmailIndex
from governance.vault.columns import seal
from router.accounts import sign_up as module
from router.accounts.account import Account, list_accounts
from router.accounts.desk import Desk
from router.accounts.password_change import request_reset, reset
from router.accounts.passwords import NO_PASSWORD
from router.accounts.person import Person, list_people, open_email
from router.accounts.sign_in import SignInFailed
from router.accounts.sign_up import ANSWER, confirm, sign_up
from tests.router.accounts.conftest import EMAIL, PASSWORD, count_hashing, enter, join, mailed_token, mails
from tests.services.guarding import guarding


async def count(desk: Desk, model: Any) -> int:
    async with desk.db.session(DataUse.SERVICE) as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


async def test_from_sign_up_to_signed_in(desk: Desk) -> None:
    assert await sign_up(desk, f" {EMAIL} ") == ANSWER
    ((template, mail),) = await mails(desk)
    assert (template, mail.to) == ("confirm", EMAIL)
    assert "https://api.example/portal/confirm?token=" in mail.text
    confirmed = await confirm(desk, await mailed_token(desk), PASSWORD)
    assert (await enter(desk)).subject_id == confirmed.subject_id
    (person,) = await list_people(desk.db)
    assert (person.role, person.first_password, person.account_id) == ("user", False, confirmed.account_id)
    (account,) = await list_accounts(desk.db)
    assert (account.tier, account.first_run, account.closed_at) == ("free", False, None)
    assert await open_email(desk.db, person.subject_id, DataUse.SERVICE) == EMAIL


async def test_a_known_address_gets_the_same_answer_and_its_owner_a_mail(desk: Desk) -> None:
    await join(desk)
    for written in (EMAIL, EMAIL.upper(), "ａda.lovelace@example.org"):
        assert await sign_up(desk, written) == ANSWER
    assert [(template, mail.to) for template, mail in await mails(desk)] == [
        ("confirm", EMAIL),
        ("existing-account", EMAIL),  # one an hour, however often it is tried
    ]
    assert await count(desk, Person) == await count(desk, Account) == 1
    await enter(desk)


async def test_before_the_confirmation_no_password_is_right(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await sign_up(desk, EMAIL)
    hashed = count_hashing(desk.passwords, monkeypatch)
    for password in ("", PASSWORD, NO_PASSWORD):
        with pytest.raises(SignInFailed):
            await enter(desk, password=password)
    assert len(hashed) == 3  # and it takes as long as a wrong one


async def test_a_stranger_who_signs_up_with_an_address_gets_no_way_in(desk: Desk) -> None:
    """A password that was there before the owner confirmed, as earlier releases took one, ends with the confirmation."""
    await sign_up(desk, EMAIL)
    stranger = "password of a stranger"
    async with desk.db.transaction(DataUse.AUTHENTICATION) as session:
        person = (await session.scalars(select(Person))).one()
        await seal(desk.keys, person, password_hash=await desk.passwords.hash(stranger))
    with pytest.raises(SignInFailed):
        await enter(desk, password=stranger)
    await confirm(desk, await mailed_token(desk), PASSWORD)
    with pytest.raises(SignInFailed):
        await enter(desk, password=stranger)
    await enter(desk)


async def test_what_isnt_an_address_is_said_before_anything_is_looked_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmailIndex, "find", None)
    with pytest.raises(Rejected) as caught:
        await sign_up(desk, "nobody")
    assert caught.value.field == "email"


async def test_a_bad_password_keeps_the_link(desk: Desk) -> None:
    await sign_up(desk, EMAIL)
    token = await mailed_token(desk)
    for bad in ("short", EMAIL):
        with pytest.raises(Rejected) as caught:
            await confirm(desk, token, bad)
        assert caught.value.field == "password"
    await confirm(desk, token, PASSWORD)
    await enter(desk)


async def test_a_confirmation_voids_a_link_to_a_new_password(desk: Desk) -> None:
    await sign_up(desk, EMAIL)
    token = await mailed_token(desk)
    await request_reset(desk, EMAIL)
    resetting = await mailed_token(desk)
    await confirm(desk, token, PASSWORD)
    with pytest.raises(Rejected):
        await reset(desk, resetting, "a password of much later")
    assert "password-changed" not in [template for template, _ in await mails(desk)]


@pytest.mark.parametrize("known", [True, False])
async def test_the_answer_takes_its_time_whatever_the_path(
    desk: Desk, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if known:
        await sign_up(desk, EMAIL)
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
    await sign_up(replace(desk, answer_seconds=30.0), EMAIL)
    worked = time.monotonic() - began
    (rest,) = waited
    assert 30.0 - worked <= rest <= 30.0  # so that work and wait are 30 seconds together


async def test_a_link_works_once_and_for_a_day(desk: Desk) -> None:
    await sign_up(desk, EMAIL)
    token = await mailed_token(desk)
    for wrong in ("", token[:-1], token + "x", "\ud800"):
        with pytest.raises(Rejected):
            await confirm(desk, wrong, PASSWORD)
    later = clock.now() + timedelta(hours=24, seconds=1)
    clock.install(lambda: later)
    try:
        with pytest.raises(Rejected) as caught:
            await confirm(desk, token, PASSWORD)
    finally:
        clock.install(None)
    assert caught.value.field == "token" and token not in str(caught.value)
    await confirm(desk, token, PASSWORD)
    with pytest.raises(Rejected):
        await confirm(desk, token, PASSWORD)


async def test_of_many_confirmations_at_once_one_wins(desk: Desk) -> None:
    await sign_up(desk, EMAIL)
    token = await mailed_token(desk)
    passwords = [f"{PASSWORD} {number}" for number in range(8)]
    outcomes = await asyncio.gather(*(confirm(desk, token, each) for each in passwords), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Confirmed"] + ["Rejected"] * 7
    (won,) = [each for each, outcome in zip(passwords, outcomes, strict=True) if not isinstance(outcome, Rejected)]
    await enter(desk, password=won)


async def test_of_both_links_at_once_one_wins(desk: Desk) -> None:
    """Each makes the other worthless: neither waits for the other for ever."""
    for number in range(6):
        email = f"ada{number}@example.org"
        await sign_up(desk, email)
        confirming = await mailed_token(desk)
        await request_reset(desk, email)
        resetting = await mailed_token(desk)
        outcomes = await asyncio.gather(
            confirm(desk, confirming, PASSWORD), reset(desk, resetting, PASSWORD), return_exceptions=True
        )
        assert sum(isinstance(outcome, Rejected) for outcome in outcomes) == 1, outcomes
        assert sum(isinstance(outcome, BaseException) for outcome in outcomes) == 1, outcomes
        await enter(desk, email)


async def test_of_many_sign_ups_at_once_one_makes_the_account(desk: Desk) -> None:
    answers = await asyncio.gather(*(sign_up(desk, EMAIL) for _ in range(6)))
    assert answers == [ANSWER] * 6
    assert await count(desk, Person) == await count(desk, Account) == await count(desk, DataSubject) == 1
    (link,) = [mail.text.split("token=")[1].split()[0] for template, mail in await mails(desk) if template == "confirm"]
    await confirm(desk, link, PASSWORD)
    await enter(desk)


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
            await sign_up(desk, EMAIL)
    assert await sign_up(desk, EMAIL) == ANSWER
    links = [mail.text.split("token=")[1].split()[0] for template, mail in await mails(desk) if template == "confirm"]
    assert len(links) == 1
    await confirm(desk, links[0], PASSWORD)
    await enter(desk)
    assert await count(desk, Person) == await count(desk, Account) == 1


VICTIM = "bartholomew.finch.f\u00e9atherstone@company.example.org"


@pytest.mark.parametrize(
    "typed", ["\uff42" + VICTIM[1:], unicodedata.normalize("NFD", VICTIM), VICTIM.replace("fi", "\ufb01")]
)
async def test_an_address_in_a_prompt_is_the_owners_however_it_is_typed(desk: Desk, typed: str) -> None:
    """What the house makes of what was typed was given with it."""
    with guarding(VICTIM) as guard, sinks.given(lambda: [typed]):
        assert await sign_up(desk, typed) == ANSWER
        assert not guard.places
    assert [(template, mail.to) for template, mail in await mails(desk)] == [("confirm", VICTIM)]
    (person,) = await list_people(desk.db)
    assert await open_email(desk.db, person.subject_id, DataUse.SERVICE) == VICTIM


async def test_an_address_is_stored_as_it_is_or_not_at_all(desk: Desk) -> None:
    """Of an address that wasn't given nothing is half done, and its owner can sign up afterwards."""
    with guarding(VICTIM):
        with pytest.raises(Withheld):
            await sign_up(desk, VICTIM)
        assert await count(desk, Person) == await count(desk, Account) == 0 and await mails(desk) == []
    assert await sign_up(desk, VICTIM) == ANSWER
    assert [(template, mail.to) for template, mail in await mails(desk)] == [("confirm", VICTIM)]
    (person,) = await list_people(desk.db)
    assert await open_email(desk.db, person.subject_id, DataUse.SERVICE) == VICTIM
