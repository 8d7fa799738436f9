"""`valueapi incidents`: what went wrong, until somebody has assessed it, told whom it must be told, and closed it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from governance import clock
from governance.incidents import assessment, opening, record
from governance.incidents.assessment import Assessment, Kind, Nature, Risk
from governance.incidents.drafts import when
from governance.incidents.incident import Severity
from governance.incidents.record import Record, State
from router.accounts.person import customers_concerned
from router.accounts.roles import Role
from router.app.stores import opened
from router.cli import incident_notices
from router.cli.output import Json, err, out, print_json, table, verb
from router.settings import Settings

app = typer.Typer(help="What went wrong: assess it, tell whom it must be told, close it.", no_args_is_help=True)
app.add_typer(incident_notices.app)
IncidentId = incident_notices.IncidentId
By = incident_notices.By
_NO_NAMES = "Kept for good: name no person, quote nothing."


@app.command("list")
@verb()
def list_(
    unclosed: Annotated[bool, typer.Option("--open", help="Those alone that aren't closed.")] = False,
    as_json: Json = False,
) -> None:
    """All incidents that are open and the newest that are closed, and what each waits for."""

    async def read() -> tuple[list[Record], int]:
        async with opened(Settings.load()) as stores:
            found = await record.records(stores.data, unclosed=unclosed, customers=customers_concerned)
            return found, await record.closed(stores.data)

    found, closed = asyncio.run(read())
    table([_whole(each) if as_json else _line(each) for each in found], as_json)
    left_out = 0 if unclosed else closed - sum(each.state is State.CLOSED for each in found)
    if left_out:
        err.print(f"{left_out} older closed ones are left out.")


@app.command("show")
@verb()
def show(incident_id: IncidentId, as_json: Json = False) -> None:
    """One incident whole: what was seen, how it was assessed, who was told, and what is still to be done."""

    async def read() -> Record:
        async with opened(Settings.load()) as stores:
            return await record.get(stores.data, incident_id, customers_concerned)

    found = asyncio.run(read())
    if as_json:
        print_json(_whole(found))
        return
    known = {name: value for name, value in (_row(found) | _breach(found)).items() if value not in (None, [])}
    table([known], False)
    for each in found.assessments:
        out.print(f"{when(each.assessed_at)}  assessed as {each.kind} by {each.assessed_by}", markup=False)
    for told in found.notices:
        what = f"{told.recipient} told" if told.given else f"{told.recipient} not told, Art. {told.ground}"
        out.print(" ".join(filter(None, (when(told.at), f" {what}", told.reference, told.reason))), markup=False)
    for sentence in found.missing() if found.incident.closed_at is None else ():
        out.print(f"To do: {sentence}", markup=False, soft_wrap=True)


@app.command("open")
@verb()
def open_(
    summary: Annotated[str, typer.Option(help=f"What was seen. {_NO_NAMES}")],
    severity: Annotated[Severity, typer.Option(help="How grave it is, as far as you see.")],
    by: By,
    as_json: Json = False,
) -> None:
    """Open an incident that a person saw; print its id."""

    async def write() -> UUID:
        async with opened(Settings.load()) as stores:
            return await opening.report(stores.data, summary, severity, by=by.value)

    incident_id = str(asyncio.run(write()))
    print_json({"id": incident_id}) if as_json else out.print(incident_id)


@app.command("acknowledge")
@verb()
def acknowledge(
    incident_id: IncidentId,
    by: By,
    reason: Annotated[str, typer.Option(help=f"What was found out and done. {_NO_NAMES}")],
) -> None:
    """Answer for an incident, once what was written is removed: a service that it closed serves again. It stays open."""
    if by is not Role.OPERATOR:
        raise typer.BadParameter("Only an operator answers for an incident.", param_hint="--by")

    async def write() -> None:
        async with opened(Settings.load()) as stores:
            await opening.acknowledge(stores.data, incident_id, by=by.value, reason=reason)
            stores.shared.bump()

    asyncio.run(write())
    out.print(
        "Acknowledged; it is still to be assessed and closed. After a leak answers say `unverified` until the next clean "
        "probe: `valueapi jobs run self-probe`."
    )


@app.command("assess")
@verb()
def assess(
    incident_id: IncidentId,
    kind: Annotated[Kind, typer.Option("--as", help="What it is. Only a breach enters the register of Art. 33(5).")],
    by: By,
    severity: Annotated[Severity | None, typer.Option(help="How grave it is.")] = None,
    aware_at: Annotated[
        datetime | None,
        typer.Option(
            formats=incident_notices.MOMENTS, help="When you became aware of the breach, UTC; now, if not given."
        ),
    ] = None,
    nature: Annotated[list[Nature] | None, typer.Option(help="Of a breach: what was lost; repeatable.")] = None,
    risk: Annotated[Risk | None, typer.Option(help="Of a breach: the risk to people.")] = None,
    data_category: Annotated[
        list[str] | None, typer.Option(help="A Fides data category, as user.contact.email; repeatable.")
    ] = None,
    subjects: Annotated[int | None, typer.Option(min=0, help="Approximate number of people.")] = None,
    records: Annotated[int | None, typer.Option(min=0, help="Approximate number of records.")] = None,
    facts: Annotated[str | None, typer.Option(help=f"What happened. {_NO_NAMES}")] = None,
    consequences: Annotated[str | None, typer.Option(help="What is likely to follow for people.")] = None,
    measures: Annotated[str | None, typer.Option(help="What was done, or is proposed.")] = None,
    for_customers: Annotated[
        bool | None, typer.Option(help="Data is among it that is processed for customers, who are its controllers.")
    ] = None,
) -> None:
    """Say what it is. What isn't given stays as it was assessed before; of a breach the 72 hours of Art. 33(1) begin."""
    known = Assessment(
        kind, severity, aware_at.replace(tzinfo=UTC) if aware_at else None, risk, tuple(nature) if nature else None,
        tuple(data_category) if data_category else None, subjects, records, facts, consequences, measures, for_customers,
    )  # fmt: skip

    async def write() -> Record:
        async with opened(Settings.load()) as stores:
            await assessment.assess(stores.data, incident_id, known, by=by.value)
            return await record.get(stores.data, incident_id, customers_concerned)

    found = asyncio.run(write())
    out.print(f"Assessed as {kind.value}.")
    if found.due_at is not None:
        out.print(f"Tell the authority by {when(found.due_at)}: {_left(found)}.", style="bold")
    for sentence in found.missing():
        out.print(f"To do: {sentence}", markup=False, soft_wrap=True)


