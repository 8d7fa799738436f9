"""The verbs. Each is a function elsewhere; this file only names them, and imports the one that is asked for: with all of
them a command would take twice as long to start."""

import gc
import sys
from importlib import import_module
from typing import Final

import typer

VERBS: Final = {
    "serve": "serve",
    "migrate": "serve",
    "doctor": "doctor",
    "datamap": "datamap",
    "docs": "docs",
    "probe": "probe",
    "verify": "verify",
    "erase-check": "erase_check",
    "scan": "scan",
}
"""Each verb's module, in which its function has its name."""
GROUPS: Final = (
    "accounts",
    "keys",
    "outbox",
    "ledger",
    "backup",
    "jobs",
    "incidents",
    "audit",
    "controls",
    "promises",
    "policy",
)
"""Modules that hold a group of verbs."""


def _whole() -> None: ...


def command_line(wanted: str | None = None) -> typer.Typer:
    """The command line with the one verb or group that is wanted, or with all where it names none."""
    app = typer.Typer(
        name="valueapi",
        help="An AI API router whose privacy policy executes.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_whole,  # one verb alone is still named
    )
    everything = wanted not in (*VERBS, *GROUPS)
    for verb, module in VERBS.items():
        if everything or verb == wanted:
            app.command(verb)(getattr(import_module(f"router.cli.{module}"), verb.replace("-", "_")))
    for group in GROUPS:
        if everything or group == wanted:
            app.add_typer(import_module(f"router.cli.{group}").app, name=group)
    return app


def main() -> None:
    """The console script."""
    # What is imported stays: to look for garbage in it meanwhile takes a sixth of the time to start.
    gc.disable()
    app = command_line(sys.argv[1] if len(sys.argv) > 1 else None)
    gc.enable()
    app()
