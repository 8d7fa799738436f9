"""A changed setting is an entry by its name; no value of one rests, and nothing is told twice."""

import asyncio
from pathlib import Path

from pydantic import Field, SecretStr
from sqlalchemy import select

from governance.datamap import DataUse, Store
from governance.evidence import changed_settings, pending
from governance.evidence.entry import EntryType
from governance.evidence.log import Log
from governance.settings import GovernanceSettings
from tests.governance.evidence.conftest import Stores


class Some(GovernanceSettings):
    """Settings of these tests."""

    guard: bool = True
    places: tuple[Path, ...] = Field(())
    password: SecretStr | None = None


async def told(stores: Stores) -> list[str]:
    found = [entry for _, entry in await pending.newest(Store.DATA, stores[0], 100)]
    return sorted(entry.detail["setting"] for entry in found if entry.type is EntryType.SETTING_CHANGED)


async def test_a_change_is_told_once_with_its_name_alone(stores: Stores, log: Log) -> None:
    assert await changed_settings.record(*stores, Some()) == []
    first = Some(guard=False, password=SecretStr("hunter2-hunter2"), places=(Path("/here"),))
    assert await changed_settings.record(*stores, first) == ["guard", "places", "password"]
    assert await changed_settings.record(*stores, first) == []
    assert await told(stores) == ["guard", "password", "places"]
    second = Some(guard=False, password=SecretStr("another"), places=(Path("/here"),))
    assert await changed_settings.record(*stores, second) == ["password"]
    assert await changed_settings.record(*stores, Some()) == ["guard", "places", "password"]  # back to the defaults
    assert len(await told(stores)) == 7
    async with stores[0].session(DataUse.SECURITY) as session:
        rows = (await session.scalars(select(changed_settings.SettingSeen))).all()
        assert all(len(row.digest) == 32 for row in rows) and len({row.digest for row in rows}) == 3
        entries = b"".join(await session.scalars(select(pending.DataEvidence.entry)))
    assert b"hunter2" not in entries and b"here" not in entries


async def test_processes_that_start_together_tell_it_once(stores: Stores, log: Log) -> None:
    settings = Some(guard=False, places=(Path("/here"),))
    found = await asyncio.gather(*(changed_settings.record(*stores, settings) for _ in range(8)))
    assert sorted(len(each) for each in found) == [0] * 7 + [2]
    assert await told(stores) == ["guard", "places"]


async def test_an_entry_without_its_memory_is_not_kept(stores: Stores, log: Log) -> None:
    settings = Some(guard=False)
    data = stores[0]
    recorder = data.context.pop("evidence")
    try:
        await changed_settings.record(*stores, settings)
        raise AssertionError("it was recorded without a recorder")
    except RuntimeError:
        pass
    data.context["evidence"] = recorder
    assert await changed_settings.record(*stores, settings) == ["guard"]
