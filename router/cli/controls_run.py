"""Runs controls for a command, with progress."""

from collections.abc import Sequence

from governance.controls.control import Control
from governance.controls.registry import Registry
from governance.controls.runs import Run
from governance.errors import Conflict
from governance.vault.purpose import Actor, states
from router.app.controls import kept
from router.app.stores import Stores
from router.cli.output import err, progress_bar
from router.probe import program


@states(Actor.JOB)
async def run(stores: Stores, registry: Registry, chosen: Sequence[Control], *, shown: bool) -> list[Run]:
    """Run the chosen ones one after the other, and give their entries a place in the log; `shown`: with a bar."""
    found: list[Run] = []
    runs = await kept(stores)
    await runs.bury(registry)
    with progress_bar("controls", shown=shown) as progress:
        for number, control in enumerate(chosen):
            progress(number, len(chosen), control.id)
            found.append(await runs.run(control, program.digest()))
        progress(len(chosen), len(chosen), "controls")
    try:
        await stores.log.advance()
    except Conflict as error:
        # The runs are recorded, and wait for their place; what they found is told all the same.
        err.print(f"The transparency log waits. {error}", markup=False, soft_wrap=True)
    return found
