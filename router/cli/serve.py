"""`valueapi serve` and `valueapi migrate`."""

import asyncio
import os
import sys
from typing import Annotated

import typer

from router.app import first_run, serving
from router.app.stores import migrate as migrate_stores
from router.cli.output import out, plain_errors
from router.settings import Settings


@plain_errors
def migrate() -> None:
    """Make the folders and a first root key where there is none, and bring both stores to the newest version."""
    asyncio.run(migrate_stores(Settings.load()))
    out.print("Both stores are at the newest version.")


@plain_errors
def serve(
    first: Annotated[
        bool, typer.Option("--first-run", help="Development: make first accounts if there are none.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Serving processes; overrides VALUEAPI_WORKERS.")] = None,
) -> None:
    """Migrate, then serve until interrupted."""
    if workers is not None:
        # Workers read their settings anew, so the option travels as the setting it stands for.
        os.environ["VALUEAPI_WORKERS"] = str(workers)
    settings = Settings.load()
    serving.harden()
    asyncio.run(migrate_stores(settings))
    made = asyncio.run(first_run.prepare(settings, make=first))
    base = settings.base_url()
    out.print(f"ValueAPI is starting on {base}  (portal: {base}/portal/)", markup=False, soft_wrap=True)
    if made is not None:
        _welcome(made, base)
    sys.stdout.flush()
    raise typer.Exit(serving.serve(settings))


def _welcome(made: dict[str, object], base: str) -> None:
    """The key is shown once; the file keeps it for scripts."""
    lines = (
        "",
        f"Your first API key (shown this once): {made['api_key']}",
        "",
        "Try it:",
        f"  curl {base}/v1/chat/completions -H 'Authorization: Bearer {made['api_key']}' \\",
        "    -H 'Content-Type: application/json' \\",
        """    -d '{"model":"simulator/gpt","messages":[{"role":"user","content":"Hello"}]}'""",
        "",
        f"Sign in at {base}/portal/ with `user` of first-run.json, which lies in the home folder, readable by you alone,",
        "and has the other first accounts too. Without a provider's key the local simulator answers.",
        "",
    )
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
