"""Leaves a run's result in the event log: counts and names of programs alone."""

from governance import events
from router.probe.result import Result


async def record(result: Result, *, sample: bool) -> None:
    """One event `bodies:probe:clean|leak|void` of a run on this program, signed where the keys are open.

    `sample` says that not all cases were sent: clean is then clean for some of them.
    """
    await events.emit_async(
        f"bodies:probe:{result.verdict}",
        {
            "started": result.started.isoformat(),
            "seconds": round(result.seconds),
            "version": result.version,
            "program": result.program,
            "sample": sample,
            "cases": result.cases,
            "canaries": result.canaries,
            "planted": result.control.planted,
            "missed": len(result.control.missed),
            "findings": len(result.findings),
            "unread": len(result.unread),
            "bytes_read": result.bytes_read,
        },
    )
