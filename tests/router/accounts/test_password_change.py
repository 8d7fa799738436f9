"""New passwords: by a mailed link or with the old one; what they end, and what they don't tell."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from governance import clock
from governance.datamap import DataUse
from governance.errors import NotFound, Rejected
from governance.ids import uuid7
from router.accounts.desk import Desk
from router.accounts.password_change import RESET_ANSWER, change_password, request_reset, reset
from router.accounts.person import Person, first_passwords
from router.accounts.session import find_session
from router.accounts.sign_in import SignInFailed
from router.accounts.sign_up import confirm, sign_up
from tests.router.accounts.conftest import EMAIL, PASSWORD, enter, join, mailed_token, mails

NEW = "a wholly new password"


async def test_a_link_sets_a_new_password_and_ends_every_session(desk: Desk) -> None:
    _, subject_id = await join(desk)
    before = await enter(desk)
    assert await request_reset(desk, EMAIL.upper()) == RESET_ANSWER
    template, mail = (await mails(desk))[-1]
    assert (template, mail.to) == ("password-reset", EMAIL)
    token = await mailed_token(desk)
    assert await reset(desk, token, NEW) == subject_id
    assert await find_session(desk.db, before.token) is None
    with pytest.raises(SignInFailed):
        await enter(desk)
    await enter(desk, password=NEW)
    assert (await mails(desk))[-1][0] == "password-changed"
    with pytest.raises(Rejected):
        await reset(desk, token, "yet another password")


async def test_an_unknown_address_gets_the_same_answer_and_no_mail(desk: Desk) -> None:
    for address in ("stranger@example.org", "no address", "\ud800@example.org"):
        assert await request_reset(desk, address) == RESET_ANSWER
    assert await mails(desk) == []


async def test_a_lookalike_address_never_receives_the_link(desk: Desk) -> None:
    await join(desk)
    await request_reset(desk, "ａda.lovelace@example.org")  # the same person by NFKC, another mailbox by bytes
    assert (await mails(desk))[-1][1].to == EMAIL


async def test_a_mailbox_isnt_flooded(desk: Desk) -> None:
    await join(desk)
    for _ in range(6):
        await request_reset(desk, EMAIL)
    assert [template for template, _ in await mails(desk)].count("password-reset") == 3


async def test_a_bad_password_keeps_the_link_and_a_used_one_voids_the_others(desk: Desk) -> None:
    await join(desk)
    await request_reset(desk, EMAIL)
    other = await mailed_token(desk)
    await request_reset(desk, EMAIL)
    token = await mailed_token(desk)
    for bad in ("short", EMAIL):
        with pytest.raises(Rejected) as caught:
            await reset(desk, token, bad)
        assert caught.value.field == "password"
    await reset(desk, token, NEW)
    with pytest.raises(Rejected) as caught:
        await reset(desk, other, "yet another password")
    assert caught.value.field == "token"


async def test_a_link_is_for_its_purpose_and_an_hour(desk: Desk) -> None:
    await sign_up(desk, EMAIL)
    confirming = await mailed_token(desk)
    with pytest.raises(Rejected):
        await reset(desk, confirming, NEW)
    await request_reset(desk, EMAIL)
    resetting = await mailed_token(desk)
    with pytest.raises(Rejected):
        await confirm(desk, resetting, NEW)
    later = clock.now() + timedelta(hours=1, seconds=1)
    clock.install(lambda: later)
    try:
        with pytest.raises(Rejected):
            await reset(desk, resetting, NEW)
    finally:
        clock.install(None)
    await reset(desk, resetting, NEW)  # and it confirms: the link was read in that mailbox
    await enter(desk, password=NEW)
    with pytest.raises(Rejected):
        await confirm(desk, confirming, NEW)


async def test_of_two_resets_at_once_one_wins(desk: Desk) -> None:
    await join(desk)
    await request_reset(desk, EMAIL)
    token = await mailed_token(desk)
    passwords = [f"{NEW} {number}" for number in range(4)]
    outcomes = await asyncio.gather(*(reset(desk, token, p) for p in passwords), return_exceptions=True)
    won = [p for p, outcome in zip(passwords, outcomes, strict=True) if not isinstance(outcome, BaseException)]
    assert len(won) == 1
    await enter(desk, password=won[0])


async def test_changing_it_needs_the_old_one_and_ends_the_other_sessions(desk: Desk) -> None:
    _, subject_id = await join(desk)
    async with desk.db.transaction(DataUse.AUTHENTICATION) as session:
        await session.execute(update(Person).values(first_password=True))
    assert await first_passwords(desk.db) == 1
    mine, other = await enter(desk), await enter(desk)
    with pytest.raises(SignInFailed):
        await change_password(desk, subject_id, "wrong password here", NEW, session_id=mine.session_id)
    with pytest.raises(Rejected):
        await change_password(desk, subject_id, PASSWORD, "short", session_id=mine.session_id)
    assert await first_passwords(desk.db) == 1
    await change_password(desk, subject_id, PASSWORD, NEW, session_id=mine.session_id)
    assert await first_passwords(desk.db) == 0
    assert await find_session(desk.db, mine.token) is not None
    assert await find_session(desk.db, other.token) is None
    await enter(desk, password=NEW)
    with pytest.raises(NotFound):
        await change_password(desk, uuid7(), PASSWORD, NEW, session_id=mine.session_id)


async def test_the_answer_takes_its_time(desk: Desk) -> None:
    slow, loop = replace(desk, answer_seconds=0.2), asyncio.get_running_loop()
    for address in ("stranger@example.org", "no address"):
        began = loop.time()
        await request_reset(slow, address)
        assert loop.time() - began >= 0.19
