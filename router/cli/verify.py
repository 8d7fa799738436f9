"""`valueapi verify`: the policy in force, promise by promise, by the evidence that there is."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from governance.controls import waiting
from governance.controls.runs import Run
from governance.evidence import own
from governance.evidence.verify import Report
from policies import attestations, kept
from policies.bindings import Binding
from policies.kept import Shown, State
from policies.promises import Register
from router.app import child
from router.app.controls import kept as controls_kept
from router.app.controls import registry
from router.app.registers import REGISTERS, promised
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
_WRONG_SHOWN = 10


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
    seen = asyncio.run(_look(recorded, anew, shown_progress=not as_json))
    if as_json:
        print_json(_told(seen))
    else:
        _print(seen)
    states_ = {each.state for each in seen.promises}
    if states_ != {State.KEPT} or seen.wrong:
        raise typer.Exit(Exit.FAILED if seen.wrong or states_ & set(_BAD) else Exit.INCOMPLETE)


@dataclass(frozen=True, slots=True)
class _Seen:
    """`changed`: promises that were bound anew; `log`: what the evidence rests on, None before anything was published."""

    register: Register
    changed: Mapping[str, Binding]
    promises: list[Shown]
    runs: Mapping[str, Run]
    log: Report | None

    @property
    def wrong(self) -> list[str]:
        """What isn't as it was recorded: no evidence counts while there is any."""
        return [each.what for each in self.log.findings] if self.log is not None else []


async def _look(recorded: bool, anew: bool, *, shown_progress: bool) -> _Seen:
    async with opened(Settings.load()) as stores:
        controls = registry(stores)
        register, changed = await promised(stores.data)
        runs = await controls_kept(stores)
        if not recorded:
            chosen = list(controls) if anew else waiting.without_fresh_pass(controls, await runs.latest())
            await controls_run.run(stores, controls, chosen, shown=shown_progress)
        last = await runs.judged()
        shown = kept.shown(register, controls, last, await attestations.current(stores.data))
        return _Seen(register, changed, shown, last, await own.check(stores.log, REGISTERS))


def _told(seen: _Seen) -> dict[str, object]:
    found = seen.promises
    return {
        "policy": seen.register.version,
        "program": program.digest(),
        "log": {"size": seen.log.size if seen.log is not None else 0, "ok": not seen.wrong, "findings": seen.wrong},
        "counts": kept.counted(found),
        "notices": len(seen.register.statements) - len(found),
        "promises": [
            {
                "id": each.statement.id,
                "text": each.statement.text,
                "kind": each.promise.kind.value,
                "state": each.state.value,
                "controls": list(each.promise.controls),
                "attestations": list(each.promise.attestations),
                "narrowed_by": each.promise.narrowed_by,
                "bound": _binding(seen.changed.get(each.statement.id)),
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
            for run in sorted(seen.runs.values(), key=lambda run: run.control)
        ],
    }


def _binding(changed: Binding | None) -> dict[str, str] | None:
    if changed is None:
        return None
    return {"at": changed.at.isoformat(timespec="seconds"), "by": changed.by, "evidence": str(changed.evidence_id)}


def _print(seen: _Seen) -> None:
    grid = Table.grid(padding=(0, 2))
    for each in seen.promises:
        grid.add_row(each.statement.id, f"[{_STYLE[each.state]}]{each.state.value}[/]", escape(each.statement.text))
        for why in each.missing:
            grid.add_row("", "", f"[dim]{escape(why)}[/]")
        for name, entry in each.evidence.items():
            grid.add_row("", "", f"[dim]evidence of {name}: {entry}[/]")
        if (changed := seen.changed.get(each.statement.id)) is not None:
            told = f"bound to other controls on {changed.at:%Y-%m-%d} by {changed.by}: {changed.evidence_id}"
            grid.add_row("", "", f"[dim]{escape(told)}[/]")
    out.print(grid)
    counts = ", ".join(f"{number} {state}" for state, number in kept.counted(seen.promises).items() if number)
    out.print(f"\n{len(seen.promises)} promises of {seen.register.version}: {counts}.", markup=False)
    if seen.wrong:
        out.print("The evidence isn't as it was recorded, and shows nothing until that is explained:", style="bold red")
        for what in seen.wrong[:_WRONG_SHOWN]:
            out.print(f"WRONG {what}", markup=False, soft_wrap=True)
        out.print("`valueapi audit verify` says all of it.", markup=False)
    elif seen.log is not None:
        out.print(f"The evidence is as it was recorded, in a log of {seen.log.size} entries.", style="dim")
