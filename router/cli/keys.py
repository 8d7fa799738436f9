"""`valueapi keys`: the keys that values are sealed under (API keys are under `accounts`)."""

import asyncio
from typing import Any
from uuid import UUID

import typer

from router.app.stores import opened
from router.cli.output import Json, out, plain_errors, print_json, table
from router.settings import Settings

app = typer.Typer(help="Encryption keys: how many, under which root key.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `status` a verb of its own."""


@app.command("status")
@plain_errors
def status(as_json: Json = False) -> None:
    """How many subject and service keys are wrapped under each root key, and when destroying one is real."""

    async def read() -> dict[str, Any]:
        async with opened(Settings.load()) as stores:
            keyring = stores.keys.keyring
            states, counts = await keyring.root_ids(), await stores.keys.counts()
        return {
            "keyring": keyring.name,
            "destruction": keyring.destruction,
            "keys": [
                {"kind": kind, "root_key": str(root), "state": states.get(UUID(root), "unknown"), "keys": number}
                for kind, by_root in counts.items()
                for root, number in sorted(by_root.items())
            ],
        }

    told = asyncio.run(read())
    if as_json:
        print_json(told)
        return
    out.print(f"Keyring {told['keyring']}. {told['destruction']}", markup=False)
    table(told["keys"], False)
