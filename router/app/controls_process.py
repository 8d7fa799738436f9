"""`python -m router.app.controls_process`: runs the controls whose time has come, in a process of its own."""

import asyncio
import signal
import sys
import tempfile
from typing import Final

from governance.controls import waiting
from governance.errors import ValueAPIError
from governance.vault.purpose import Actor, states
from router.app import child
from router.app.controls import kept, registry
from router.app.stores import Stores, opened
from router.probe import program
from router.settings import Settings
from router.surface import Exit

CONTROLS: Final = "controls"


class ControlsFailed(ValueAPIError):
    """The process ended before every control had run; the runs that it recorded say which."""


async def start(stores: Stores) -> None:
    """What the job does: nothing where none is due. Raises ControlsFailed, so that it is tried again."""
    some = waiting.by_cadence(registry(stores), await (await kept(stores)).latest())
    if some and await child.run("router.app.controls_process") != Exit.OK:
        raise ControlsFailed("The controls' process ended early.")


async def look_for_stale(stores: Stores) -> None:
    """Open incidents for what wasn't looked at for too long: another job's work, so that this one can't end in silence."""
    await (await kept(stores)).open_stale(registry(stores))


@states(Actor.JOB)
async def _run(settings: Settings) -> None:
    async with opened(settings) as stores:
        controls, runs = registry(stores), await kept(stores)
        await runs.bury(controls)
        for control in waiting.by_cadence(controls, await runs.latest()):
            await runs.run(control, program.digest())
        await stores.log.advance()


async def _main() -> None:
    settings = Settings.load()
    # It is as confined as the process that started it: nothing outside the home can be written.
    scratch = settings.run_folder.absolute() / CONTROLS
    scratch.mkdir(parents=True, mode=0o700, exist_ok=True)
    tempfile.tempdir = str(scratch)
    task = asyncio.ensure_future(_run(settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


if __name__ == "__main__":
    child.give_way()
    sys.exit(asyncio.run(_main()))
