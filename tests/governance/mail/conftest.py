"""A person to write to."""

from uuid import UUID

import pytest

from governance.datamap import DataUse
from governance.db import Database
from governance.subjects import add_subject, new_subject
from governance.vault.keys import KeyStore


@pytest.fixture
async def subject_id(stores: tuple[Database, KeyStore]) -> UUID:
    data, keys = stores
    made = await new_subject(keys)
    async with data.transaction(DataUse.SERVICE) as session:
        add_subject(session, made)
    return made
