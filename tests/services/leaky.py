"""Makes a service keep what it should not, in all of its processes: a `sitecustomize` that wraps one method.

The leak is on while the file `leak` lies beside it.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
_CODE = """
import pathlib, sys
sys.path.insert(0, {root!r})
from router.gateway.api import Gateway

switch, debug = pathlib.Path({switch!r}), pathlib.Path({debug!r})
read = Gateway._read

async def leaky(self, *given):
    body = await read(self, *given)
    if switch.exists():
        with debug.open("ab") as log:
            log.write(body.expose())
    return body

Gateway._read = leaky
"""


def environment(folder: Path, home: Path) -> dict[str, str]:
    """Settings for a service of that home that leaks while `folder/leak` exists."""
    folder.mkdir()
    switch, debug = folder / "leak", home / "log" / "debug.log"
    (folder / "sitecustomize.py").write_text(_CODE.format(root=str(ROOT), switch=str(switch), debug=str(debug)))
    return {"PYTHONPATH": f"{folder}:{ROOT}"}
