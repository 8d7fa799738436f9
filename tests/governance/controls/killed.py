"""A process that is killed while a control runs."""

import asyncio
import os
import signal
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import router.migrations.tables  # noqa: F401
from governance.bodies.attestation import Signer
from governance.controls.control import ControlResult
from governance.controls.runs import Runs
from governance.db import Database
from tests.governance.controls.made import CODE, Made


async def _die() -> ControlResult:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def main(url: str) -> NoReturn:
    signer = Signer("none", Ed25519PrivateKey.generate())  # it comes to no signature
    asyncio.run(Runs(Database(url), signer).run(Made(_die), CODE))
    raise AssertionError
