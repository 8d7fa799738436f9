"""That the two stores are each other's: a random id in both, given when they are first made.

A key store that is empty or of another home opens nothing of the data, and would take fresh keys beside it. A restored
copy of either store brings the id that it had.
"""

from uuid import UUID, uuid4

from sqlalchemy import Integer, Uuid, func, select
from sqlalchemy.orm import Mapped

from governance.datamap import Base, DataUse, KeysBase, impersonal
from governance.db import Database
from governance.errors import ConfigurationError
from governance.subjects import DataSubject
from governance.vault.stored_key import StoredKey


class DataPair(Base):
    """One row."""

    __tablename__ = "data_pair"

    id: Mapped[int] = impersonal(Integer, 146, primary_key=True)
    pair_id: Mapped[UUID] = impersonal(Uuid, 147)


class KeysPair(KeysBase):
    """One row."""

    __tablename__ = "keys_pair"

    id: Mapped[int] = impersonal(Integer, 148, primary_key=True)
    pair_id: Mapped[UUID] = impersonal(Uuid, 149)


async def _ids(data: Database, keys: Database) -> tuple[UUID | None, UUID | None]:
    async with data.session(DataUse.SECURITY) as session:
        of_data = await session.scalar(select(DataPair.pair_id))
    async with keys.session(DataUse.SECURITY) as session:
        return of_data, await session.scalar(select(KeysPair.pair_id))


async def join(data: Database, keys: Database) -> None:
    """Make two fresh stores each other's, and a data store without people that of the keys that are there. May be repeated.

    A fresh key store beside data isn't joined: `check` refuses it.
    """
    of_data, of_keys = await _ids(data, keys)
    if of_keys is None and (of_data is None or not await _has_people(data)):
        of_keys = uuid4()
        async with keys.transaction(DataUse.SECURITY) as session:
            session.add(KeysPair(id=1, pair_id=of_keys))
    # A crash here leaves the keys' id alone, which the next run gives to the data.
    if of_keys is None or of_data == of_keys or (of_data is not None and await _has_people(data)):
        return
    async with data.transaction(DataUse.SECURITY) as session:
        row = await session.get(DataPair, 1)
        if row is None:
            session.add(DataPair(id=1, pair_id=of_keys))
        else:
            row.pair_id = of_keys


async def _has_people(data: Database) -> bool:
    async with data.session(DataUse.LEGAL_OBLIGATION) as session:
        return await session.scalar(select(DataSubject.id).limit(1)) is not None


async def check(data: Database, keys: Database) -> None:
    """Raises ConfigurationError where the stores aren't each other's."""
    of_data, of_keys = await _ids(data, keys)
    if of_data is not None and of_data == of_keys:
        return
    async with keys.session(DataUse.SECURITY) as session:
        empty = not await session.scalar(select(func.count()).select_from(StoredKey))
    what = "is empty" if empty else "belongs to other data"
    raise ConfigurationError(
        f"The key store {what}, so nothing in the data store can be opened with it. Check VALUEAPI_KEYS_URL; where the keys "
        "are lost, restore a backup of them (`valueapi backup restore FILE --store keys --force`); where they are restored "
        "already, restore the data that belong to them (`--store data`)."
    )
