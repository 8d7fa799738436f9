"""`python -m router.app.probe_process`: one self-probe in a process of its own, which gives way to everything else."""

import asyncio
import ctypes
import os
import signal
import sys
import tempfile
from contextlib import suppress
from typing import Final

from governance.bodies.verdict import Verdict
from governance.errors import ValueAPIError
from router.app import self_probe
from router.app.own_probe import probe
from router.settings import Settings
from router.surface import Exit

SELF_PROBE: Final = "self-probe"
EXIT: Final = {Verdict.CLEAN: Exit.OK, Verdict.LEAK: Exit.FAILED, Verdict.VOID: Exit.USAGE}
_RECORDED: Final = (EXIT[Verdict.CLEAN], EXIT[Verdict.LEAK])
NICE: Final = 19  # serving must not feel it
_PR_SET_PDEATHSIG: Final = 1
_GRACE_SECONDS: Final = 10.0


class ProbeFailed(ValueAPIError):
    """The probe came to no result; what it recorded says why."""


async def start() -> None:
    """Run one and wait for it: what the job does. Raises ProbeFailed where it showed nothing, so that it is tried again."""
    # Metrics of a process that serves nothing would be counted to those of the workers.
    environment = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.app.probe_process"),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,  # a traceback could hold what the probe sent
    )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
        if process.returncode is None:
            process.kill()
        raise
    if code not in _RECORDED:
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
    os.nice(NICE)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    sys.exit(asyncio.run(_main()))
