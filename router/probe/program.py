"""Which program a result is about: its version, and a digest over the sources that run."""

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

import governance
import policies
import reports
import router

_PACKAGES = (governance, policies, reports, router)
_MADE = ("__pycache__", ".pyc")


@cache
def version() -> str:
    try:
        return metadata.version("valueapi")
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def digest() -> str:
    """SHA-256 over names and bytes of every file of the four packages, hex, as they lay on the disk when it was first
    asked for: a serving process asks at its start."""
    total = hashlib.sha256()
    for package in _PACKAGES:
        root = Path(package.__file__ or "").parent
        for path in sorted(root.rglob("*")):
            if path.is_file() and not any(part.endswith(_MADE) for part in path.parts):
                name = f"{package.__name__}/{path.relative_to(root)}"
                total.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return total.hexdigest()
