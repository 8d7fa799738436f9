"""`valueapi keys`: the keys that values are sealed under (API keys are under `accounts`)."""

import asyncio
from typing import Any

import typer

from governance.vault import rotation
from governance.vault.purpose import Bulk
from governance.vault.rotation import Progress, What
from router.app.stores import opened
from router.cli.output import Json, out, print_json, progress_bar, table, verb
from router.settings import Settings

app = typer.Typer(help="Encryption keys: how many, under which root key.", no_args_is_help=True)


@app.command("status")
@verb()
def status(as_json: Json = False) -> None:
    """Keys by kind, the root keys they hang on, what a rotation has still to do, and when destruction is real."""

    async def read() -> dict[str, Any]:
        async with opened(Settings.load()) as stores:
            keys = stores.keys
            rotations = {what: await rotation.last(what, keys) for what in What}
            states, root = await keys.keyring.root_ids(), await keys.root_id()
            held = {**({root: "unknown"} if root is not None else {}), **states}
            return {
                "keyring": keys.keyring.name,
                "destruction": keys.keyring.destruction,
                "roots": [
                    {"root_key": str(each), "state": state, "in_use": each == root} for each, state in held.items()
                ],
                "keys": await keys.counts(),
                "nodes": await keys.nodes(),
                "rotations": [
                    {
                        "what": what.value,
                        "started_at": row.started_at.isoformat(),
                        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
                        "left": await rotation.left(row, keys),
                        "total": row.total,
                    }
                    for what, row in rotations.items()
                    if row is not None
                ],
            }

    told = asyncio.run(read())
    if as_json:
        print_json(told)
        return
    out.print(f"Keyring {told['keyring']}. {told['destruction']}", markup=False)
    for part in ("roots", "keys", "rotations"):
        table(told[part], False)


@app.command("rotate")
@verb(bulk=Bulk.ROTATION)
def rotate(what: What, as_json: Json = False) -> None:
    """Rotate while the service runs: `kek` (root and node keys), `subjects`, or `index` (how addresses are found).

    A rotation that was cut short goes on where it was.
    """

    async def run() -> Progress:
        at = Progress(0, 0)
        async with opened(Settings.load()) as stores:
            with progress_bar(f"Rotating {what.value}", shown=not as_json) as show:
                async for at in rotation.rotate(what, stores.keys, stores.data):
                    show(at.done, at.total)
        return at

    done = asyncio.run(run())
    if as_json:
        print_json({"what": what.value, "rewrapped": done.total})
    elif what is What.SUBJECTS:
        out.print(f"{done.total} keys replaced; the old ones are destroyed after {rotation.GRACE}, by the service.")
    else:
        out.print(f"{done.total} rewrapped; the old key is destroyed.")
