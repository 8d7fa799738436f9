"""`valueapi controls`: the checks that promises rest on, and what each found."""

import asyncio
import os
from typing import Annotated

import typer

from governance.controls.control import Control, Outcome
from governance.controls.runs import Run
from router.app import child
from router.app.controls import kept, registry
from router.app.stores import opened
from router.cli import controls_run
from router.cli.output import Json, fail, out, print_json, table, verb
from router.settings import Settings

_LISTED = ("id", "outcome", "at", "examined")
app = typer.Typer(help="The checks that promises rest on.", no_args_is_help=True)


@app.command("list")
@verb()
def list_(as_json: Json = False) -> None:
    """Every control and how its newest run ended."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            last = await (await kept(stores)).latest()
            return [_row(control, last.get(control.id)) for control in registry(stores)]

    rows = asyncio.run(read())
    # By name, end and time it fits 80 columns; the rest is in `show` and the JSON.
    table(rows if as_json else [{name: row[name] for name in _LISTED} for row in rows], as_json)


@app.command("show")
@verb()
def show(control_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """What a control is about, and its last runs."""

    async def read() -> tuple[Control, list[Run]]:
        async with opened(Settings.load()) as stores:
            control = registry(stores).get(control_id)
            return control, await (await kept(stores)).history(control.id)

    control, found = asyncio.run(read())
    rows = [_ran(each) for each in found]
    if as_json:
        signed = [row | {"attestation": each.attestation} for row, each in zip(rows, found, strict=True)]
        print_json(_row(control, found[0] if found else None) | {"rule": control.rule, "runs": signed})
        return
    out.print(f"{control.title}\n“{control.rule}”\n{control.source}", markup=False)
    table(rows, False)


@app.command("run")
@verb()
def run(
    control_ids: Annotated[list[str] | None, typer.Argument(metavar="IDS", help="Default: every control.")] = None,
    as_json: Json = False,
) -> None:
    """Run controls now and record what they find. Exit 1 where one fails."""
    os.nice(child.NICE)

    async def go() -> list[Run]:
        async with opened(Settings.load()) as stores:
            controls = registry(stores)
            chosen = [controls.get(each) for each in control_ids] if control_ids else list(controls)
            return await controls_run.run(stores, controls, chosen, shown=not as_json)

    found = asyncio.run(go())
    table([{"control": each.control, **_ran(each)} for each in found], as_json)
    if any(each.outcome is Outcome.FAILED for each in found):
        fail("A control fails: see `valueapi incidents list`.")


def _row(control: Control, run: Run | None) -> dict[str, object]:
    return {
        "id": control.id,
        "title": control.title,
        "severity": control.severity.value,
        "outcome": run.outcome.value if run is not None else None,
        "at": _time(run) if run is not None else None,
        "examined": run.examined if run is not None else None,
    }


def _ran(run: Run) -> dict[str, object]:
    return {
        "at": _time(run),
        "outcome": run.outcome.value,
        "examined": run.examined,
        "failures": list(run.failures),
        "missing": run.missing,
        "evidence": str(run.evidence_id) if run.evidence_id is not None else None,
    }


def _time(run: Run) -> str:
    return f"{run.at:%Y-%m-%d %H:%MZ}"
