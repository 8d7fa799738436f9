"""`valueapi keys`: the keys that values are sealed under (API keys are under `accounts`)."""

import asyncio

import typer

from router.app.stores import opened
from router.cli.output import Json, plain_errors, table
from router.settings import Settings

app = typer.Typer(help="Encryption keys: how many, under which root key.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `status` a verb of its own."""


@app.command("status")
@plain_errors
def status(as_json: Json = False) -> None:
    """How many subject and service keys are wrapped under each root key."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            current = str(stores.keys.keyring.current())
            counts = await stores.keys.counts()
        return [
            {"kind": kind, "root_key": root, "current": root == current, "keys": number}
            for kind, by_root in counts.items()
            for root, number in sorted(by_root.items())
        ]

    table(asyncio.run(read()), as_json)
