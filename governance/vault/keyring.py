"""What a keyring is: it holds the root keys (KEK) that every stored key is wrapped under, and can destroy one for good.

`keyring_file` (embedded default), `keyring_env`, `keyring_kms` (AWS KMS) and `keyring_transit` (HashiCorp Vault, OpenBao)
implement it; `keyrings` opens the one that the settings name.

A wrapped key says which root key opens it without being opened. Its first 18 bytes are those of the sealed format
(`envelope.py`): version, algorithm, root key id. Algorithm 1 is an envelope made here; with algorithm 2 the rest is the
ciphertext of a key service, as it gave it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from governance.errors import KeyUnavailable
from governance.vault.envelope import VERSION

_SERVICE_ALGORITHM: Final = 2
_HEAD_BYTES: Final = 18


class RootState(StrEnum):
    """What a root key can still do."""

    CURRENT = "current"
    OLD = "old"  # opens, and wraps nothing new
    DESTROYING = "destroying"  # opens nothing, and is destroyed when its provider's waiting time is over
    UNAVAILABLE = "unavailable"  # disabled or closed by hand; its provider still has it


@dataclass(frozen=True, slots=True)
class Destruction:
    """A root key's end. `at`: from when it is real, None where the provider can promise no time; `limit` says why."""

    at: datetime | None
    limit: str


class Keyring(Protocol):
    """Wraps and unwraps keys. Errors are sentences without a secret, a provider's text or a cause."""

    name: str
    destruction: str  # when destroying a root key is real with this provider, as a sentence

    @property
    def current(self) -> UUID:
        """Id of the root key that new keys are wrapped under, as last seen."""

    async def wrap(self, key: bytes, key_id: UUID) -> bytes:
        """The key under the current root key, bound to its id. Raises KeyUnavailable."""

    async def unwrap(self, wrapped: bytes, key_id: UUID) -> bytes:
        """The key. Raises KeyUnavailable: root key unknown or closed, wrapped key altered, provider out of reach.

        Never KeyGone, which says that the *stored* key was destroyed: a wrong root key must not look like an erasure.
        """

    async def root_ids(self) -> dict[UUID, RootState]:
        """Every root key that the provider has, oldest first where it tells. Raises KeyUnavailable."""

    async def rotate(self) -> UUID:
        """Make a new current root key; the old ones stay readable. Raises Conflict where it is done by hand."""

    async def destroy(self, root_id: UUID) -> Destruction:
        """Destroy one root key. Raises Conflict for the current one, KeyGone for one that the provider doesn't have.

        May be repeated: what an earlier call began is finished, or told again.
        """

    async def aclose(self) -> None:
        """Close what is open to the provider."""


def root_id(wrapped: bytes) -> UUID:
    """Id of the root key that opens it. Raises KeyUnavailable for an unknown format."""
    if len(wrapped) <= _HEAD_BYTES or wrapped[0] != VERSION:
        raise KeyUnavailable("A stored key has an unknown format.")
    return UUID(bytes=wrapped[2:_HEAD_BYTES])


def from_service(root: UUID, ciphertext: bytes) -> bytes:
    """A key service's ciphertext as wrapped key."""
    return bytes((VERSION, _SERVICE_ALGORITHM)) + root.bytes + ciphertext


def to_service(wrapped: bytes) -> tuple[UUID, bytes]:
    """Root key id and ciphertext. Raises KeyUnavailable where another kind of keyring made it."""
    root = root_id(wrapped)
    if wrapped[1] != _SERVICE_ALGORITHM:
        raise KeyUnavailable(
            "A stored key was wrapped by another kind of keyring: VALUEAPI_KEYRING names the wrong one."
        )
    return root, wrapped[_HEAD_BYTES:]


def is_private(url: str) -> bool:
    """Whether what travels to this address can't be read on the way: TLS, or this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
        )
    except ValueError:
        return False
