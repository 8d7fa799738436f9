"""From an API key to its principal: out of memory when it was seen lately, out of the database otherwise."""

import asyncio
from collections.abc import Callable
from typing import Final

from sqlalchemy import or_, select

from governance.datamap import DataUse
from governance.db import Database
from governance.errors import KeyGone, UseRefused
from governance.recent import Recent
from governance.subjects import DataSubject, SubjectState
from governance.vault.keys import KeyStore
from governance.vault.purpose import Actor, states
from router.accounts.account import PROBE, Account
from router.accounts.api_key import ApiKey
from router.accounts.key_format import LENGTH, key_hash, well_formed
from router.accounts.person import Person
from router.accounts.principal import Principal
from router.accounts.roles import Role
from router.errors import InvalidKey, Unavailable

# One text for malformed, unknown and revoked keys, closed accounts and erased people.
_REFUSED: Final = "The API key is missing, wrong or revoked."


class KeyDirectory:
    """Principals by key. Keyed by SHA-256, so that no secret is held in memory longer than its request.

    `generation` moves whenever any process changed a key, account, role or subject: everything known is dropped then.
    Until that is heard of, an entry is at most `cache_seconds` old. Refusals are remembered apart and as bounded, so
    that guessing fills nothing and pushes no good key out.
    """

    def __init__(
        self,
        db: Database,
        keys: KeyStore,
        generation: Callable[[], object],
        *,
        cache_seconds: float = 5.0,
        size: int = 50_000,
        refused_size: int = 10_000,
    ) -> None:
        self._db = db
        self._keys = keys
        self._generation = generation
        self._seen = generation()
        self._known: Recent[bytes, Principal] = Recent(size, cache_seconds)
        self._refused: Recent[bytes, bool] = Recent(refused_size, cache_seconds)
        self._reading: dict[tuple[object, bytes], asyncio.Task[Principal | None]] = {}

    def cached(self, secret: str) -> Principal | None:
        """The principal if it is known and fresh. No I/O; a malformed key is simply unknown."""
        if len(secret) != LENGTH:
            return None
        self._drop_old()
        return self._known.get(key_hash(secret))

    async def find(self, secret: str) -> Principal:
        """The principal. Raises InvalidKey, with one text whatever is wrong."""
        if not well_formed(secret):
            raise InvalidKey(_REFUSED)
        self._drop_old()
        digest = key_hash(secret)
        principal = self._known.get(digest)
        if principal is None and not self._refused.get(digest):
            principal = await self._shared_read(digest)
        if principal is None:
            raise InvalidKey(_REFUSED)
        return principal

    def clear(self) -> None:
        """Forget everything, open subject keys included."""
        self._known.clear()
        self._refused.clear()

    def _drop_old(self) -> None:
        generation = self._generation()
        if generation != self._seen:
            self._seen = generation
            self.clear()

    async def _shared_read(self, digest: bytes) -> Principal | None:
        """One read for however many requests ask at once; never one that began before the last change."""
        flight = self._seen, digest
        task = self._reading.get(flight)
        if task is None:
            task = asyncio.create_task(self._read(digest, self._seen))
            self._reading[flight] = task
            task.add_done_callback(lambda done: self._landed(flight, done))
        return await asyncio.shield(task)

    def _landed(self, flight: tuple[object, bytes], task: "asyncio.Task[Principal | None]") -> None:
        self._reading.pop(flight, None)
        if not task.cancelled():
            task.exception()  # seen, even where every request that waited for it is gone

    @states(Actor.GATEWAY)  # its own: it may outlive the request that began it
    async def _read(self, digest: bytes, generation: object) -> Principal | None:
        principal = await self._load(digest)
        # What changed while it was read may be missing from it: then it serves this once and isn't kept.
        if self._generation() == generation == self._seen:
            if principal is None:
                self._refused.put(digest, True)
            else:
                self._known.put(digest, principal)
        return principal

    async def _load(self, digest: bytes) -> Principal | None:
        query = (
            select(
                ApiKey.id,
                ApiKey.account_id,
                ApiKey.subject_id,
                Account.tier,
                Person.role,
                Account.kind,
                Account.data_policy.label("account_policy"),
                ApiKey.data_policy.label("key_policy"),
                DataSubject.state,
            )
            .join(Account, Account.id == ApiKey.account_id)
            .outerjoin(Person, Person.subject_id == ApiKey.subject_id)
            .join(DataSubject, DataSubject.id == ApiKey.subject_id)
            .where(
                ApiKey.key_hash == digest,
                ApiKey.revoked_at.is_(None),
                Account.closed_at.is_(None),
                DataSubject.state != SubjectState.ERASED,
                or_(Person.id.is_not(None), Account.kind == PROBE),  # nobody is a member of the probe's account
            )
        )
        async with self._db.session(DataUse.AUTHENTICATION) as session:
            row = (await session.execute(query)).one_or_none()
        if row is None:
            return None
        try:
            key = await self._keys.subject_key(row.subject_id)
        except KeyGone:
            return None  # an erasure has taken the key and not yet the row
        except UseRefused:
            raise Unavailable("Too many callers at once: try again.", retry_after_s=30) from None
        return Principal(
            api_key_id=row.id,
            account_id=row.account_id,
            subject_id=row.subject_id,
            tier=row.tier,
            role=row.role or Role.USER.value,
            account_policy=row.account_policy,
            key_policy=row.key_policy,
            subject_key=key,
            subject_state=row.state,
            probe=row.kind == PROBE,
        )
