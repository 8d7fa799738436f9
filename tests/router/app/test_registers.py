"""Rows of the live registers: each is held against its entry, field by field, and neither it nor its entry goes unseen."""

import dataclasses
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, delete, update

from governance import clock
from governance.controls.log_intact import LogIntact
from governance.datamap import DataUse
from governance.db import Database, UtcDateTime
from governance.errors import Conflict
from governance.evidence import fields, own, pending
from governance.evidence.entry import EntryType
from governance.evidence.log import Log
from governance.evidence.pending import DataEvidence
from governance.evidence.rows import Recorded
from governance.evidence.verify import Report
from governance.ids import uuid7
from governance.incidents import assessment, notice, opening, record
from governance.incidents.assessment import Assessment, Kind, Nature, Risk
from governance.incidents.incident import Severity
from governance.incidents.notice import Ground, Told
from governance.vault.keys import KeyStore
from policies import attestations, bindings, promises, version, versions
from router.app.registers import REGISTERS, promised

REFERRING: dict[EntryType, tuple[Any, ...]] = {
    EntryType.INCIDENT_OPENED: (assessment.IncidentAssessment, notice.IncidentNotice),
    EntryType.POLICY_PUBLISHED: (versions.PolicyFile,),
}
KNOWN = ("purpose-limited",)


@dataclasses.dataclass
class Home:
    data: Database
    log: Log
    control: LogIntact

    async def wrong(self) -> tuple[str, ...]:
        return (await self.control.run()).failures


@pytest.fixture
async def home(stores: tuple[Database, KeyStore], tmp_path: Path) -> AsyncIterator[Home]:
    """A home with a row of each kind in every register, all of it in the log."""
    data, keys = stores
    pending.attach(data, keys)
    register = promises.load()
    fields.declare_names("control", KNOWN)
    await versions.seed(data, versions.shipped())
    await bindings.bind(data, register, "2.6", KNOWN, KNOWN, "legal")
    soon = clock.now() + timedelta(days=9)
    await attestations.add(data, register, "edge-network", "ab" * 32, soon, "legal")
    incident = await opening.report(data, "A page is slow.", Severity.LOW, by="operator")
    await opening.acknowledge(data, incident, by="operator", reason="Looked into.")
    breach = Assessment(
        Kind.BREACH, risk=Risk.UNLIKELY, nature=(Nature.AVAILABILITY,), data_categories=("user.contact.email",),
        facts="A page was slow.", consequences="None.", measures="None.",
    )  # fmt: skip
    await assessment.assess(data, incident, breach, by="legal")
    await notice.withheld(data, incident, Told.AUTHORITY, Ground.NO_RISK, because="No risk.", by="legal")
    await record.close(data, incident, by="legal", reason="Done.")
    log = Log(tmp_path / "log", data, keys, "log.example.com")
    await log.advance()

    async def nothing(_report: Report) -> list[str]:
        return []

    yield Home(data, log, LogIntact(lambda: own.check(log, REGISTERS), nothing))


def fields_of(recorded: Recorded) -> list[str]:
    covered = recorded.columns or [
        column.name for column in recorded.table.__table__.columns if not column.info["declaration"].personal
    ]
    return [name for name in covered if name not in ("id", recorded.entry, "incident_id")]


def another(column: Any, value: Any) -> Any:
    """A value that fits the column and isn't that one."""
    if isinstance(column.type, UtcDateTime):
        return (value or clock.now()) + timedelta(seconds=1)
    if isinstance(value, date):
        return value + timedelta(days=1)
    if isinstance(column.type, Boolean):
        return not value
    if isinstance(value, list):
        return [*value, "x"]
    return value + 1 if isinstance(value, int) else (value or "") + "x"


async def test_everything_is_as_it_was_recorded(home: Home) -> None:
    result = await home.control.run()
    assert result.failures == () and result.examined == result.counts["entries"] == result.counts["opened"] == len(
        REGISTERS
    )


@pytest.mark.parametrize(
    ("recorded", "field"),
    [(each, field) for each in REGISTERS for field in fields_of(each)],
    ids=lambda value: value.type.value if isinstance(value, Recorded) else value,
)
@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_a_field_that_was_changed_is_found(home: Home, recorded: Recorded, field: str) -> None:
    column = recorded.table.__table__.columns[field]
    async with home.data.engine.begin() as connection:
        value = (await connection.execute(column.table.select().with_only_columns(column))).scalar_one()
        await connection.execute(update(column.table).values({field: another(column, value)}))
    [found] = await home.wrong()
    assert found.startswith(f"A row of {recorded.table.__tablename__} isn't as the log has it ({recorded.type})")


