"""`python -m router.app.probe_process`: one self-probe in a process of its own."""

import asyncio
import signal
import sys
import tempfile
from typing import Final

from governance.bodies.verdict import Verdict
from governance.errors import ValueAPIError
from router.app import child, self_probe
from router.app.own_probe import probe
from router.settings import Settings
from router.surface import Exit

SELF_PROBE: Final = "self-probe"
EXIT: Final = {Verdict.CLEAN: Exit.OK, Verdict.LEAK: Exit.FAILED, Verdict.VOID: Exit.USAGE}
_RECORDED: Final = (EXIT[Verdict.CLEAN], EXIT[Verdict.LEAK])


class ProbeFailed(ValueAPIError):
    """The probe came to no result; what it recorded says why."""


async def start() -> None:
    """Run one and wait for it: what the job does. Raises ProbeFailed where it showed nothing, so that it is tried again."""
    if await child.run("router.app.probe_process") not in _RECORDED:
        raise ProbeFailed("The probe came to no result.")


async def _main() -> int:
    settings = Settings.load()
    # It is as confined as the process that started it: nothing outside the home can be written.
    tempfile.tempdir = str(self_probe.scratch(settings))
    task = asyncio.ensure_future(self_probe.run(settings, probe))
    # Its own end, so that key and file are gone before it is.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return EXIT[Verdict((await task).verdict)]


if __name__ == "__main__":
    child.give_way()
    sys.exit(asyncio.run(_main()))
