"""Everybody with an account is told of a new version once, whatever happens in between; nobody of what ships."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.mail import outbox
from policies import announcements, version, versions
from policies.version import Version
from router.app import policy_notices
from router.settings import Settings
from tests.router.accounts.conftest import desk, join, mails

__all__ = ["desk"]  # a fixture
TEXT = """---
version: {name}
title: Terms of Service
effective: {effective}
material: true
languages: [en]
summary: |
  A clause on keys
  is new.
---
Terms of Service

## 1. Use

You keep your keys to yourself.
"""


@pytest.fixture
def home(desk: Any, tmp_path: Path) -> Any:
    return SimpleNamespace(data=desk.db, keys=desk.keys, settings=Settings(home=tmp_path))


async def published(db: Database, name: str, *, days: int = 40) -> Version:
    effective = (clock.now() + timedelta(days=days)).date()
    found = version.made("terms", name, {"policy.md": TEXT.format(name=name, effective=effective).encode()})
    async with db.transaction(DataUse.LEGAL_OBLIGATION) as session:
        assert await versions.add(session, found, by="legal")
    return found


async def told(desk: Any) -> Counter[str]:
    """By address, how many notices were queued."""
    return Counter(mail.to for template, mail in await mails(desk) if template == "policy-published")


async def test_everybody_is_told_once_of_what_was_published_here(desk: Any, home: Any) -> None:
    await versions.seed(desk.db, versions.shipped())
    names = [f"person{number}@example.org" for number in range(4)]
    people: list[UUID] = [(await join(desk, name))[1] for name in names]
    await policy_notices.announce(home)
    assert await told(desk) == {}  # what ships was there before anybody
    await desk.keys.uses.restrict(people[3], on=True)
    await published(desk.db, "2027-01")
    for _ in range(2):
        await policy_notices.announce(home)
    assert await told(desk) == dict.fromkeys(names[:3], 1)
    [done] = (await announcements.told(desk.db)).values()
    assert (done.told, done.untold) == (3, 0)
    text = (await mails(desk))[-1][1].text
    assert "/terms/2027-01" in text and "A clause on keys is new." in text and "changes/" not in text
    await published(desk.db, "2027-02", days=50)
    await policy_notices.announce(home)
    assert await told(desk) == dict.fromkeys(names[:3], 2)
    assert "/terms/2027-02/changes/2027-01" in (await mails(desk))[-1][1].text


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_what_was_cut_short_goes_on_and_tells_nobody_twice(
    desk: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"person{number}@example.org" for number in range(7)]
    for name in names:
        await join(desk, name)
    await published(desk.db, "2027-01")
    monkeypatch.setattr(policy_notices, "_PAGE", 2)
    whole = outbox.enqueue
    for survives in (0, 3, 2):
        left = iter(range(survives))

        async def dies(*arguments: Any, left: Any = left, **options: Any) -> UUID | None:
            if next(left, None) is None:
                raise OSError
            return await whole(*arguments, **options)

        with monkeypatch.context() as cut:
            cut.setattr(outbox, "enqueue", dies)
            with pytest.raises(OSError, match=r"^$"):
                await policy_notices.announce(home)
    assert sum((await told(desk)).values()) == 5 and await announcements.told(desk.db) == {}
    await policy_notices.announce(home)
    assert await told(desk) == dict.fromkeys(names, 1)
    [done] = (await announcements.told(desk.db)).values()
    assert (done.told, done.untold) == (7, 0)
