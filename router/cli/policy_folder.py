"""What the commands about policies share: series by name, versions that ship, and a version's folder written out."""

from collections.abc import Mapping
from pathlib import Path

from governance.errors import Rejected
from policies import drafts, versions
from policies.version import SERIES, Version
from router.app.stores import Stores


def known_series(series: str) -> str:
    """Raises Rejected for what is none."""
    if series not in SERIES:
        raise Rejected(f"There is no series of that name: give one of {', '.join(SERIES)}.", field="series")
    return series


async def seeded(stores: Stores) -> None:
    """A home that no service has run on yet has the versions that ship, too."""
    await versions.seed(stores.data, versions.shipped())


async def found(stores: Stores, series: str, version: str, *, draft: bool) -> Version:
    """A published version, or a draft. Raises NotFound, Conflict as `versions.get` does, Rejected."""
    await seeded(stores)
    get = drafts.get if draft else versions.get
    return await get(stores.data, known_series(series), version)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Raises Rejected where it is there already, or can't be written."""
    try:
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except FileExistsError:
        raise Rejected(f"{folder} is there already.", field="out") from None
    except OSError:
        raise Rejected(f"{folder} can't be written.", field="out") from None
    return folder