@pytest.mark.parametrize(
    "recorded", [each for each in REGISTERS if each.entry == "entry_id"], ids=lambda each: each.type.value
)
@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_a_row_or_an_entry_that_is_gone_is_found(home: Home, recorded: Recorded) -> None:
    table = recorded.table.__table__
    async with home.data.engine.begin() as connection:
        rows = (await connection.execute(table.select())).mappings().all()
        for other in REFERRING.get(recorded.type, ()):  # what refers to it goes first
            await connection.execute(delete(other.__table__))
        await connection.execute(delete(table))
    assert any(
        "was recorded with is gone" in each and str(recorded.table.__tablename__) in each for each in await home.wrong()
    )
    async with home.data.engine.begin() as connection:
        await connection.execute(table.insert(), [dict(row) for row in rows])
        await connection.execute(delete(DataEvidence).where(DataEvidence.id == rows[0]["entry_id"]))
    wrong = await home.wrong()
    assert any("isn't as the log has it" in each for each in wrong) and any("lack entries" in each for each in wrong)


@pytest.mark.parametrize("what", ["acknowledged", "closed"])
async def test_what_was_said_of_an_incident_without_an_entry_is_found(home: Home, what: str) -> None:
    other = await opening.report(home.data, "Another.", Severity.HIGH, by="operator")
    await home.log.advance()
    assert await home.wrong() == ()
    async with home.data.engine.begin() as connection:
        row = update(opening.Incident.__table__).where(opening.Incident.id == other)
        await connection.execute(row.values({f"{what}_at": clock.now(), f"{what}_by": "legal"}))
    [found] = await home.wrong()
    assert "incident has no entry in the log" in found


async def test_a_row_without_an_entry_is_found(home: Home) -> None:
    async with home.data.engine.begin() as connection:
        await connection.execute(update(opening.Incident.__table__).values(entry_id=None))
    wrong = await home.wrong()
    assert any("incident has no entry in the log" in each for each in wrong)


async def test_a_row_with_the_entry_of_another_is_found(home: Home) -> None:
    """Word for word the same, under another id."""
    table = attestations.AttestationDocument.__table__
    async with home.data.engine.begin() as connection:
        [row] = (await connection.execute(table.select())).mappings().all()
        await connection.execute(table.insert(), [dict(row) | {"id": uuid7()}])
    [found] = await home.wrong()
    assert "isn't as the log has it" in found


async def published(data: Database, name: str, effective: str, old: str, new: str) -> None:
    """The version that ships under another name, with other words in its promises."""
    [ships] = versions.shipped()
    text = ships.files["policy.md"].decode().replace("version: 2026-03", f"version: {name}")
    files = {**ships.files, "policy.md": text.replace("effective: 2026-03-01", f"effective: {effective}").encode()}
    files["promises.yaml"] = files["promises.yaml"].replace(old.encode(), new.encode())
    async with data.transaction(DataUse.LEGAL_OBLIGATION) as session:
        assert await versions.add(session, version.made("privacy", name, files), by="legal")


async def test_the_version_in_force_in_the_store_is_judged(stores: tuple[Database, KeyStore]) -> None:
    pending.attach(*stores)
    data = stores[0]
    register, changed = await promised(data)  # of a home that no service has run on
    assert (register, changed) == (promises.load(), {})
    await published(data, "2026-06", "2026-06-01", "[purpose-limited]", "[pii-sealed]")
    await published(data, "2199-01", "2199-01-01", "[purpose-limited]", "[keys-rotated]")  # in force one day
    register, _ = await promised(data)
    assert register.version == "privacy/2026-06"
    assert {each.id: promise.controls for each, promise in register.promises}["2.6"] == ("pii-sealed",)
    fields.declare_names("control", KNOWN)
    await bindings.bind(data, register, "2.6", KNOWN, KNOWN, "legal")
    register, changed = await promised(data)
    assert list(changed) == ["2.6"] and changed["2.6"].by == "legal"
    assert {each.id: promise.controls for each, promise in register.promises}["2.6"] == KNOWN
    async with data.engine.begin() as connection:
        file = update(versions.PolicyFile.__table__).where(versions.PolicyFile.name == "recipients.yaml")
        await connection.execute(file.values(content=b"recipients: []"))
    with pytest.raises(Conflict):
        await promised(data)
