"""The page shows the version in force word for word, each version is what the log says, and the program works by it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from governance.controls.control import Outcome
from governance.datamap import DataUse
from governance.db import Database
from governance.evidence.pending import DataEvidence
from governance.vault.keys import KeyStore
from policies import version, versions
from policies.retention import IN_FORCE
from policies.version import Version
from policies.versions import PolicyFile, PolicyVersion
from router.controls.policy_current import PolicyCurrent
from router.web import documents

Stores = tuple[Database, KeyStore]
Page = Callable[[Version, PolicyVersion], str]
pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


def control(stores: Stores, page: Page = documents.html) -> PolicyCurrent:
    return PolicyCurrent(stores[0], page, lambda: version.read(IN_FORCE))


async def failures(stores: Stores, page: Page = documents.html) -> tuple[str, ...]:
    found = await control(stores, page).run()
    assert found.outcome is Outcome.FAILED
    return found.failures


@pytest.fixture
async def seeded(stores: Stores) -> Stores:
    await versions.seed(stores[0], versions.shipped())
    return stores


async def test_what_ships_passes(seeded: Stores) -> None:
    found = await control(seeded).run()
    assert (found.outcome, found.examined, found.failures) == (Outcome.PASSED, 1, ())


async def test_nothing_published_is_no_proof(stores: Stores) -> None:
    assert (await control(stores).run()).outcome is Outcome.UNPROVEN


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("We do NOT store the content", "We may store the content", "3.1"),
        ("Last updated: March 2026", "", "0.1"),
        (">You are advised to review this Privacy Policy periodically for any changes.<", "><", "10.3"),
    ],
)
async def test_a_page_that_shows_other_words_fails(seeded: Stores, old: str, new: str, sentence: str) -> None:
    def page(found: Version, row: PolicyVersion) -> str:
        shown = documents.html(found, row)
        assert old in shown
        return shown.replace(old, new)

    assert await failures(seeded, page) == (
        f"The page doesn't show sentence {sentence} of privacy/2026-03 in its place.",
    )


async def test_a_page_of_an_earlier_version_fails(seeded: Stores, tmp_path: Path) -> None:
    folder = tmp_path / "privacy" / "2026-10"
    shutil.copytree(IN_FORCE, folder)
    text = (folder / "policy.md").read_text().replace("version: 2026-03", "version: 2026-10")
    text = text.replace("effective: 2026-03-01", "effective: 2026-10-01")
    (folder / "policy.md").write_text(text.replace("We do NOT store", "We never store"))
    await versions.seed(seeded[0], [version.read(folder)])
    old = version.read(IN_FORCE)
    said = await failures(seeded, lambda found, row: documents.html(old, row))
    assert [each.partition(" privacy/")[0] for each in said][:1] == ["The page doesn't show sentence 3.1 of"]
    # Its text is of March, and the program works by the version of March.
    said = await failures(seeded)
    assert len(said) == 2 and "since October 2026" in said[0] and "works by another version" in said[1]


async def test_a_version_that_was_changed_in_the_store_fails(seeded: Stores) -> None:
    async with seeded[0].transaction(DataUse.SECURITY) as session:
        data = await session.scalar(select(PolicyFile.content).where(PolicyFile.name == "policy.md"))
        changed = (data or b"").replace(b"We do NOT store", b"We may store")
        await session.execute(update(PolicyFile).where(PolicyFile.name == "policy.md").values(content=changed))
    [said] = await failures(seeded)
    assert "store was changed" in said
    # With its digest made to fit, the log still knows.
    async with seeded[0].transaction(DataUse.SECURITY) as session:
        await session.execute(update(PolicyVersion).values(digest="0" * 64))
    assert "isn't what the transparency log has" in (await failures(seeded))[0]


async def test_a_version_without_its_entry_fails(seeded: Stores) -> None:
    async with seeded[0].transaction(DataUse.SECURITY) as session:
        await session.execute(delete(DataEvidence))
    assert "isn't what the transparency log has" in (await failures(seeded))[0]
