"""The first start's people and keys: complete, usable, and never a second usable set after a crash."""

from uuid import UUID

import pytest
from sqlalchemy import func, select

from governance.datamap import DataUse
from governance.errors import KeyGone
from governance.mail.outbox import OutboxMail
from governance.vault.blind_index import BlindIndex
from router.accounts import first_run as module
from router.accounts.account import Account, list_accounts
from router.accounts.api_key import ApiKey, ApiKeys
from router.accounts.desk import Desk
from router.accounts.directory import KeyDirectory
from router.accounts.first_run import PEOPLE, FirstRun, make_first_run
from router.accounts.password_change import change_password, request_reset
from router.accounts.person import Person, first_passwords, list_people
from router.accounts.session import find_session
from router.accounts.sign_in import SignInFailed
from router.errors import InvalidKey
from tests.router.accounts.conftest import Counter, enter


class Grants(list[UUID]):
    """Remembers which accounts were given Credits, and fails when told."""

    broken = False

    async def __call__(self, account_id: UUID) -> None:
        self.append(account_id)
        if self.broken:
            raise ConnectionError


def sign_in_data(made: FirstRun, name: str) -> dict[str, str]:
    found = made[name]
    assert isinstance(found, dict)
    return found


async def start(desk: Desk, grants: Grants) -> FirstRun:
    return await make_first_run(desk.db, desk.keys, desk.passwords, grants)


async def usable(desk: Desk, made: FirstRun) -> int:
    """How many of a first run's sign-ins work."""
    count = 0
    for name in PEOPLE:
        try:
            await enter(desk, **sign_in_data(made, name))
            count += 1
        except SignInFailed:
            pass
    return count


async def test_it_makes_what_first_run_json_holds(desk: Desk, generation: Counter) -> None:
    grants = Grants()
    made = await start(desk, grants)
    assert list(made) == ["api_key", "api_key_without_credits", *PEOPLE]
    roles = {}
    for name, role in PEOPLE.items():
        data = sign_in_data(made, name)
        assert list(data) == ["email", "password"] and data["email"].endswith("@first-run.example")
        found = await find_session(desk.db, (await enter(desk, **data)).token)
        assert found is not None and found.first_password
        roles[name] = found.role
        assert found.role == role
    assert roles["legal"] == roles["approver"] == "legal"
    assert await first_passwords(desk.db) == len(PEOPLE) == 6
    directory = KeyDirectory(desk.db, desk.keys, generation)
    rich, poor = await directory.find(str(made["api_key"])), await directory.find(str(made["api_key_without_credits"]))
    assert grants == [rich.account_id] and poor.account_id != rich.account_id
    user = await find_session(desk.db, (await enter(desk, **sign_in_data(made, "user"))).token)
    assert user is not None and (user.account_id, user.subject_id) == (rich.account_id, rich.subject_id)


async def test_an_unwritten_run_is_removed_by_the_next(desk: Desk, generation: Counter) -> None:
    first = await start(desk, Grants())
    await request_reset(desk, sign_in_data(first, "user")["email"])
    await enter(desk, **sign_in_data(first, "legal"))
    second = await start(desk, Grants())
    assert await usable(desk, first) == 0
    assert await usable(desk, second) == 6
    directory = KeyDirectory(desk.db, desk.keys, generation)
    for key in ("api_key", "api_key_without_credits"):
        with pytest.raises(InvalidKey):
            await directory.find(str(first[key]))
        await directory.find(str(second[key]))
    async with desk.db.session(DataUse.SUPPORT) as session:
        counts = [
            await session.scalar(select(func.count()).select_from(table)) for table in (Person, ApiKey, OutboxMail)
        ]
    assert counts == [6, 2, 0]
    async with desk.keys.db.session(DataUse.AUTHENTICATION) as session:
        assert await session.scalar(select(func.count()).select_from(BlindIndex)) == 6
    assert sum(account.closed_at is None for account in await list_accounts(desk.db)) == 7


async def test_a_crash_before_the_grant_is_answered_starts_anew(desk: Desk) -> None:
    grants = Grants()
    grants.broken = True
    with pytest.raises(ConnectionError):
        await start(desk, grants)
    grants.broken = False
    made = await start(desk, grants)
    assert await usable(desk, made) == 6
    assert len(await list_people(desk.db)) == 6
    assert len(set(grants)) == 2  # the second grant is another account's; the first account is closed
    async with desk.db.session(DataUse.SUPPORT) as session:
        account = await session.get(Account, grants[0])
    assert account is not None and account.closed_at is not None


@pytest.mark.parametrize("step", ["new_subject", "add_key", "seal", "remove_first_run"])
async def test_a_crash_in_the_middle_starts_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    first = await start(desk, Grants())
    with monkeypatch.context() as patched:
        real, calls = getattr(module, step), 0

        async def killed(*arguments: object, **values: object) -> object:
            nonlocal calls
            calls += 1
            done = await real(*arguments, **values)
            if calls == (1 if step == "remove_first_run" else 2):
                raise KeyboardInterrupt
            return done

        patched.setattr(module, step, killed)
        with pytest.raises(KeyboardInterrupt):
            await start(desk, Grants())
    made = await start(desk, Grants())
    assert (await usable(desk, first), await usable(desk, made)) == (0, 6)
    assert len(await list_people(desk.db)) == 6


async def test_whoever_chose_a_password_is_kept(desk: Desk, generation: Counter) -> None:
    first = await start(desk, Grants())
    data = sign_in_data(first, "user")
    session = await enter(desk, **data)
    new = "a password of my own"
    await change_password(desk, session.subject_id, data["password"], new, session_id=session.session_id)
    assert await first_passwords(desk.db) == 5
    await start(desk, Grants())
    await enter(desk, data["email"], new)
    directory = KeyDirectory(desk.db, desk.keys, generation)
    await directory.find(str(first["api_key"]))
    await directory.find(str(first["api_key_without_credits"]))
    assert await usable(desk, first) == 0  # the others are gone, and the first password with them


async def test_keys_of_the_first_account_are_managed_like_any(desk: Desk, generation: Counter) -> None:
    made = await start(desk, Grants())
    directory = KeyDirectory(desk.db, desk.keys, generation)
    principal = await directory.find(str(made["api_key"]))
    api_keys = ApiKeys(desk.db, desk.keys, desk.links, bump=generation.bump)
    assert [view.name for view in await api_keys.list(principal.account_id)] == ["First key"]
    await api_keys.revoke(principal.account_id, principal.api_key_id)
    with pytest.raises(InvalidKey):
        await directory.find(str(made["api_key"]))


async def test_who_is_removed_leaves_no_key_behind(desk: Desk) -> None:
    made = await start(desk, Grants())
    async with desk.db.session(DataUse.SUPPORT) as session:
        subjects = list(await session.scalars(select(Person.subject_id)))
    assert made and len(subjects) == 6
    assert await module.remove_first_run(desk.db, desk.keys) == 6
    for subject_id in subjects:
        assert await desk.keys.erased(subject_id)
        with pytest.raises(KeyGone):
            await desk.keys.subject_key(subject_id)
