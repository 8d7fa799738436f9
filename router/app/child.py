"""Work of the serving process that runs in a process of its own, gives way to everything else, and dies with it."""

import asyncio
import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Final

NICE: Final = 19  # serving must not feel it
_PR_SET_PDEATHSIG: Final = 1
_GRACE_SECONDS: Final = 10.0


async def run(module: str) -> int:
    """`python -m module` to its end; its exit code. Cancelled, it is asked to end, and killed where it doesn't."""
    # Metrics of a process that serves nothing would be counted to those of the workers.
    environment = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,  # a traceback could hold what it read
    )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
        if process.returncode is None:
            process.kill()
        raise


def give_way() -> None:
    """Said by the child of itself, first thing."""
    os.nice(NICE)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
