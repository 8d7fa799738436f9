"""`valueapi keys`: the keys that values are sealed under (API keys are under `accounts`)."""

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from governance.backup.receipt import Receipt, receipts
from governance.period import Period
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


@app.command("destroyed")
@verb()
def destroyed(
    key_ids: Annotated[list[UUID] | None, typer.Argument(help="Ids of destroyed keys; default: the last ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the last ones.")] = 20,
    as_json: Json = False,
) -> None:
    """Destroyed keys: from when that is real, and until when backups or old copies still know of them."""

    async def read() -> list[Receipt]:
        settings = Settings.load()
        async with opened(settings) as stores:
            ids = key_ids or await stores.keys.last_destroyed(limit)
            return await receipts(stores.keys, ids, Period.parse(settings.index_renewal))

    def moment(at: datetime | None) -> str | None:
        return at.isoformat(timespec="seconds") if at is not None else None

    found = sorted(asyncio.run(read()), key=lambda each: each.destroyed.destroyed_at, reverse=True)
    table(
        [
            {
                "key": str(each.destroyed.key_id),
                "kind": each.destroyed.kind,
                "destroyed": moment(each.destroyed.destroyed_at),
                "real_from": moment(each.destroyed.real_at),
                "in_key_backups_until": moment(each.backup_until),
                "address_confirmable_until": moment(each.confirmable_until),
                "limit": each.destroyed.limit,
            }
            for each in found
        ],
        as_json,
    )


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
        out.print(
            f"{done.total} keys replaced. The service destroys the old ones after {rotation.GRACE.days} days, but none that a "
            "data backup still needs: `valueapi backup list`. Make a backup of the key store now: the new keys are in none yet.",
            soft_wrap=True,
        )
    else:
        out.print(f"{done.total} rewrapped; the old key is destroyed.")
