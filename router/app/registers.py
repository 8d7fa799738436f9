"""The live registers: rows that count as far as the transparency log has them."""

from collections.abc import Mapping
from typing import Final

from governance.db import Database
from governance.errors import ConfigurationError
from governance.evidence.rows import Recorded
from governance.incidents import assessment, incident, notice
from policies import attestations, bindings, promises, versions
from policies.bindings import Binding
from policies.promises import Register

REGISTERS: Final[tuple[Recorded, ...]] = (
    versions.PUBLISHED,
    attestations.RECORDED,
    bindings.BOUND,
    incident.OPENED,
    incident.ACKNOWLEDGED,
    assessment.ASSESSED,
    notice.NOTIFIED,
    incident.CLOSED,
)


async def promised(db: Database) -> tuple[Register, Mapping[str, Binding]]:
    """The promises of the privacy policy in force, as it was published here, bound as they are now; and which were bound anew.

    A home that no service has run on yet has the version that ships. Raises Conflict where the store's files were changed,
    ConfigurationError where no version is in force.
    """
    await versions.seed(db, versions.shipped())
    now = await versions.in_force(db, "privacy")
    if now is None:
        raise ConfigurationError("No version of the privacy policy is in force: its effective date lies ahead.")
    register = promises.of(await versions.get(db, now.series, now.version))
    changed = await bindings.changes(db, register)
    return bindings.bound(register, changed), changed
