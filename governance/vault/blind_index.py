"""Blind indexes: how a person is found without their address at rest. They live in the key store, never with the data.

An entry is HMAC-SHA256 under the index key over an inner HMAC-SHA256 of the normalised value, and points to a random
subject id. The inner one rests sealed under the subject's key, so that the index key can be renewed (monthly, by
default) without opening an address; when the old index key is destroyed, old copies can no longer confirm an address.
"""

import hashlib
import hmac
import unicodedata
from uuid import UUID

import msgspec
from sqlalchemy import LargeBinary, String, UniqueConstraint, Uuid, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import events
from governance.datamap import AtRest, DataUse, KeysBase, LegalBasis, OnErasure, declared, impersonal
from governance.errors import Conflict, KeyGone, KeyUnavailable, Rejected, SealBroken
from governance.ids import uuid7
from governance.vault import columns, envelope
from governance.vault.columns import SealedType
from governance.vault.envelope import Key
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed, open_sealed
from governance.vault.stored_key import StoredKey, service_slot

_TRIES = 5
_USES = (DataUse.AUTHENTICATION, DataUse.LEGAL_OBLIGATION, DataUse.SECURITY)


class BlindIndex(KeysBase):
    """One searchable value of one subject."""

    __tablename__ = "blind_index"
    __table_args__ = (UniqueConstraint("name", "digest"),)

    id: Mapped[UUID] = declared(
        Uuid,
        20,
        "system.operations",
        _USES,
        primary_key=True,
        retention="account",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )
    name: Mapped[str] = declared(
        String(32),
        21,
        "system.operations",
        _USES,
        retention="account",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )
    digest: Mapped[bytes] = declared(
        LargeBinary,
        22,
        "user.contact.email",
        _USES,
        at_rest=AtRest.BLIND_INDEX,
        retention="account",
        on_erasure=OnErasure.DELETE,
    )
    subject_id: Mapped[UUID] = declared(
        Uuid,
        23,
        "user.unique_id.pseudonymous",
        _USES,
        retention="account",
        on_erasure=OnErasure.DELETE,
        index=True,
    )
    inner: Mapped[Sealed[bytes]] = declared(
        SealedType(bytes),
        95,
        "user.contact.email",
        _USES,
        at_rest=AtRest.SEALED,
        retention="account",
        on_erasure=OnErasure.SHRED,
    )
    key_id: Mapped[UUID] = impersonal(Uuid, 96, index=True)


def normalise_email(address: str) -> str:
    """NFKC, folded case, IDNA domain (RFC 5890). Raises Rejected where it is no address."""
    local, at, domain = unicodedata.normalize("NFKC", address.strip()).rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode().lower()
    except UnicodeError:
        ascii_domain = ""
    plain = local.isprintable() and not any(mark in local for mark in ' ,;:<>()[]\\"@')
    if not (at and local and plain and "." in ascii_domain.strip(".") and len(address) <= 254):
        raise Rejected("This isn't an e-mail address.", field="email")
    return f"{local.casefold()}@{ascii_domain}"


