"""`valueapi verify`: the policy in force, promise by promise, by the evidence that there is."""

import asyncio
import os
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from governance.controls import due
from governance.controls.runs import Run
from policies import attestations, bindings, kept, promises
from policies.kept import Shown, State
from policies.promises import Register
from router.app import child
from router.app.controls import kept as controls_kept
from router.app.controls import registry
from router.app.stores import opened
from router.cli import controls_run
from router.cli.output import Json, out, print_json, verb
from router.probe import program
from router.settings import Settings
from router.surface import Exit

_STYLE: dict[State, str] = {
    State.KEPT: "green", State.FAILING: "bold red", State.STALE: "red", State.UNPROVEN: "yellow",
    State.UNATTESTED: "yellow",
}  # fmt: skip
_BAD = (State.FAILING, State.STALE)


@verb()
def verify(
    recorded: Annotated[bool, typer.Option("--recorded", help="Run nothing: judge by what is recorded.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Run every control, also one with fresh evidence.")] = False,
    as_json: Json = False,
) -> None:
    """Run the controls that have no fresh evidence, and say of each promise whether it is kept.

    Exit 0: all are. 3: none is failing or stale, but some lack a proof or a document. 1: else.
    """
    if recorded and anew:
        raise typer.BadParameter("Choose --recorded or --anew.")
    os.nice(child.NICE)
    register, found, last = asyncio.run(_look(recorded, anew, shown_progress=not as_json))
    if as_json:
        print_json(_told(register, found, last))
    else:
        _print(found)
    states_ = {each.state for each in found}
    if states_ != {State.KEPT}:
        raise typer.Exit(Exit.FAILED if states_ & set(_BAD) else Exit.INCOMPLETE)


async def _look(recorded: bool, anew: bool, *, shown_progress: bool) -> tuple[Register, list[Shown], Mapping[str, Run]]:
    async with opened(Settings.load()) as stores:
        controls = registry(stores)
        register = await bindings.bound(stores.data, promises.load())
        runs = await controls_kept(stores)
        if not recorded:
            waiting = list(controls) if anew else due.without_fresh_pass(controls, await runs.latest())
            await controls_run.run(stores, controls, waiting, shown=shown_progress)
        last = await runs.judged()
        return register, kept.shown(register, controls, last, await attestations.current(stores.data)), last


def _told(register: Register, found: list[Shown], last: Mapping[str, Run]) -> dict[str, object]:
    return {
        "policy": register.version,
        "program": program.digest(),
        "counts": kept.counted(found),
        "notices": len(register.statements) - len(found),
        "promises": [
            {
                "id": each.statement.id,
                "text": each.statement.text,
                "kind": each.promise.kind.value,
                "state": each.state.value,
                "controls": list(each.promise.controls),
                "attestations": list(each.promise.attestations),
                "narrowed_by": each.promise.narrowed_by,
                "evidence": {name: str(entry) for name, entry in each.evidence.items()},
                "missing": list(each.missing),
            }
            for each in found
        ],
        "controls": [
            {
                "id": run.control,
                "outcome": run.outcome.value,
                "at": run.at.isoformat(timespec="seconds"),
                "examined": run.examined,
                "failures": list(run.failures),
                "missing": run.missing,
                "evidence": str(run.evidence_id) if run.evidence_id is not None else None,
            }
            for run in sorted(last.values(), key=lambda run: run.control)
        ],
    }


def _print(found: list[Shown]) -> None:
    grid = Table.grid(padding=(0, 2))
    for each in found:
        grid.add_row(each.statement.id, f"[{_STYLE[each.state]}]{each.state.value}[/]", escape(each.statement.text))
        for why in each.missing:
            grid.add_row("", "", f"[dim]{escape(why)}[/]")
        for name, entry in each.evidence.items():
            grid.add_row("", "", f"[dim]evidence of {name}: {entry}[/]")
    out.print(grid)
    counts = ", ".join(f"{number} {state}" for state, number in kept.counted(found).items() if number)
    out.print(f"\n{len(found)} promises: {counts}.", markup=False)
