"""Which controls a promise is bound to now, where that isn't what its version's folder began with. A live register.

The folder is frozen; a later binding is a change that is logged, and never removed: the newest one counts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import JSON, String, Uuid, select
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import Rejected
from governance.evidence.entry import EntryType
from governance.evidence.rows import Recorded
from governance.ids import uuid7
from policies.promises import PromiseKind, Register


class PromiseBinding(Base):
    """A change: the sentence `statement` is shown by `controls` from then on. `by`: a role."""

    __tablename__ = "promise_binding"

    id: Mapped[UUID] = impersonal(Uuid, 472, primary_key=True)
    version: Mapped[str] = impersonal(String(64), 473)
    statement: Mapped[str] = impersonal(String(20), 474)
    controls: Mapped[list[str]] = impersonal(JSON, 475)
    bound_at: Mapped[datetime] = impersonal(UtcDateTime, 476)
    by: Mapped[str] = impersonal(String(20), 477)
    entry_id: Mapped[UUID] = impersonal(Uuid, 478)


BOUND: Final = Recorded(PromiseBinding, EntryType.PROMISE_BOUND)


@dataclass(frozen=True, slots=True)
class Binding:
    """What a promise was bound to. `by`: a role; `evidence_id`: its entry in the log."""

    controls: tuple[str, ...]
    at: datetime
    by: str
    evidence_id: UUID


async def bind(
    db: Database, register: Register, statement_id: str, controls: Sequence[str], known: Collection[str], by: str
) -> None:
    """Bind a promise to other controls. Raises Rejected where it is no promise, or a control isn't known."""
    found = next((promise for statement, promise in register.promises if statement.id == statement_id), None)
    if found is None:
        raise Rejected("No promise of the version in force has that id.")
    if unknown := [each for each in controls if each not in known]:
        raise Rejected(f"There is no control {unknown[0]!r}.")
    if not controls and found.kind is not PromiseKind.ATTESTED:
        raise Rejected("A promise is bound to at least one control.")
    names = list(dict.fromkeys(controls))
    row = PromiseBinding(
        id=uuid7(), version=register.version, statement=statement_id, controls=names, bound_at=clock.now(), by=by
    )
    async with db.transaction(DataUse.SECURITY) as session:
        detail = {"version": register.version, "statement": statement_id, "controls": names}
        await BOUND.record(session, row, detail)
        session.add(row)


async def changes(db: Database, register: Register) -> Mapping[str, Binding]:
    """By sentence, what it is bound to by the log's last entry. A row that isn't as it was recorded is none."""
    query = select(PromiseBinding).where(PromiseBinding.version == register.version)
    async with db.session(DataUse.SECURITY) as session:
        rows = await BOUND.held(session, (await session.scalars(query)).all())
    return {row.statement: Binding(tuple(row.controls), row.bound_at, row.by, row.entry_id) for row in rows}


def bound(register: Register, changed: Mapping[str, Binding]) -> Register:
    """The register as it is bound now."""
    statements = (
        replace(each, promise=replace(each.promise, controls=changed[each.id].controls))
        if each.promise is not None and each.id in changed
        else each
        for each in register.statements
    )
    return replace(register, statements=tuple(statements))
