"""Where the service's own probe is served from: `run/probe.json` names its upstream's port while a probe runs.

The file is the owner's alone (0600) and names an end, so that one left behind by a crash opens nothing for long. It is
looked at for the probe's principal and for nobody else.
"""

import json
import os
import stat
import time
from pathlib import Path
from typing import Final

from router.providers.catalog import Catalog
from router.providers.probe_catalog import probe_catalog

FILE: Final = "probe.json"
SECONDS_MAX: Final = 900
_BYTES_MAX: Final = 256


class ProbeRoutes:
    """One process's look at the file."""

    def __init__(self, run_folder: Path) -> None:
        self._path = run_folder / FILE
        self._seen: tuple[int, int] | None = None
        self._until = 0.0
        self._catalog: Catalog | None = None

    def catalog(self) -> Catalog | None:
        """The running probe's catalog; None where none runs. One system call while the file doesn't change."""
        try:
            found = self._path.lstat()
        except OSError:
            self._seen = self._catalog = None
            return None
        now = found.st_ino, found.st_mtime_ns
        if now != self._seen:
            self._seen, self._catalog = now, None
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
                self._read()
        return self._catalog if time.time() < self._until <= time.time() + SECONDS_MAX else None

    def _read(self) -> None:
        try:
            told = json.loads(self._path.read_bytes()[:_BYTES_MAX])
            port, until = int(told["port"]), float(told["until"])
            if 0 < port < 2**16:
                self._until, self._catalog = until, probe_catalog(port)
        except (OSError, ValueError, KeyError, TypeError):
            return


def announce(run_folder: Path, port: int, seconds: float) -> None:
    """Say that a probe runs, for so many seconds at most. Raises OSError."""
    draft = run_folder / f".{FILE}"
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, json.dumps({"port": port, "until": time.time() + min(seconds, SECONDS_MAX)}).encode())
    finally:
        os.close(handle)
    draft.replace(run_folder / FILE)


def withdraw(run_folder: Path) -> None:
    """Say that none does."""
    (run_folder / FILE).unlink(missing_ok=True)
