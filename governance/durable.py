"""What makes a change of names outlive a power loss."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Names made, moved or removed in a folder are on the disk when this returns."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
