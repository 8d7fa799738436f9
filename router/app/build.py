"""Which program this is: its version, and a digest over every file that it was installed from."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import governance
import policies
import reports
import router

_PACKAGES: Final = (governance, policies, reports, router)
_MADE = "__pycache__"  # by the interpreter, from the sources beside it


@cache
def digest() -> str:
    """SHA-256 in hex, over the files of the four packages as they lay on the disk when it was first asked for.

    Each file counts with its path below the packages, its length and its bytes, in the order of the paths' bytes.
    """
    files: dict[bytes, Path] = {}
    for package in _PACKAGES:
        root = Path(str(package.__file__)).parent
        for path in root.rglob("*"):
            if _MADE not in path.parts and path.is_file():
                files[path.relative_to(root.parent).as_posix().encode()] = path
    total = hashlib.sha256()
    for name in sorted(files):
        data = files[name].read_bytes()
        total.update(b"%d %b %d " % (len(name), name, len(data)))
        total.update(data)
    return total.hexdigest()


@cache
def number() -> str:
    """The installed version; `0` where the program runs from a folder that isn't installed."""
    try:
        return version("valueapi")
    except PackageNotFoundError:
        return "0"
