"""Policy section 7: "We use administrative, technical, and physical security measures to help protect your personal
information."

Each sealed column holds envelopes and nothing else, no column that tells who somebody is rests in clear, and a drill seals
values of nobody through the real code and searches every stored byte for them.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select

from governance import clock
from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.search import Search
from governance.controls.control import Control, ControlResult
from governance.datamap import AtRest, DataUse, DeclaredColumn, Store
from governance.db import Database
from governance.errors import SealBroken
from governance.ids import uuid7
from governance.incidents.incident import Severity
from governance.mail.outbox import MailState, OutboxMail
from governance.period import Period
from governance.personal_data.columns import read_some
from governance.subjects import DataSubject, add_subject, new_subject
from governance.vault import columns, envelope
from governance.vault.keys import KeyStore
from governance.vault.purpose import Actor, states

_ROWS = 200
_DRILL = "pii-sealed-drill-"
_MARKER = "marker"
_NEVER_PLAIN = ("user.contact", "user.name", "user.device", "user.authorization.password", "user.content")
"""Categories that tell who somebody is, or hold their words."""

Sweep = Callable[[Search], Awaitable[None]]


class PiiSealed(Control):
    """`declared` gives every declared column; `sweep` looks through every byte that this service stores.

    The drill's row is a mail that is never sent, to nobody; what a crash leaves of it goes with the next run.
    """

    id = "pii-sealed"
    title = "Personal values rest sealed, in every byte that is stored"
    rule = "We use administrative, technical, and physical security measures to help protect your personal information."
    source = "Privacy policy 2026-03, sections 2 and 7; GDPR Art. 32(1)(a)"
    severity = Severity.CRITICAL
    cadence = Period.parse("P1D")
    max_age = Period.parse("P2D")
    seconds_max = 1800.0

    def __init__(
        self, data: Database, keys: KeyStore, declared: Callable[[], Iterable[DeclaredColumn]], sweep: Sweep
    ) -> None:
        self._data = data
        self._keys = keys
        self._declared = declared
        self._sweep = sweep

    async def run(self) -> ControlResult:
        failures = [
            f"{each.name} holds {each.declaration.data_category} in clear."
            for each in self._declared()
            if each.declaration.at_rest is AtRest.PLAIN and each.declaration.data_category.startswith(_NEVER_PLAIN)
        ]
        envelopes, unsealed = await self._sampled()
        drilled, found, missing = await self._drill()
        counts = {"envelopes": envelopes, "drilled": len(drilled) - 1, "bytes": found.pop("bytes")}
        failures += unsealed
        failures += [
            f"{name} of the drill rests readable in {places} places." for name, places in found.items() if places
        ]
        return ControlResult(envelopes + counts["drilled"], tuple(failures), missing, counts)

    async def _sampled(self) -> tuple[int, list[str]]:
        stores = {Store.DATA: self._data, Store.KEYS: self._keys.db}
        looked, failures = 0, []
        for each in self._declared():
            if each.declaration.at_rest is not AtRest.SEALED:
                continue
            _, values = await read_some(stores[each.store], each, _ROWS)
            there = [value.envelope for value in values if value is not None]
            looked += len(there)
            wrong = sum(not _is_envelope(value) for value in there)
            if wrong:
                failures.append(f"{each.name} holds {wrong} values that aren't sealed.")
        return looked, failures

    @states(Actor.JOB, DataUse.SUPPORT)
    async def _drill(self) -> tuple[dict[str, str], dict[str, int], str]:
        """What was put where, in how many places each of it was found, and what keeps that from being a proof."""
        await self._forget()
        values = {name: secrets.token_urlsafe(24) for name in ("recipient", "subject_line", "body")}
        values["recipient"] += "@example.invalid"
        values[_MARKER] = _DRILL + secrets.token_hex(24)
        subject_id = await new_subject(self._keys)
        search = Search([Needle(name, value.encode()) for name, value in values.items()])
        try:
            await self._put(subject_id, values)
            await self._sweep(search)
        finally:
            await self._forget()
        report = search.report()
        found = {name: len({each.place for each in report.findings if each.needle == name}) for name in values}
        # The row's own key rests in clear: a search that doesn't see it hasn't looked where the row is.
        missing = "" if found.pop(_MARKER) else "The search didn't reach the drill's row."
        return values, found | {"bytes": report.bytes_read}, missing

    async def _put(self, subject_id: UUID, values: Mapping[str, str]) -> None:
        now = clock.now()
        row = OutboxMail(
            id=uuid7(),
            subject_id=subject_id,
            template="confirm",
            state=MailState.FAILED,  # nothing sends it
            attempts=0,
            created_at=now,
            due_at=now,
            idempotency_key=values[_MARKER],
        )
        sealed: dict[str, Any] = {name: value for name, value in values.items() if name != _MARKER}
        await columns.seal(self._keys, row, **sealed)
        async with self._data.transaction(DataUse.SUPPORT) as session:
            add_subject(session, subject_id)
            await session.flush()
            session.add(row)

    async def _forget(self) -> None:
        """Rows and keys of this drill, and of one that was killed."""
        async with self._data.session(DataUse.SUPPORT) as session:
            mine = OutboxMail.idempotency_key.startswith(_DRILL)
            people = (await session.scalars(select(OutboxMail.subject_id).where(mine))).all()
        for subject_id in people:
            await self._keys.erase_subject(subject_id)
            async with self._data.transaction(DataUse.SUPPORT) as session:
                await session.execute(delete(OutboxMail).where(OutboxMail.subject_id == subject_id))
                await session.execute(delete(DataSubject).where(DataSubject.id == subject_id))


def _is_envelope(value: bytes) -> bool:
    try:
        envelope.key_ids(value)
    except SealBroken:
        return False
    return True
