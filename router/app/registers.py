"""The live registers: rows that count as far as the transparency log has them."""

from typing import Final

from governance.evidence.rows import Recorded
from governance.incidents import assessment, incident, notice
from policies import attestations, bindings

REGISTERS: Final[tuple[Recorded, ...]] = (
    attestations.RECORDED,
    bindings.BOUND,
    incident.OPENED,
    incident.ACKNOWLEDGED,
    assessment.ASSESSED,
    notice.NOTIFIED,
    incident.CLOSED,
)
