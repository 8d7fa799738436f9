"""`valueapi ledger`: the book, added up again from its postings."""

import asyncio
from dataclasses import asdict

import typer

from governance.datamap import DataUse
from router.app.stores import opened
from router.billing import lease, ledger
from router.cli.output import Json, fail, out, print_json, verb
from router.settings import Settings

app = typer.Typer(help="The double-entry ledger.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `verify` a verb of its own."""


@app.command("verify")
@verb()
def verify(as_json: Json = False) -> None:
    """Add up the whole book: entries that balance, balances that equal their postings, leases that are covered."""

    async def read() -> tuple[ledger.LedgerCheck, int]:
        async with opened(Settings.load()) as stores, stores.data.session(DataUse.PAYMENT) as session:
            return await ledger.verify(session), len(await lease.differences(session))

    check, uncovered = asyncio.run(read())
    if as_json:
        print_json({**asdict(check), "ok": check.ok and not uncovered, "leases_that_differ": uncovered})
    if not check.ok or uncovered:
        fail("The ledger doesn't add up.")
    if not as_json:
        out.print("The ledger adds up: every entry sums to zero, every balance equals its postings.")