class EmailIndex:
    """Finds a subject by e-mail address."""

    NAME = "email"
    KEY = "blind-index-email"
    INNER_KEY = "blind-index-email-inner"

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys

    async def _inner(self, address: str) -> bytes:
        key = await self._keys.service_key(self.INNER_KEY)
        return hmac.digest(key.secret, normalise_email(address).encode(), hashlib.sha256)

    async def digests(self, address: str) -> list[bytes]:
        """Keyed hashes of the normalised address: under the index key, and under the old one while it is renewed."""
        inner = await self._inner(address)
        return [_outer(key, inner) for key in await self._keys.service_keys(self.KEY)]

    async def find(self, address: str) -> UUID | None:
        """The subject with this address, if any."""
        digests = await self.digests(address)
        async with self._keys.db.session(DataUse.AUTHENTICATION) as session:
            return await session.scalar(
                select(BlindIndex.subject_id).where(BlindIndex.name == self.NAME, BlindIndex.digest.in_(digests))
            )

    async def add(self, address: str, subject_id: UUID) -> None:
        """Commit an entry. Raises Conflict where another subject has the address."""
        inner = await self._inner(address)
        for _ in range(_TRIES):
            if await self._add(inner, subject_id):
                return
            # A renewal has ended between the reading of its key and now: the next try has the new one.
            self._keys.forget()
        raise KeyUnavailable("The blind index is being renewed again and again: try later.")

    async def _add(self, inner: bytes, subject_id: UUID) -> bool:
        keys = await self._keys.service_keys(self.KEY)
        row = BlindIndex(
            id=uuid7(), name=self.NAME, digest=_outer(keys[0], inner), subject_id=subject_id, key_id=keys[0].id
        )
        await columns.seal(self._keys, row, inner=inner)
        known = select(BlindIndex.id).where(BlindIndex.digest.in_([_outer(key, inner) for key in keys]))
        held = select(StoredKey.id).where(StoredKey.slot == service_slot(self.KEY)).with_for_update(read=True)
        try:
            async with self._keys.db.transaction(DataUse.SECURITY) as session:
                # Held to the commit: a renewal must neither begin nor end while an entry under this key isn't there yet;
                # under two keys one address could be taken twice.
                if await session.scalar(held) != keys[0].id:
                    return False
                # While the index key is renewed an older entry may still be under the old one.
                if await session.scalar(known.where(BlindIndex.name == self.NAME)) is not None:
                    raise Conflict("The address belongs to another subject.")
                session.add(row)
        except IntegrityError:
            raise Conflict("The address belongs to another subject.") from None
        return True

    async def remove(self, subject_id: UUID) -> None:
        """Forget how to find a subject."""
        async with self._keys.db.transaction(DataUse.AUTHENTICATION) as session:
            await session.execute(delete(BlindIndex).where(BlindIndex.subject_id == subject_id))

    async def _drop(self, row_id: UUID) -> None:
        async with self._keys.db.transaction(DataUse.SECURITY) as session:
            await session.execute(delete(BlindIndex).where(BlindIndex.id == row_id))

    async def under(self, key_id: UUID) -> int:
        """How many entries are under an index key."""
        async with self._keys.db.session(DataUse.SECURITY) as session:
            return await _under(session, key_id)

    async def end(self, old_key_id: UUID) -> bool:
        """Destroy an old index key if no entry is under it; whether it is gone."""

        async def clear(session: AsyncSession) -> bool:
            return await _under(session, old_key_id) == 0

        return await self._keys.destroy_if(old_key_id, clear)

    async def rehash(self, old_key_id: UUID, limit: int) -> int:
        """Put entries that are still under an old index key under the current one; how many. No address is opened."""
        current = (await self._keys.service_keys(self.KEY))[0]
        old = select(BlindIndex).where(BlindIndex.name == self.NAME, BlindIndex.key_id == old_key_id).limit(limit)
        async with self._keys.db.session(DataUse.SECURITY) as session:
            rows = (await session.scalars(old)).all()
        for row in rows:
            declaration = BlindIndex.__table__.columns["inner"].info["declaration"]
            context = envelope.column_context(declaration.seal_id, row.subject_id, row.id)
            try:
                plain = await open_sealed(self._keys, row.inner.envelope, row.subject_id, context)
            except KeyGone:
                # The subject was erased: nobody is to be found by this any more.
                await self.remove(row.subject_id)
                continue
            except SealBroken:
                # Nothing can be hashed again from it. It goes, or no renewal, and after a restore no start, would ever end.
                await events.emit_async("vault:value:broken", {"table": "blind_index", "row": str(row.id)})
                await self._drop(row.id)
                continue
            inner = msgspec.msgpack.decode(plain, type=bytes)
            values = {"digest": _outer(current, inner), "key_id": current.id}
            async with self._keys.db.transaction(DataUse.SECURITY) as session:
                await session.execute(update(BlindIndex).where(BlindIndex.id == row.id).values(values))
        return len(rows)


async def _under(session: AsyncSession, key_id: UUID) -> int:
    count = select(func.count()).where(BlindIndex.name == EmailIndex.NAME, BlindIndex.key_id == key_id)
    return await session.scalar(count) or 0


def _outer(key: Key, inner: bytes) -> bytes:
    return hmac.digest(key.secret, inner, hashlib.sha256)
