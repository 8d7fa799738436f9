"""What signing up, signing in and changing things leave in the two stores is declared; what wasn't would be seen."""

from sqlalchemy import update

from governance.datamap import DataUse, Store
from governance.mail.outbox import OutboxMail
from governance.personal_data.columns import ColumnSample, sample_columns
from governance.personal_data.kinds import Kind
from router.accounts.desk import Desk
from router.accounts.password_change import request_reset
from router.accounts.sign_up import sign_up
from tests.router.accounts.conftest import EMAIL, enter, join


async def sampled(desk: Desk) -> list[ColumnSample]:
    both = ((desk.db, Store.DATA), (desk.keys.db, Store.KEYS))
    return [each for database, store in both async for each in sample_columns(database, store)]


async def test_a_persons_rows_hold_nothing_undeclared_and_one_word_too_many_is_seen(desk: Desk) -> None:
    await join(desk)
    await enter(desk)
    await sign_up(desk, EMAIL)
    await request_reset(desk, EMAIL)
    seen = await sampled(desk)
    assert sum(each.values for each in seen) > 30 and all(each.whole for each in seen)
    assert [each.column.name for each in seen if each.undeclared] == []

    async with desk.db.transaction(DataUse.SUPPORT) as session:
        await session.execute(update(OutboxMail).values(failure=f"550 {EMAIL}"[:32]))
    found = {each.column.name: set(each.undeclared) for each in await sampled(desk) if each.undeclared}
    assert found == {"outbox.failure": {Kind.EMAIL}}
