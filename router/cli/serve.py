"""`valueapi serve` and `valueapi migrate`."""

import asyncio
import os
import sys
from typing import Annotated

import typer

from governance.bodies.confine import harden
from router.app import first_run, serving
from router.app.stores import migrate as migrate_stores
from router.cli.output import out, verb
from router.settings import Settings
from router.surface import GATEWAY_PATHS, Endpoint, Portal


@verb()
def migrate() -> None:
    """Make the folders and a first root key where there is none, and bring both stores to the newest version."""
    asyncio.run(migrate_stores(Settings.load()))
    out.print("Both stores are at the newest version.")


@verb()
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
    harden()
    serving.check_address(settings)
    asyncio.run(migrate_stores(settings))
    made = asyncio.run(first_run.prepare(settings, make=first))
    base = settings.base_url()
    out.print(f"ValueAPI is starting on {base}  (portal: {base}{Portal.OVERVIEW})", markup=False, soft_wrap=True)
    if made is not None:
        _welcome(made, settings)
    sys.stdout.flush()
    raise typer.Exit(serving.serve(settings))


def _welcome(made: dict[str, object], settings: Settings) -> None:
    """The key is shown once, on a terminal alone: what else prints is often kept. The file keeps it for scripts."""
    base, file = settings.base_url(), settings.home / first_run.FILE
    if sys.stdout.isatty():
        first, key = f"Your first API key (shown this once): {made['api_key']}", str(made["api_key"])
    else:
        first = f"Your first API key is in {file}, which only you can read."
        key = f"""'"$(sed -n 's/.*"api_key": "\\([^"]*\\)".*/\\1/p' {file})"'"""
    model, provider = first_run.first_model(settings)
    answers = (
        "Without a provider's key the local simulator answers."
        if provider is None
        else f"A key for the provider {provider} was found: this request goes there, at your expense."
    )
    lines = (
        "",
        first,
        "",
        "Try it:",
        f"  curl {base}{GATEWAY_PATHS[Endpoint.CHAT]} -H 'Authorization: Bearer {key}' \\",
        "    -H 'Content-Type: application/json' \\",
        f"""    -d '{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}'""",
        "",
        answers,
        f"Sign in at {base}{Portal.OVERVIEW} with `user` of {file}, which only you can read;",
        "the other first accounts are in it too.",
        "",
    )
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
