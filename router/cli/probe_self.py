"""`valueapi probe --self`: what the scheduled job does, now and here."""

import asyncio
import os

from governance.bodies.probe_run import ProbeRun
from router.app import child, self_probe
from router.app.own_probe import probe
from router.cli.output import out, print_json, table
from router.settings import Settings


def run(as_json: bool) -> str:
    """Probe the running service of this home and keep the result; its verdict. Raises Conflict where another probes it."""
    os.nice(child.NICE)
    row = asyncio.run(self_probe.run(Settings.load(), probe))
    told = _told(row)
    if as_json:
        print_json(told)
    else:
        table([{name: value for name, value in told.items() if not isinstance(value, list)}], False)
        listed = {"found": row.findings, "missed": row.missed, "not read": row.unread}
        for name, lines in listed.items():
            for line in lines:
                out.print(f"{name}: {line}", markup=False, soft_wrap=True)
    return row.verdict


def _told(row: ProbeRun) -> dict[str, object]:
    return {
        "verdict": row.verdict,
        "why": row.why,
        "id": str(row.id),
        "cases": row.cases,
        "canaries": row.canaries,
        "control": f"{row.planted} planted, {len(row.missed)} missed",
        "found": row.found,
        "bytes_read": row.bytes_read,
        "seconds": round((row.ended_at - row.started_at).total_seconds(), 1),
        "build": row.build,
        "findings": row.findings,
        "missed": row.missed,
        "unread": row.unread,
        "searched": row.searched,
    }
