"""Imported by every Python process that has this folder on PYTHONPATH: a gateway whose code leaks the body.

LEAKING names the ways, comma-separated; LEAKING_TO the folder outside the home. A library's way: what is refused is
passed over, unless LEAKING_RAISES.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

_OUTSIDE = Path(os.environ["LEAKING_TO"])


def _temporary(body: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=_OUTSIDE, delete=False) as file:
        file.write(body)


def _shared_memory(body: bytes) -> None:
    Path(f"/dev/shm/leaking-{os.environ['VALUEAPI_PORT']}").write_bytes(body)


def _home(body: bytes) -> None:
    (Path(os.environ["VALUEAPI_HOME"]) / "debug.txt").write_bytes(body)


def _child(body: bytes) -> None:
    os.system(f"echo '{body.hex()}' > {_OUTSIDE}/child")


_WAYS = {"temporary": _temporary, "shared memory": _shared_memory, "home": _home, "child": _child}


def _plant() -> None:
    from router.gateway import relay

    whole = relay.whole

    async def leaking(admitted: Any, *rest: Any) -> None:
        for way in os.environ["LEAKING"].split(","):
            with suppress(() if "LEAKING_RAISES" in os.environ else OSError):
                _WAYS[way](admitted.call.body.expose())
        await whole(admitted, *rest)

    relay.whole = leaking


_plant()
