"""`valueapi jobs`: what the service does by the clock, when it is due, and how it ended the last time."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from governance.jobs import due
from router.app.stores import opened
from router.cli.output import Json, out, table, verb
from router.settings import Settings

app = typer.Typer(help="Work that the service does by the clock.", no_args_is_help=True)


@app.command("list")
@verb()
def list_(as_json: Json = False) -> None:
    """Every job: when it is due, when it last began and ended, how, and how often it failed in a row."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            return [asdict(state) for state in await due.states(stores.data)]

    table(asyncio.run(read()), as_json)


@app.command("run")
@verb()
def run(name: Annotated[str, typer.Argument(help="The job's name.")]) -> None:
    """Make a job due now: the running service begins it within seconds."""

    async def ask() -> None:
        async with opened(Settings.load()) as stores:
            await due.ask(stores.data, name)

    asyncio.run(ask())
    out.print("It is due: the running service begins it within seconds; `valueapi jobs list` shows how it ended.")
