"""Whom a breach is about, and whose customers they are: who restricted their data is among them, who is erased isn't."""

from governance.datamap import DataUse
from governance.incidents import affected, opening, record
from governance.incidents.incident import Severity
from router.accounts import person
from router.accounts.desk import Desk
from tests.router.accounts.conftest import join


async def test_the_accounts_of_those_on_each_list(desk: Desk) -> None:
    adas, ada = await join(desk, "ada@example.org")
    bobs, bob = await join(desk, "bob@example.org")
    one, two = [await opening.report(desk.db, "Seen.", Severity.LOW, by="operator") for _ in range(2)]
    await affected.add(desk.db, one, [ada, bob])
    await affected.add(desk.db, two, [bob])
    await desk.keys.uses.restrict(bob, on=True)
    async with desk.db.session(DataUse.SECURITY) as session:
        assert await person.customers_concerned(session, [one, two]) == {one: {adas, bobs}, two: {bobs}}
        assert await person.customers_concerned(session, [two]) == {two: {bobs}}
    assert [await person.subjects(desk.db, each) for each in (bob, bobs)] == [[bob], [bob]]
    await desk.keys.erase_subject(bob)
    await desk.db.context["permitted"].refresh()
    assert (await record.get(desk.db, one, person.customers_concerned)).customers == {adas}
    assert await person.subjects(desk.db, bob) == []
