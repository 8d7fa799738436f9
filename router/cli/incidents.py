"""`valueapi incidents`: controls that were seen to fail, until somebody answers for them."""

import asyncio
from typing import Annotated
from uuid import UUID

import typer

from governance.bodies import incidents
from router.accounts.roles import Role
from router.app.stores import opened
from router.cli.output import Json, out, table, verb
from router.settings import Settings

app = typer.Typer(help="Controls that were seen to fail.", no_args_is_help=True)


@app.command("list")
@verb()
def list_(as_json: Json = False) -> None:
    """The newest incidents, open ones and acknowledged ones."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            return [
                {
                    "id": str(row.id),
                    "control": row.control,
                    "cause": row.cause,
                    "opened": row.opened_at.isoformat(timespec="seconds"),
                    "runs": row.runs,
                    "probe": str(row.probe_id),
                    "found": row.found,
                    "acknowledged": row.acknowledged_at.isoformat(timespec="seconds") if row.acknowledged_at else None,
                    "by": row.acknowledged_by,
                    "reason": row.reason,
                }
                for row in await incidents.listed(stores.data)
            ]

    table(asyncio.run(read()), as_json)


@app.command("acknowledge")
@verb()
def acknowledge(
    incident_id: Annotated[UUID, typer.Argument(metavar="ID", help="The incident's id.")],
    by: Annotated[Role, typer.Option(help="The role that answers for it.")],
    reason: Annotated[
        str, typer.Option(help="What was found out and done. Kept for good: name no person, quote nothing.")
    ],
) -> None:
    """Answer for an incident, once what was written is removed: a service that it closed serves again at once."""
    if by is not Role.OPERATOR:
        raise typer.BadParameter("Only an operator answers for an incident.", param_hint="--by")

    async def write() -> None:
        async with opened(Settings.load()) as stores:
            await incidents.acknowledge(stores.data, incident_id, by=by.value, reason=reason)
            stores.shared.bump()

    asyncio.run(write())
    out.print("Acknowledged. Answers say `unverified` until the next clean probe: `valueapi jobs run self-probe`.")
