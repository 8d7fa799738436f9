"""Root keys from the environment, for machines whose secrets a platform hands in: `id:base64,id:base64`, current first."""

import base64
from uuid import UUID

from governance.errors import ConfigurationError, Conflict
from governance.vault.envelope import Key
from governance.vault.keyring import Destruction, RootState
from governance.vault.root_keys import RootKeys


class EnvironmentKeyring:
    """Root keys of `VALUEAPI_ROOT_KEYS`. They are changed by hand: this process can't write its own environment."""

    name = "env"
    destruction = (
        "The program can't destroy a root key that comes from the environment: it ends when VALUEAPI_ROOT_KEYS has lost it "
        "wherever that is kept, backups included, and every process has been restarted."
    )

    def __init__(self, text: str) -> None:
        """Raises ConfigurationError, which shows nothing of the text."""
        try:
            pairs = [part.strip().split(":") for part in text.split(",")]
            keys = {UUID(name): Key(UUID(name), base64.b64decode(key, validate=True)) for name, key in pairs}
            if len(keys) != len(pairs):
                raise ValueError("an id stands twice")
            self._keys = RootKeys("environment", keys, UUID(pairs[0][0]))
        except ValueError:
            raise ConfigurationError(
                "VALUEAPI_ROOT_KEYS must be `id:key,id:key`: a UUID and 32 bytes in base64 each, every id once."
            ) from None

    @property
    def current(self) -> UUID:
        return self._keys.current

    async def wrap(self, key: bytes, key_id: UUID) -> bytes:
        return self._keys.wrap(key, key_id)

    async def unwrap(self, wrapped: bytes, key_id: UUID) -> bytes:
        return self._keys.unwrap(wrapped, key_id)

    async def root_ids(self) -> dict[UUID, RootState]:
        return self._keys.states()

    async def rotate(self) -> UUID:
        raise Conflict(
            "Root keys of the environment are changed by hand: put a new `id:key` first in VALUEAPI_ROOT_KEYS, keep the "
            "others behind it, and restart every process."
        )

    async def destroy(self, root_id: UUID) -> Destruction:
        raise Conflict(
            "Root keys of the environment are destroyed by hand: take the key out of VALUEAPI_ROOT_KEYS wherever that is "
            "kept, backups included, and restart every process."
        )

    async def aclose(self) -> None:
        """Nothing is open."""

    def __repr__(self) -> str:
        return f"<EnvironmentKeyring {len(self._keys.keys)} keys ***>"
