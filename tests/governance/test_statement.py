"""What a statement reads is found, or the statement is refused: each form here would hide a read otherwise."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import MetaData, Table, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import aliased, join

from governance.errors import UseRefused
from governance.statement import read
from governance.vault.openings import OpeningCount
from router.accounts.account import Account
from router.accounts.person import Person
from router.billing.usage_log import Usage

PLAIN: Any = Person.__table__
OTHER = aliased(Person)
OF_ACCOUNT = Person.account_id == Account.id
ELSEWHERE = Table("person", MetaData(), sa.Column("role", sa.String))
REFUSED: dict[str, Any] = {
    "text": sa.text("SELECT role FROM person"),
    "text of columns": sa.text("SELECT role FROM person").columns(Person.role),
    "from a text": select(Person).from_statement(sa.text("SELECT * FROM person")),
    "from a statement": select(Person).from_statement(select(PLAIN)),
    "a text among the columns": select(sa.text("role")).select_from(Account),
    "a text in a condition": select(Account.id).where(sa.text("(SELECT role FROM person) = 'user'")),
    "a text as table": select(Account.id).select_from(sa.text("person")),
    "a literal column": select(sa.literal_column("(SELECT role FROM person)")),
    "a star": select(sa.literal_column("*")).select_from(Person),
    "a name alone": select(sa.column("role")).select_from(Person),
    "a table that isn't declared": select(sa.table("person", sa.column("role"))),
    "a table of another catalogue": select(ELSEWHERE.c.role),
    "a prefix": select(Person.id).prefix_with("role,"),
    "a suffix": select(Person.id).suffix_with("UNION SELECT role FROM person"),
    "a hint": select(Person.id).with_statement_hint("UNION SELECT role FROM person"),
    "an operator of one's own": select(Person.id.op("|| (SELECT role FROM person) ||")("")),
    "a lambda": sa.lambda_stmt(lambda: select(Person)),
    "a lambda within": select(Account.id).where(lambda: Account.tier == "free"),
    "a plain table": select(PLAIN),
    "a plain column": select(PLAIN.c.role),
    "a plain alias": select(PLAIN.alias().c.role),
    "a plain table beside a class": select(Account.id, PLAIN.c.role).where(PLAIN.c.account_id == Account.id),
    "a plain table joined": select(Account.id).join(PLAIN, PLAIN.c.account_id == Account.id),
    "a plain alias joined": select(Account.id).join(alias := PLAIN.alias(), alias.c.account_id == Account.id),
    "a plain table beside an alias of its class": select(OTHER.id, PLAIN.c.role),
    "a plain table in a subquery": select(select(PLAIN.c.role).subquery().c.role),
    "a plain table in an IN": select(Account.id).where(Account.id.in_(select(PLAIN.c.account_id))),
    "a plain table in a CTE": select(func.count()).select_from(select(PLAIN.c.role).cte()),
    "a class over a plain subquery": select(aliased(Person, select(PLAIN).subquery()).role),
    "a plain table in a union": select(Person.role).union(select(PLAIN.c.role)),
    "a join that isn't the statement's": select(Account.id).select_from(sa.join(Account, Person, OF_ACCOUNT)),
    "a join of the ORM's own": select(Account.id).select_from(join(Account, Person, OF_ACCOUNT)),
    "a full join": select(Account.id).join(Person, OF_ACCOUNT, full=True),
    "a class in a window alone": select(func.row_number().over(order_by=Person.role)),
    "the same in a subquery": select(
        Account.id, select(func.row_number().over(order_by=Person.role)).scalar_subquery()
    ),
    "a second class in an expression": select(func.coalesce(Account.tier, Person.role)),
    "a class in an order alone": select(Account.id).order_by(Person.role),
    "a change in a CTE": select(sa.update(Person).values(role="x").returning(Person.role).cte().c.role),
    "a change that returns a plain table": sa.update(PLAIN).values(role="x").returning(PLAIN.c.role),
    "a deletion that returns a plain table": sa.delete(PLAIN).returning(PLAIN),
    "a change from another table": sa.update(Account).where(OF_ACCOUNT).values(tier=Person.role),
    "a change from another table alone": sa.update(PLAIN).values({PLAIN.c.role: sa.func.lower(Account.tier)}),
    "a text among many values": sa.insert(Account).values([{"tier": sa.text("(SELECT role FROM person)")}]),
    "a change that returns another table": sa.update(Account).where(OF_ACCOUNT).values(tier="x").returning(Person.role),
    "a change of an alias": sa.update(OTHER).values(role="x"),
    "an insert that returns what was there": sqlite.insert(Person)
    .on_conflict_do_update(index_elements=["id"], set_={"role": "x"})
    .returning(Person.role),
    "an insert from a plain table": sa.insert(Account).from_select(["tier"], select(PLAIN.c.role)),
    "an insert into a plain table of what a class says": sa.insert(Account.__table__).from_select(
        ["tier"], select(Person.role)
    ),
    "an insert that makes what was there another's": sqlite.insert(Person).on_conflict_do_update(
        index_elements=["id"], set_={"role": func.lower(Person.role)}
    ),
    "two conflict clauses": sqlite.insert(Account)
    .on_conflict_do_nothing(index_elements=["id"])
    .on_conflict_do_nothing(index_elements=["tier"]),
    "a change of a plain table by itself": sa.update(PLAIN).values(role=func.lower(PLAIN.c.role)),
    "a name": select(Person.id).order_by("role"),
    "a name of what isn't selected under it": select(Person.role.label("of")).order_by("role"),
    "a name in a window that is ordered by": select(Person.id.label("role")).order_by(
        func.row_number().over(order_by="role")
    ),
    "a function that isn't known": select(func.md5(Person.role)),
    "a function in a condition": select(Person.id).where(func.pg_sleep(1).is_(None)),
    "a function as a table": select(func.json_each(Person.role).table_valued("value").c.value),
    "a function of a schema's": select(func.pg_catalog.count(Person.id)),
    "a part of a time": select(sa.extract("year", Person.created_at)),
    "rows of values": select(
        sa.values(sa.column("of"), name="v").data([(select(Person.role).scalar_subquery(),)]).c.of
    ),
    "a sample by a function": select(sa.tablesample(OpeningCount, func.md5(OpeningCount.use)).c.use),
    "DDL": sa.DDL("SELECT role FROM person"),
    "a function": func.count(Person.id),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_hides_a_read_is_refused(how: str) -> None:
    with pytest.raises(UseRefused):
        read(REFUSED[how])


ROLE, ID, ACCOUNT = (Person.__table__.columns[name] for name in ("role", "id", "account_id"))
_ROOT = select(Person.id).where(Person.role == "x").cte(recursive=True)
TREE = _ROOT.union_all(select(Person.id).join(_ROOT, _ROOT.c.id == Person.id))
SAME = select(Person.role).subquery()
READ: dict[str, tuple[Any, set[Any], set[type]]] = {
    "a column": (select(Person.role), {ROLE}, {Person}),
    "a class": (select(Person), set(Person.__table__.columns), {Person}),
    "an alias": (select(OTHER.role), {ROLE}, {Person}),
    "a whole alias": (select(OTHER), set(Person.__table__.columns), {Person}),
    "a plain column beside its class": (select(Person.id).where(PLAIN.c.role == "x"), {ID, ROLE}, {Person}),
    "a condition": (select(Person.id).where(Person.role == "x"), {ID, ROLE}, {Person}),
    "a join": (
        select(Account.tier).outerjoin(Person, OF_ACCOUNT),
        {Account.__table__.c.tier, Account.__table__.c.id, ACCOUNT},
        {Account, Person},
    ),
    "a class in a condition": (
        select(Account.id).where(OF_ACCOUNT),
        {Account.__table__.c.id, ACCOUNT},
        {Account, Person},
    ),
    "a count": (select(func.count()).select_from(Person), set(), {Person}),
    "an aggregate": (select(func.max(Person.role)), {ROLE}, {Person}),
    "a subquery's column": (select(SAME.c.role), {ROLE}, {Person}),
    "a condition within a subquery": (
        select(select(Person.id).where(Person.role == "x").subquery().c.id),
        {ID, ROLE},
        {Person},
    ),
    "a condition within a CTE": (select(select(Person.id).where(Person.role == "x").cte().c.id), {ID, ROLE}, {Person}),
    "EXISTS": (
        select(Account.id).where(sa.exists().where(OF_ACCOUNT)),
        {Account.__table__.c.id, ACCOUNT},
        {Account, Person},
    ),
    "a union": (select(Person.role).union(select(Account.tier)), {ROLE, Account.__table__.c.tier}, {Account, Person}),
    "a change": (sa.update(Person).where(Person.id == 1).values(role="x"), set(), set()),
    "a change that returns": (
        sa.update(Person).where(Person.account_id == 1).values(role="x").returning(Person.role),
        {ROLE, ACCOUNT},
        {Person},
    ),
    "a deletion with a subquery": (
        sa.delete(Account).where(~sa.exists().where(OF_ACCOUNT)),
        {Account.__table__.c.id, ACCOUNT},
        set(),
    ),
    "a change by what another table says": (
        sa.update(Account).values(tier=select(Person.role).limit(1).scalar_subquery()),
        {ROLE},
        {Person},
    ),
    "a change of a column by itself": (
        sa.update(Person).where(Person.account_id == 1).values({Person.role: func.lower(Person.role)}),
        {ROLE},
        {Person},
    ),
    "a name of what is selected": (
        select(Person.id.label("of"), func.count()).group_by("of").order_by("of"),
        {ID},
        {Person},
    ),
    "many values, one of which another table says": (
        sa.insert(Account).values([{"tier": "x"}, {"tier": select(Person.role).limit(1).scalar_subquery()}]),
        {ROLE},
        {Person},
    ),
    "what a conflict writes": (
        sqlite.insert(Account).on_conflict_do_update(
            index_elements=["id"], set_={"tier": select(Person.role).limit(1).scalar_subquery()}
        ),
        {ROLE},
        {Person},
    ),
    "a recursive CTE": (select(TREE.c.id), {ID, ROLE}, {Person}),
    "an insert of what another table says": (
        sa.insert(Account).from_select(["tier"], select(Person.role)),
        {ROLE},
        {Person},
    ),
    "an insert that returns": (sa.insert(Person).values(role="x").returning(Person.role), {ROLE}, {Person}),
    "several functions": (
        select(func.count(Usage.id.distinct())).where(Usage.status > 1),
        {Usage.__table__.c.id, Usage.__table__.c.status},
        {Usage},
    ),
}


@pytest.mark.parametrize("how", READ)
def test_what_is_read_is_found(how: str) -> None:
    statement, columns, entities = READ[how]
    reads = read(statement)
    assert reads.columns == columns
    assert {mapper.class_ for mapper in reads.entities} == entities


def test_a_table_whose_rows_are_counted_is_named() -> None:
    assert read(select(func.count()).select_from(Person)).tables == {Person.__table__}


def test_rewrapping_takes_plain_tables() -> None:
    assert read(select(PLAIN.c.id), plain_tables=True).columns == {ID}
