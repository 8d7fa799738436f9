"""What each living process of `serve` found when it confined itself, and where it prints to: a file each in the run folder,
for `valueapi doctor` and the self-probe.

A process holds its file by a lock that the kernel frees with it, so that a file of a dead one counts for nothing.
"""

import fcntl
import json
import os
import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from governance.bodies.confine import Confinement, Kept, Measure


def folder(run_folder: Path) -> Path:
    """The folder of these files, whether there is one yet or not."""
    return run_folder.absolute() / "confinement"


def leave(
    run_folder: Path,
    confined: Confinement,
    off: Collection[str] = (),
    prints: Sequence[str] = (),
    setup: Mapping[str, object] | None = None,
) -> int:
    """Leave it, with the names of what was turned off, where it prints to (`outputs`) and how it is set up (`setup`), and
    clear away those of the dead.

    The descriptor that it gives holds it while this process lives.
    """
    place = folder(run_folder)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _door(place, fcntl.LOCK_EX):
        for file in place.glob("*.json"):
            if not _is_held(file):
                file.unlink()
        # Processes of two containers on one home may have the same number.
        name = f"{confined.process_id}-{secrets.token_hex(8)}.json"
        handle = os.open(place / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        measures = [[measure.name, measure.held, measure.detail, measure.mend] for measure in confined.measures]
        told: dict[str, object] = {
            "process_id": confined.process_id,
            "measures": measures,
            "off": [*off],
            "prints": [*prints],
        }
        told["setup"] = dict(setup or {})
        os.write(handle, json.dumps(told).encode())
        return handle


def left(run_folder: Path) -> list[Confinement]:
    """Of each process that lives, by its number."""
    found = [
        Confinement(one["process_id"], tuple(Measure(Kept(name), *rest) for name, *rest in one["measures"]))
        for one in _told(run_folder)
    ]
    return sorted(found, key=lambda one: one.process_id)


def turned_off(run_folder: Path) -> Counter[str]:
    """In how many of the processes that live each is turned off."""
    return Counter(name for one in _told(run_folder) for name in one["off"])


def prints(run_folder: Path) -> list[tuple[int, list[str]]]:
    """Of each process that lives: its number, and where it prints to."""
    return [(one["process_id"], one["prints"]) for one in _told(run_folder)]


def setups(run_folder: Path) -> list[dict[str, object]]:
    """How each process that lives is set up."""
    return [one["setup"] for one in _told(run_folder)]


def _told(run_folder: Path) -> list[Any]:
    place = folder(run_folder)
    if not place.is_dir():
        return []
    with _door(place, fcntl.LOCK_SH):
        return [json.loads(file.read_bytes()) for file in place.glob("*.json") if _is_held(file)]


@contextmanager
def _door(place: Path, kind: int) -> Iterator[None]:
    """A file that was just made isn't held yet: nobody looks until it is."""
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)


def _is_held(file: Path) -> bool:
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
