"""Reminds who is responsible of incidents that wait: for an assessment, the authority's 72 hours (Art. 33(1)), people and
customers who aren't told, and their end."""

from typing import Final

from governance.datamap import DataUse
from governance.errors import KeyUnavailable, NotFound, UseRefused
from governance.incidents import record, telling
from governance.vault.purpose import Actor, states
from router.accounts import person
from router.accounts.roles import Role
from router.app import controls_process
from router.app.stores import Stores

INCIDENT_REMINDERS: Final = "incident-reminders"
_RESPONSIBLE: Final = (Role.PRIVACY_OFFICER, Role.OPERATOR, Role.LEGAL)


@states(Actor.JOB, DataUse.NOTICES)
async def remind(stores: Stores) -> None:
    """Queue what is due, once for each of them; somebody restricted is left out. What no control looked at for too long is an
    incident, too."""
    if stores.settings.controls:
        await controls_process.look_for_stale(stores)
    waiting = await record.records(stores.data, unclosed=True, customers=person.customers_concerned)
    if not waiting:
        return
    people = await person.with_roles(stores.data, _RESPONSIBLE)
    for each in waiting:
        for subject_id in await telling.unreminded(stores.data, each, people):
            try:
                to = await person.address_for_notice(stores.data, subject_id)
            except (NotFound, UseRefused, KeyUnavailable):
                continue
            await telling.remind(stores.data, stores.keys, each, subject_id, to)
