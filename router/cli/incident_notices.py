"""`valueapi incidents draft|notified|not-notified|affected|send|told-otherwise`: whom a breach concerns, and who is told of it."""

import asyncio
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer

from governance.datamap import DataUse
from governance.errors import KeyUnavailable, NotFound, Rejected, UseRefused
from governance.incidents import affected, drafts, notice, record, telling
from governance.incidents.notice import Ground, Told
from governance.incidents.record import Record
from governance.vault.blind_index import EmailIndex
from governance.vault.purpose import Bulk
from router.accounts import person
from router.accounts.account import account_tier
from router.accounts.roles import Role
from router.app.stores import Stores, opened
from router.cli.output import Bar, Json, err, fail, out, print_json, progress_bar, table, verb
from router.settings import Settings

app = typer.Typer()
_FILE_BYTES_MAX: Final = 10_000_000


def _staff(role: Role) -> Role:
    if role is Role.USER:
        raise typer.BadParameter("A role of the staff.")
    return role


IncidentId = Annotated[UUID, typer.Argument(metavar="ID", help="The incident's id.")]
By = Annotated[Role, typer.Option(callback=_staff, help="The role that says so.")]
MOMENTS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]
Who = Annotated[
    list[str] | None, typer.Argument(help="People: addresses, subject ids, or account ids for all in an account.")
]
FromFile = Annotated[
    Path | None, typer.Option("--file", help="A file with one of them a line, 10 MB at most; - is standard input.")
]
To = Annotated[Told, typer.Option("--to", help="Who is told.")]


@app.command("draft")
@verb()
def draft(incident_id: IncidentId, to: To, as_json: Json = False) -> None:
    """Write the notice of a breach, from what is known; gaps are marked. Nothing is sent."""

    async def read() -> Record:
        async with opened(Settings.load()) as stores:
            return await record.get(stores.data, incident_id, person.customers_concerned)

    found, contact = asyncio.run(read()), Settings.load().privacy_contact
    subject, text = drafts.draft(found, to, contact)
    untold = [str(each) for each in found.customers_untold] if to is Told.CONTROLLER else []
    if as_json:
        not_known = drafts.gaps(found, contact)
        print_json({"subject": subject, "text": text, "not_known": not_known, "customers_not_told": untold})
        return
    out.print(f"Subject: {subject}\n\n{text}", markup=False, soft_wrap=True)
    if untold:  # beside the notice: what goes to one customer names no other
        err.print("\n".join(("Customers that aren't told yet, by account:", *untold)), markup=False)


@app.command("notified")
@verb()
def notified(
    incident_id: IncidentId,
    to: To,
    by: By,
    at: Annotated[
        datetime | None, typer.Option(formats=MOMENTS, help="When they were told, UTC; now, if not given.")
    ] = None,
    reference: Annotated[str, typer.Option(help="The receiver's file number; nothing personal.")] = "",
    account: Annotated[
        UUID | None, typer.Option(help="The customer's account that was told (--to controller).")
    ] = None,
    late_because: Annotated[str, typer.Option(help="Why the authority was told after 72 hours (Art. 33(1)).")] = "",
) -> None:
    """Record that somebody was told of a breach."""

    async def write() -> None:
        async with opened(Settings.load()) as stores:
            if account is not None:
                await account_tier(stores.data, account)  # raises NotFound where there is no such account
            await notice.given(
                stores.data, incident_id, to, by=by.value, at=at.replace(tzinfo=UTC) if at else None,
                reference=reference, account_id=account, late_because=late_because,
            )  # fmt: skip

    asyncio.run(write())
    out.print("Recorded.")


@app.command("not-notified")
@verb()
def not_notified(
    incident_id: IncidentId,
    to: To,
    ground: Annotated[Ground, typer.Option(help="The paragraph of the GDPR's Art. 33 or 34 that allows it.")],
    because: Annotated[str, typer.Option(help="Why it applies. Kept for good: name no person.")],
    by: By,
) -> None:
    """Record why somebody isn't told of a breach."""

    async def write() -> None:
        async with opened(Settings.load()) as stores:
            await notice.withheld(stores.data, incident_id, to, ground, because=because, by=by.value)

    asyncio.run(write())
    out.print("Recorded.")


@app.command("affected")
@verb()
def affected_(incident_id: IncidentId, who: Who = None, file: FromFile = None, as_json: Json = False) -> None:
    """Show whom a breach concerns, or put people on the list. Nobody is named: ids alone are shown."""
    wanted = _wanted(who, file)

    async def work() -> tuple[int, list[tuple[UUID, datetime | None]]]:
        async with opened(Settings.load()) as stores:
            await record.get(stores.data, incident_id)
            added = await affected.add(stores.data, incident_id, await _people(stores, wanted)) if wanted else 0
            return added, await affected.listed(stores.data, incident_id)

    added, listed = asyncio.run(work())
    if not wanted:
        rows = [{"subject_id": str(each), "told": drafts.when(at) if at else None} for each, at in listed]
        table(rows, as_json)
    elif as_json:
        print_json({"added": added, "listed": len(listed)})
    else:
        out.print(f"{added} put on the list, {len(listed)} are on it.")


