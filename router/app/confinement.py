"""Confines a process of `serve` as the settings say, tells how that went, and names what a request may write."""

import os
import re
import sys

import structlog

from governance import events
from governance.bodies import write_watch
from governance.bodies.confine import Confinement, Kept, Measure, confine, record
from governance.bodies.write_watch import Declared
from governance.errors import ConfigurationError
from router.app import confinement_left, outputs, setup
from router.settings import Settings

GUARD, WRITE_WATCH = "guard", "write_watch"
_log = structlog.get_logger("service")


def apply(settings: Settings) -> Confinement:
    """Confine this process, before it starts a thread or a loop.

    Raises ConfigurationError where the settings require all measures and one isn't held.
    """
    sys.dont_write_bytecode = True  # an import while serving writes nothing beside the program
    settings.make_folders()
    confined = confine(settings.writable_folders(), lock=settings.lock_memory, on=settings.confinement != "off")
    _say(confined)
    if settings.confinement == "required" and not confined.held:
        events.open_sink(settings.log_folder)
        record(confined)
        raise ConfigurationError("VALUEAPI_CONFINEMENT=required, and this isn't held: " + _sentences(confined.missing))
    confinement_left.leave(
        settings.run_folder, confined, turned_off(settings), outputs.current(), setup.facts(settings)
    )
    if settings.write_watch != "off":
        write_watch.install(declared(settings), strict=settings.write_watch == "strict")
    return confined


def turned_off(settings: Settings) -> list[str]:
    """Which of the guard and the watch don't run: `GUARD`, `WRITE_WATCH`."""
    return [GUARD] * (not settings.body_guard) + [WRITE_WATCH] * (settings.write_watch == "off")


async def record_turned_off(settings: Settings) -> None:
    """Into the event log: what rests from now on rests with one layer less."""
    for name in turned_off(settings):
        await events.emit_async(f"bodies:{name}:off", {"process_id": os.getpid()})


def _say(confined: Confinement) -> None:
    if confined.held:
        _log.info("confined", **confined.words())
        return
    _log.error("not confined", **confined.words())
    print(f"NOT CONFINED: {_sentences(confined.missing)}", file=sys.stderr, flush=True)  # noqa: T201  said loudly


def _sentences(missing: tuple[Measure, ...]) -> str:
    return " ".join(
        f"{_KEEPS[measure.name]}: {measure.detail}." + (f" To mend it, {measure.mend}." if measure.mend else "")
        for measure in missing
    )


_KEEPS = {
    Kept.WRITES: "Files may be written anywhere",
    Kept.CORE_FILES: "A crash may leave a core file",
    Kept.MEMORY: "Other processes of this user may read the memory",
    Kept.SWAP: "Memory with prompts in it may be swapped to disk",
    Kept.FILE_MODES: "New files may be readable by others",
}


def declared(settings: Settings) -> Declared:
    """What the code of a gateway request may open for writing: the journal, the event log, workers' figures, the stores."""
    stores = tuple((file.parent, f"{re.escape(file.name)}(?:-wal|-shm|-journal)?") for file in settings.store_files())
    return Declared(
        settings.home,
        (
            (settings.data_folder / "journal", r"[0-9a-f-]+\.(?:journal|lock)"),
            (settings.log_folder, r"events(?:-[0-9TZ.-]+)?\.jsonl"),
            (settings.run_folder / "metrics", r"[^/]+/[a-z]+(?:_[a-z]+)*_[0-9]+\.db"),
            *stores,
        ),
    )
