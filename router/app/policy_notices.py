"""Tells everybody who has an account of a version that was published, once each, through the outbox.

A kill anywhere is made good by the next run, which goes through everybody again: who has the mail in the outbox under this
version's key gets no second one.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from governance.datamap import DataUse
from governance.errors import KeyGone, NotFound, UseRefused
from governance.mail import outbox
from governance.vault.purpose import Actor, Bulk, states
from policies import announcements, versions
from policies.versions import PolicyVersion
from router.accounts import person
from router.app.stores import Stores
from router.surface import DOCUMENTS

POLICY_NOTICES: Final = "policy-notices"
_TEMPLATE: Final = "policy-published"
_MATERIAL: Final = {
    True: "The changes are material: they touch what we do with your data, or what you and we owe each other.",
    False: "The changes aren't material.",
}
_PAGE: Final = 500


@states(Actor.JOB, DataUse.NOTICES, bulk=Bulk.NOTICE)
async def announce(stores: Stores) -> None:
    """Queue what is to be told. Raises KeyUnavailable where keys can't be had: the job is tried again."""
    for version in await announcements.waiting(stores.data):
        await _announce(stores, version)


async def _announce(stores: Stores, version: PolicyVersion) -> None:
    values, told, untold, after = await _values(stores, version), 0, 0, None
    while people := await person.confirmed(stores.data, after, _PAGE):
        keys = {_key(version, subject_id): subject_id for _, subject_id in people}
        have = await outbox.queued(stores.data, keys)
        told += len(have)
        for key, subject_id in keys.items():
            if key not in have:
                queued = await _tell(stores, subject_id, values, key)
                told, untold = told + queued, untold + (not queued)
        after = people[-1][0]
    await announcements.done(stores.data, version.id, told=told, untold=untold)


async def _tell(stores: Stores, subject_id: UUID, values: Mapping[str, str], key: str) -> bool:
    try:
        to = await person.address_for_notice(stores.data, subject_id)
        async with stores.data.transaction(DataUse.NOTICES) as session:
            mail = await outbox.enqueue(session, stores.keys, subject_id, _TEMPLATE, to, values, key)
    except (NotFound, UseRefused, KeyGone):
        return False  # erased or restricted since
    return mail is not None


async def _values(stores: Stores, version: PolicyVersion) -> dict[str, str]:
    pages, base = DOCUMENTS[version.series], stores.settings.base_url()
    rows = await versions.history(stores.data, version.series)
    older = next((row for row in rows if row.effective_on < version.effective_on), None)
    changes = f"{base}{pages.CHANGES.at(version=version.version, since=older.version)}" if older is not None else ""
    return {
        "title": version.title,
        "effective": f"{version.effective_on:%d %B %Y}".lstrip("0"),
        "summary": " ".join(version.summary.split()),
        "page": f"{base}{pages.VERSION.at(version=version.version)}",
        "changes": changes,
        "history": f"{base}{pages.HISTORY}",
        "material": _MATERIAL[version.material],
    }


def _key(version: PolicyVersion, subject_id: UUID) -> str:
    return f"policy:{version.id}:{subject_id}"
