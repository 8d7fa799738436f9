"""A process that is killed while a control runs."""

import asyncio
import os
import signal
from typing import NoReturn

import router.migrations.tables  # noqa: F401
from governance.controls import runs
from governance.controls.control import ControlResult
from governance.db import Database
from tests.governance.controls.made import CODE, Made


async def _die() -> ControlResult:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def main(url: str) -> NoReturn:
    asyncio.run(runs.run(Database(url), Made(_die), CODE))
    raise AssertionError