@app.command("told-otherwise")
@verb()
def told_otherwise(
    incident_id: IncidentId, by: By, who: Who = None, file: FromFile = None, as_json: Json = False
) -> None:
    """Record that people on the list were told by other means than `send`: who restricted their data gets no mail."""
    wanted = _wanted(who, file)
    if not wanted:
        raise typer.BadParameter("Say who was told.", param_hint="WHO")

    async def work() -> tuple[int, Record]:
        async with opened(Settings.load()) as stores:
            people = await _people(stores, wanted)
            told = await telling.told_otherwise(stores.data, incident_id, people, by=by.value)
            return told, await record.get(stores.data, incident_id)

    told, found = asyncio.run(work())
    left = found.affected - found.told
    if as_json:
        print_json({"told_otherwise": told, "listed": found.affected, "untold": left})
    else:
        out.print(
            f"{told} recorded as told otherwise; {left} of {found.affected} on the list aren't told yet.",
            soft_wrap=True,
        )


@app.command("send")
@verb(DataUse.NOTICES, bulk=Bulk.NOTICE)
def send(
    incident_id: IncidentId, by: By, yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False
) -> None:
    """Tell the people on the list, each once, through the outbox (Art. 34). Show them first: `incidents draft`."""
    contact = Settings.load().privacy_contact

    async def before() -> int:
        async with opened(Settings.load()) as stores:
            found = await record.get(stores.data, incident_id)
            telling.ready(found, contact)
            return found.affected - found.told

    async def work() -> tuple[int, int]:
        async with opened(Settings.load()) as stores:
            with progress_bar("Telling people") as bar:
                return await _tell(stores, incident_id, by, contact, bar)

    waiting = asyncio.run(before())
    if not waiting:
        fail("Nobody on the list waits to be told: put people on it with `incidents affected`.")
    if not yes and not typer.confirm(f"Tell {waiting} people?"):
        fail("Nobody was told.")
    told, untold = asyncio.run(work())
    out.print(f"{told} {'notice' if told == 1 else 'notices'} queued.")
    if untold:
        fail(
            f"{untold} {'person' if untold == 1 else 'people'} on the list can't be told by mail: their data is restricted, "
            "or can't be opened. Tell them otherwise, then record it: `incidents told-otherwise`."
        )


async def _tell(stores: Stores, incident_id: UUID, by: Role, contact: str, bar: Bar) -> tuple[int, int]:
    found = await record.get(stores.data, incident_id)
    waiting = [each for each, at in await affected.listed(stores.data, incident_id) if at is None]
    told = 0
    for number, subject_id in enumerate(waiting, 1):
        try:
            address = await person.address_for_notice(stores.data, subject_id)
            # A crash after it: whose notice is queued is marked, and is told no second time; that people are told is on
            # record since the first of them.
            told += await telling.tell(
                stores.data, stores.keys, found, subject_id, address, contact, begun_by=None if told else by.value
            )
        except (NotFound, UseRefused, KeyUnavailable):
            pass  # they stay on the list as not told
        bar(number, len(waiting))
    found = await record.get(stores.data, incident_id)
    return told, found.affected - found.told


def _wanted(who: list[str] | None, file: Path | None) -> list[str]:
    return [*(who or ()), *(_lines(file) if file is not None else ())]


async def _people(stores: Stores, wanted: list[str]) -> set[UUID]:
    """Subject ids. Raises NotFound for the first that is nobody, by its place in the list."""
    emails, found = EmailIndex(stores.keys), set[UUID]()
    for number, text in enumerate(wanted, 1):
        some_id = await emails.find(text) if "@" in text else _uuid(text)
        mine = await person.subjects(stores.data, some_id) if some_id is not None else []
        if not mine:
            raise NotFound(f"Number {number} of those given is nobody's address, subject id or account id here.")
        found.update(mine)
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _lines(file: Path) -> list[str]:
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as source:
            content = source.read(_FILE_BYTES_MAX + 1)  # a byte too many says as much as all the rest
        if len(content) > _FILE_BYTES_MAX:
            raise Rejected("Give a list of 10 MB at most.", field="file")
        text = content.decode()
    except (OSError, UnicodeDecodeError):
        raise Rejected("The file can't be read.", field="file") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
