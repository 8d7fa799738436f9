"""What only the restored key store itself can open."""

from governance.db import Database
from governance.vault import envelope
from governance.vault.keyring import Keyring
from governance.vault.keys import KeyStore

_NAME = "backed-up"


class RootedKeys(KeyStore):
    """A key store with something sealed under one of its service keys."""

    async def seal(self, text: bytes) -> bytes:
        return envelope.seal(await self.service_key(_NAME), text, b"test")

    async def open(self, sealed: bytes) -> bytes:
        return envelope.open_envelope(await self.service_key(_NAME), sealed, b"test")


def adopter(keyring: Keyring):  # type: ignore[no-untyped-def]
    async def adopt(database: Database, root: bytes) -> None:
        await RootedKeys(database, keyring).adopt_root(root)

    return adopt
