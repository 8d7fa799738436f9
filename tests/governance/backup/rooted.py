"""A key store with a root node, as backups take it along: the `Rooted` seam over one really wrapped key."""

from sqlalchemy import select

from governance.datamap import DataUse
from governance.db import Database
from governance.vault import envelope
from governance.vault.envelope import Key
from governance.vault.keyring import Keyring
from governance.vault.keys import KeyStore, ServiceKey

_NODE = "root-node"


class RootedKeys(KeyStore):
    """Its root node is a service key: wrapped by the keyring alone, and needed to open what `seal` made."""

    async def export_root(self) -> bytes:
        return (await self.service_key(_NODE)).secret

    async def adopt_root(self, root: bytes) -> None:
        async with self.db.transaction(DataUse.SECURITY) as session:
            row = (await session.scalars(select(ServiceKey).where(ServiceKey.name == _NODE))).one()
            row.wrapped = self.keyring.wrap(Key(row.id, root))

    async def seal(self, text: bytes) -> bytes:
        return envelope.seal(await self.service_key(_NODE), text, b"test")

    async def open(self, sealed: bytes) -> bytes:
        return envelope.open_envelope(await self.service_key(_NODE), sealed, b"test")


def adopter(keyring: Keyring):  # type: ignore[no-untyped-def]
    async def adopt(database: Database, root: bytes) -> None:
        await RootedKeys(database, keyring).adopt_root(root)

    return adopt
