"""`valueapi promises`: the live registers beside the frozen one: which controls a promise is bound to, and documents."""

import asyncio
import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from policies import attestations, bindings
from router.accounts.roles import Role
from router.app.controls import registry
from router.app.registers import promised
from router.app.stores import opened
from router.cli.output import Json, out, table, verb
from router.settings import Settings

app = typer.Typer(help="What the promises of the policy in force are shown by.", no_args_is_help=True)
By = Annotated[Role, typer.Option(help="The role that answers for it.")]


@app.command("list")
@verb()
def list_(as_json: Json = False) -> None:
    """Every promise, and what it is bound to now."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            register, _ = await promised(stores.data)
            return [
                {
                    "id": statement.id,
                    "kind": promise.kind.value,
                    "controls": list(promise.controls),
                    "documents": list(promise.attestations),
                    "text": statement.text,
                }
                for statement, promise in register.promises
            ]

    table(asyncio.run(read()), as_json)


@app.command("bind")
@verb()
def bind(
    statement: Annotated[str, typer.Argument(help="The sentence's id, as 2.6.")],
    controls: Annotated[list[str] | None, typer.Argument(metavar="CONTROLS")] = None,
    *,
    by: By,
) -> None:
    """Bind a promise to other controls than its version began with. The change is logged for good."""

    async def write() -> None:
        async with opened(Settings.load()) as stores:
            known = registry(stores).ids
            register, _ = await promised(stores.data)
            await bindings.bind(stores.data, register, statement, controls or [], known, by.value)
            await stores.log.advance()

    asyncio.run(write())
    out.print("Bound; `valueapi verify` goes by it from now on.")


@app.command("attest")
@verb()
def attest(
    name: Annotated[str, typer.Argument(help="The document's name, as the promise asks for it.")],
    document: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The signed document: its SHA-256 is kept.")
    ],
    expires: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day on which it is good.")],
    by: By,
) -> None:
    """Record a signed document that shows what code can't see."""
    until = expires.replace(hour=23, minute=59, second=59, tzinfo=UTC)
    with document.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()

    async def write() -> None:
        async with opened(Settings.load()) as stores:
            register, _ = await promised(stores.data)
            await attestations.add(stores.data, register, name, digest, until, by.value)
            await stores.log.advance()

    asyncio.run(write())
    out.print(f"Recorded, with SHA-256 {digest}. Keep the document itself: only its digest rests here.")


@app.command("documents")
@verb()
def documents(as_json: Json = False) -> None:
    """Every document that was recorded, and which are still asked for."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            return [asdict(each) | {"stands": each.stands} for each in await attestations.history(stores.data)]

    table(asyncio.run(read()), as_json)
