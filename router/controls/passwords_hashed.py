"""Policy section 2: "Email address, password (securely hashed), and account preferences when you register for an account."

Hashes rest sealed; a sample of people's is opened to see how it was made, never compared with anything.
"""

from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError
from sqlalchemy import select

from governance.controls.control import Control, ControlResult
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import VaultError
from governance.incidents.incident import Severity
from governance.personal_data.columns import between
from governance.vault.openings import WORK_PEOPLE_MAX
from governance.vault.purpose import Actor, states
from router.accounts.person import Person

# RFC 9106 section 4, the second recommended option.
_MEMORY_KIB_MIN = 64 * 1024
_PASSES_MIN = 3
_SALT_BYTES_MIN = 16
_TAG_BYTES_MIN = 32
_SAMPLED = WORK_PEOPLE_MAX - 10


class PasswordsHashed(Control):
    """Looks at the newest people's passwords and at some taken at random."""

    id = "passwords-hashed"
    title = "Passwords rest as argon2id hashes, sealed"
    rule = "Email address, password (securely hashed), and account preferences when you register for an account."
    source = "Privacy policy 2026-03, section 2; RFC 9106, section 4; GDPR Art. 32(1)"
    severity = Severity.CRITICAL

    def __init__(self, data: Database) -> None:
        self._data = data

    @states(Actor.JOB, DataUse.AUTHENTICATION)
    async def run(self) -> ControlResult:
        examined = unset = unreadable = weak = 0
        for person in await self._people():
            try:
                encoded = await person.password_hash.open(DataUse.AUTHENTICATION)
            except VaultError:  # erased meanwhile, or altered: no password of theirs is right
                unreadable += 1
                continue
            if not encoded:
                unset += 1  # nobody has chosen one yet
                continue
            examined += 1
            weak += not _strong(encoded)
        failures = (f"{weak} of {examined} passwords that were looked at aren't argon2id hashes of today's strength.",)
        counts = {"unset": unset, "unreadable": unreadable}
        return ControlResult(examined, failures if weak else (), "" if examined else "Nobody has a password.", counts)

    async def _people(self) -> list[Person]:
        async with self._data.session(DataUse.AUTHENTICATION) as session:
            newest = list(await session.scalars(select(Person).order_by(Person.id.desc()).limit(_SAMPLED // 2)))
            if len(newest) < _SAMPLED // 2:
                return newest
            first = await session.scalar(select(Person.id).order_by(Person.id).limit(1))
            found = {each.id: each for each in newest}
            for _ in range(_SAMPLED - len(newest)):
                before = Person.id <= between(first, newest[-1].id)
                chosen = (await session.scalars(select(Person).where(before).order_by(Person.id.desc()).limit(1))).one()
                found[chosen.id] = chosen
            return list(found.values())


def _strong(encoded: str) -> bool:
    try:
        made = extract_parameters(encoded)
    except InvalidHashError:
        return False
    return (
        made.type is Type.ID
        and made.memory_cost >= _MEMORY_KIB_MIN
        and made.time_cost >= _PASSES_MIN
        and made.salt_len >= _SALT_BYTES_MIN
        and made.hash_len >= _TAG_BYTES_MIN
    )
