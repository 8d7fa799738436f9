"""Blind indexes: how a person is found without their address at rest. They live in the key store, never with the data.

An entry is HMAC-SHA256 under a service key of its own over the normalised value; it points to a random subject id.
"""

import hashlib
import hmac
import unicodedata
from uuid import UUID

from sqlalchemy import LargeBinary, String, UniqueConstraint, Uuid, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped

from governance.datamap import AtRest, DataUse, KeysBase, LegalBasis, OnErasure, declared
from governance.errors import Conflict, Rejected
from governance.ids import uuid7
from governance.vault.keys import KeyStore

_USES = (DataUse.AUTHENTICATION, DataUse.LEGAL_OBLIGATION)


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

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys

    async def digest(self, address: str) -> bytes:
        """Keyed hash of the normalised address."""
        key = await self._keys.service_key("blind-index-email")
        return hmac.digest(key.secret, normalise_email(address).encode(), hashlib.sha256)

    async def find(self, address: str) -> UUID | None:
        """The subject with this address, if any."""
        digest = await self.digest(address)
        async with self._keys.db.session(DataUse.AUTHENTICATION) as session:
            return await session.scalar(
                select(BlindIndex.subject_id).where(BlindIndex.name == self.NAME, BlindIndex.digest == digest)
            )

    async def add(self, address: str, subject_id: UUID) -> None:
        """Commit an entry. Raises Conflict where another subject has the address."""
        row = BlindIndex(id=uuid7(), name=self.NAME, digest=await self.digest(address), subject_id=subject_id)
        try:
            async with self._keys.db.transaction(DataUse.AUTHENTICATION) as session:
                session.add(row)
        except IntegrityError:
            raise Conflict("The address belongs to another subject.") from None

    async def remove(self, subject_id: UUID) -> None:
        """Forget how to find a subject."""
        async with self._keys.db.transaction(DataUse.AUTHENTICATION) as session:
            await session.execute(delete(BlindIndex).where(BlindIndex.subject_id == subject_id))
