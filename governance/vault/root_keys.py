"""Root keys that this process holds itself: of the key file or the environment, open for the process's life."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from governance.errors import KeyUnavailable, SealBroken
from governance.vault import envelope, keyring
from governance.vault.envelope import Key
from governance.vault.keyring import RootState


@dataclass(frozen=True, slots=True, repr=False)
class RootKeys:
    """One current root key and older ones. `place` is where they come from, for sentences."""

    place: str
    keys: Mapping[UUID, Key]
    current: UUID

    def __post_init__(self) -> None:
        """Raises ValueError where they can't serve."""
        if self.current not in self.keys or any(len(key.secret) != 32 for key in self.keys.values()):
            raise ValueError("no current key, or a key that isn't 256 bits long")

    def wrap(self, key: bytes, key_id: UUID) -> bytes:
        return envelope.seal(self.keys[self.current], key, b"wrap" + key_id.bytes)

    def unwrap(self, wrapped: bytes, key_id: UUID) -> bytes:
        """Raises KeyUnavailable."""
        root = self.keys.get(keyring.root_id(wrapped))
        if root is None:
            raise KeyUnavailable(f"A stored key is wrapped under a root key that the {self.place} doesn't hold.")
        try:
            return envelope.open_envelope(root, wrapped, b"wrap" + key_id.bytes)
        except SealBroken:
            raise KeyUnavailable(
                f"A stored key can't be unwrapped: it was altered, or the {self.place} is another one."
            ) from None

    def states(self) -> dict[UUID, RootState]:
        return {id_: RootState.CURRENT if id_ == self.current else RootState.OLD for id_ in self.keys}

    def __repr__(self) -> str:
        return f"<RootKeys of the {self.place}: {len(self.keys)} ***>"