@app.command("close")
@verb()
def close(incident_id: IncidentId, by: By, reason: Annotated[str, typer.Option(help=f"Why. {_NO_NAMES}")]) -> None:
    """End an incident in which nothing is left to be done."""

    async def write() -> None:
        async with opened(Settings.load()) as stores:
            await record.close(stores.data, incident_id, by=by.value, reason=reason, customers=customers_concerned)
            stores.shared.bump()

    asyncio.run(write())
    out.print("Closed.")


@app.command("register")
@verb()
def register(as_json: Json = False) -> None:
    """The register of personal data breaches (GDPR Art. 33(5)): facts, effects, measures, and who was told or why not."""

    async def read() -> Sequence[Record]:
        async with opened(Settings.load()) as stores:
            return await record.register(stores.data, customers_concerned)

    found = asyncio.run(read())
    if as_json:
        print_json([_whole(each) for each in found])
        return
    table([{"id": str(each.incident.id), "state": each.state.value} | _breach(each) for each in found], False)


def _left(found: Record) -> str:
    assert found.due_at is not None
    hours = (found.due_at - clock.now()).total_seconds() / 3600
    return f"{hours:.0f} hours are left" if hours >= 1 else "less than an hour is left" if hours > 0 else "overdue"


def _line(found: Record) -> dict[str, object]:
    """For a list that people read."""
    row = found.incident
    to_do = found.missing() if row.closed_at is None else ()
    return {
        "id": str(row.id),
        "what": row.summary or f"{row.control}: {row.cause}",
        "state": " ".join(
            filter(None, (found.state.value, found.assessment.kind if found.assessment is not None else ""))
        ),
        "severity": row.severity,
        "opened": when(row.opened_at),
        "authority_due": when(found.due_at) if found.due_at is not None else "",
        "to_do": " ".join(to_do),
    }


def _row(found: Record) -> dict[str, object]:
    row = found.incident
    return {
        "id": str(row.id),
        "state": found.state.value,
        "severity": row.severity,
        "assessed_as": found.assessment.kind if found.assessment is not None else None,
        "authority_due": when(found.due_at) if found.due_at is not None else None,
        "control": row.control,
        "cause": row.cause,
        "summary": row.summary or None,
        "opened": row.opened_at.isoformat(timespec="seconds"),
        "opened_by": row.opened_by,
        "runs": row.runs,
        "last_run": str(row.run_id) if row.run_id is not None else None,
        "found": row.found,
        "acknowledged": row.acknowledged_at.isoformat(timespec="seconds") if row.acknowledged_at else None,
        "acknowledged_by": row.acknowledged_by,
        "reason": row.reason,
        "closed": row.closed_at.isoformat(timespec="seconds") if row.closed_at else None,
        "closed_because": row.closed_because,
    }


def _breach(found: Record) -> dict[str, object]:
    """What Art. 33(3) and 33(5) ask for, of the assessment that stands."""
    last = found.assessment
    if last is None:
        return {}
    return {
        "kind": last.kind,
        "aware": when(last.aware_at) if last.aware_at else None,
        "risk": last.risk,
        "nature": last.nature,
        "data_categories": last.data_categories,
        "subjects_about": last.subjects,
        "records_about": last.records,
        "facts": last.facts,
        "consequences": last.consequences or None,
        "measures": last.measures or None,
        "for_customers": last.for_customers,
        "people_listed": found.affected,
        "people_told": found.told,
        "customers_not_told": [str(each) for each in found.customers_untold],
        "notices": [
            " ".join(filter(None, (each.recipient, when(each.at) if each.given else f"not told, Art. {each.ground}:", each.reason)))
            for each in found.notices
        ],
    }  # fmt: skip


def _whole(found: Record) -> dict[str, object]:
    """For scripts."""
    return {
        **_row(found),
        **_breach(found),
        "assessments": [
            {"at": when(each.assessed_at), "by": each.assessed_by, "as": each.kind, "severity": each.severity,
             "risk": each.risk, "subjects": each.subjects, "records": each.records}
            for each in found.assessments
        ],
        "notices": [
            {"to": each.recipient, "given": each.given, "at": when(each.at), "ground": each.ground, "reason": each.reason,
             "reference": each.reference, "by": each.recorded_by,
             "account_id": str(each.account_id) if each.account_id else None}
            for each in found.notices
        ],
        "to_do": found.missing() if found.incident.closed_at is None else [],
    }  # fmt: skip
