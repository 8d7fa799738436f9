"""Signing in: one refusal for every reason, sessions that end, and what else a signed-in person has."""

import time
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import UseRefused
from governance.subjects import DataSubject, SubjectState
from governance.vault.keys import KeyStore
from router.accounts.account import close_account
from router.accounts.desk import Desk
from router.accounts.person import Person, set_role
from router.accounts.roles import Role
from router.accounts.session import SignInSession, find_session, sign_out
from router.accounts.sign_in import SignInFailed, sign_in
from tests.router.accounts.conftest import EMAIL, PASSWORD, Counter, count_hashing, enter, join


async def test_a_session_says_who_is_signed_in(desk: Desk) -> None:
    account_id, subject_id = await join(desk)
    new = await enter(desk, EMAIL.upper())
    found = await find_session(desk.db, new.token)
    assert found is not None
    assert (found.session_id, found.subject_id, found.account_id) == (new.session_id, subject_id, account_id)
    assert (found.role, found.subject_state, found.first_password) == ("user", "active", False)
    assert new.token not in repr(new) and new.token not in repr(found)
    assert (await enter(desk)).token != new.token


async def test_where_it_began_is_sealed_and_opens_for_security_alone(desk: Desk) -> None:
    await join(desk)
    await enter(desk)
    await sign_in(desk, EMAIL, PASSWORD, ip=None, user_agent="x" * 10_000 + "\ud800")
    await sign_in(desk, EMAIL, PASSWORD, ip="2001:db8::1", user_agent="\ud800")
    async with desk.db.session(DataUse.SECURITY) as session:
        rows = list(await session.scalars(select(SignInSession).order_by(SignInSession.id)))
    assert rows[0].ip is not None and rows[0].user_agent is not None
    assert await rows[0].ip.open(DataUse.SECURITY) == "203.0.113.7"
    with pytest.raises(UseRefused):
        await rows[0].user_agent.open(DataUse.ANALYTICS)
    assert rows[1].ip is None and rows[1].user_agent is not None
    assert await rows[1].user_agent.open(DataUse.SECURITY) == "x" * 256


async def test_every_reason_is_one_refusal(desk: Desk, generation: Counter) -> None:
    account_id, _ = await join(desk)
    said = set()

    async def refused(email: str, password: str) -> None:
        with pytest.raises(SignInFailed) as caught:
            await enter(desk, email, password)
        said.add((str(caught.value), caught.value.status, caught.value.code))

    await refused(EMAIL, "wrong password here")
    await refused("stranger@example.org", PASSWORD)
    await refused("no address", PASSWORD)
    await refused(EMAIL, "x" * 5000)
    await refused("\ud800@example.org", "\ud800" * 12)
    await close_account(desk.db, account_id, bump=generation.bump)
    await refused(EMAIL, PASSWORD)
    assert len(said) == 1
    assert generation() == 1


async def test_every_path_verifies_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await join(desk)
    verified = count_hashing(desk.passwords, monkeypatch)
    for email in (EMAIL, "stranger@example.org", "no address"):
        with pytest.raises(SignInFailed):
            await enter(desk, email, "wrong password here")
    assert len(verified) == 3


async def test_a_refusal_takes_its_time(desk: Desk) -> None:
    slow = Desk(desk.db, desk.keys, desk.emails, desk.passwords, desk.links, answer_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(SignInFailed):
        await enter(slow, "stranger@example.org")
    assert time.monotonic() - began >= 0.3


async def test_a_session_ends_by_itself_by_sign_out_and_with_its_account(desk: Desk, generation: Counter) -> None:
    account_id, _ = await join(desk)
    one, two = await enter(desk), await enter(desk)
    await sign_out(desk.db, one.token)
    await sign_out(desk.db, one.token)
    assert await find_session(desk.db, one.token) is None
    later = clock.now() + timedelta(hours=desk.session_hours, seconds=1)
    clock.install(lambda: later)
    try:
        assert await find_session(desk.db, two.token) is None
    finally:
        clock.install(None)
    assert await find_session(desk.db, two.token) is not None
    await close_account(desk.db, account_id, bump=generation.bump)
    assert await find_session(desk.db, two.token) is None


@pytest.mark.parametrize("token", ["", "x" * 43, "\ud800" * 43, "é" * 43])
async def test_no_other_token_is_a_session(desk: Desk, token: str) -> None:
    await join(desk)
    await enter(desk)
    assert await find_session(desk.db, token) is None
    await sign_out(desk.db, token)


async def test_a_restricted_person_signs_in_and_an_erased_one_doesnt(desk: Desk) -> None:
    _, subject_id = await join(desk)

    async def state(value: SubjectState) -> None:
        async with desk.db.transaction(DataUse.SERVICE) as session:
            await session.execute(update(DataSubject).where(DataSubject.id == subject_id).values(state=value.value))

    await state(SubjectState.RESTRICTED)  # Art. 18: they still need to reach us
    new = await enter(desk)
    found = await find_session(desk.db, new.token)
    assert found is not None and found.subject_state == "restricted"
    await state(SubjectState.ERASED)
    assert await find_session(desk.db, new.token) is None
    with pytest.raises(SignInFailed):
        await enter(desk)


async def test_a_role_is_given_and_shows(desk: Desk, generation: Counter) -> None:
    _, subject_id = await join(desk)
    await set_role(desk.db, subject_id, Role.AUDITOR, bump=generation.bump)
    found = await find_session(desk.db, (await enter(desk)).token)
    assert found is not None and found.role == Role.AUDITOR
    assert generation() == 1


async def test_a_hash_of_other_parameters_is_made_anew_at_sign_in(desk: Desk) -> None:
    await join(desk)
    desk.passwords._hasher = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    await enter(desk)

    async def stored() -> str:
        async with desk.db.session(DataUse.AUTHENTICATION) as session:
            person: Person | None = await session.scalar(select(Person))
        assert person is not None
        return await person.password_hash.open(DataUse.AUTHENTICATION)

    first = await stored()
    assert "t=2" in first
    await enter(desk)
    assert await stored() == first


async def test_tokens_and_hashes_rest_apart_from_what_opens_them(desk: Desk, stores: tuple[Database, KeyStore]) -> None:
    await join(desk)
    new = await enter(desk)
    async with desk.db.session(DataUse.AUTHENTICATION) as session:
        row = await session.get(SignInSession, new.session_id)
    assert row is not None and len(row.token_hash) == 32 and new.token.encode() not in row.token_hash
