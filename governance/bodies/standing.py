"""Whether the control `bodies-not-stored` stands now: what the last runs found, of which program, and how long ago.

It stands while the newest run that isn't void was clean, is what this service signed, is of the program that runs here in
the setup that it runs in, is no older than its limit, and every incident is answered for. Everything else is *unverified*,
whatever the cause: nobody is told of a promise that wasn't tested. Who can remove rows can remove a leak; the signed event log and
the transparency log still have it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from governance import clock
from governance.bodies import probe_run
from governance.bodies.attestation import Signer
from governance.bodies.probe_run import CONTROL, About, ProbeRun
from governance.bodies.verdict import Verdict
from governance.datamap import DataUse
from governance.db import Database
from governance.incidents import opening
from governance.incidents.incident import Incident
from governance.period import Period

_SKEW: Final = timedelta(minutes=1)  # between two machines' clocks


@dataclass(frozen=True, slots=True)
class Standing:
    """`probe_id`: the clean run that it stands on; `verdict` and `ended_at`: of the newest run, void or not."""

    why: str
    probe_id: UUID | None = None
    verdict: str | None = None
    ended_at: datetime | None = None
    incident_id: UUID | None = None

    @property
    def stands(self) -> bool:
        return self.probe_id is not None

    @property
    def state(self) -> str:
        """`red` after a leak, until somebody has answered for it and a clean run followed."""
        return "stands" if self.stands else "red" if self.incident_id is not None else "unverified"

    @property
    def age_seconds(self) -> int | None:
        """Since the newest run's end."""
        return int((clock.now() - self.ended_at).total_seconds()) if self.ended_at is not None else None

    def as_json(self) -> dict[str, object]:
        """For `/readyz` and scripts."""
        return {
            "state": self.state,
            "why": self.why,
            "last_verdict": self.verdict,
            "last_probe_age_seconds": self.age_seconds,
            "incident": str(self.incident_id) if self.incident_id is not None else None,
        }


UNREAD = Standing("What the last probe found isn't known yet.")


async def read(db: Database, signer: Signer, about: About, max_age: Period) -> Standing:
    """How the control stands for this program in this setup; `signer`: the service's own."""
    async with db.session(DataUse.SECURITY) as session:
        last = await probe_run.newest(session)
        decisive = (
            last if last is None or last.verdict != Verdict.VOID else await probe_run.newest(session, decisive=True)
        )
        incident = await opening.unanswered(session, CONTROL)
    why = _against(decisive, incident, signer, about, max_age)
    return Standing(
        why or "The last probe found nothing at rest.",
        decisive.id if decisive is not None and why is None else None,
        last.verdict if last is not None else None,
        last.ended_at if last is not None else None,
        incident.id if incident is not None else None,
    )


def _against(
    decisive: ProbeRun | None, incident: Incident | None, signer: Signer, about: About, max_age: Period
) -> str | None:
    if incident is not None:
        return "A probe found content at rest; nobody has acknowledged the incident."
    if decisive is None:
        return "No probe has come to a result yet."
    if decisive.verdict == Verdict.LEAK:
        return "The last probe found content at rest; no clean one followed."
    if not probe_run.is_signed(decisive, signer):
        return "The record of the last clean probe isn't what this service signed."
    if decisive.build != about.build:
        return "The last clean probe was of another version of the program."
    if about.setup not in (None, decisive.setup):
        return (
            "The last clean probe was of another setup: settings, confinement or what is installed have changed since."
        )
    if max_age.after(decisive.ended_at) <= clock.now():
        return "The last clean probe is older than its limit."
    if decisive.ended_at > clock.now() + _SKEW:
        return "The last clean probe lies in the future: the clock was set back."
    return None
