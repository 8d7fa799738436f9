"""Every control of this program, given what it looks at; who adds one adds it here, and binds a promise to it."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from governance import datamap
from governance.bodies import attestation, standing
from governance.bodies.standing import Standing
from governance.controls.access_logged import AccessLogged
from governance.controls.backups_erased import BackupsErased
from governance.controls.bodies_not_stored import BodiesNotStored
from governance.controls.card_numbers_absent import CardNumbersAbsent
from governance.controls.erasure_complete import ErasureComplete
from governance.controls.keys_rotated import KeysRotated
from governance.controls.log_intact import LogIntact
from governance.controls.log_witnessed import LogWitnessed
from governance.controls.pii_sealed import PiiSealed
from governance.controls.purpose_limited import PurposeLimited
from governance.controls.registry import Registry
from governance.controls.restriction_effective import RestrictionEffective
from governance.controls.runs import Runs
from governance.controls.undeclared_personal_data import UndeclaredPersonalData
from governance.datamap import Store
from governance.errors import Conflict
from governance.evidence import event_log, own
from governance.evidence.verify import Report
from governance.period import Period
from policies import collection, recipients, retention, version
from router.app import hosts, links, rests, self_probe, setup, witnesses
from router.app.own_probe import probe
from router.app.registers import REGISTERS
from router.app.stores import Stores
from router.billing import offered
from router.controls.charges_match_usage import ChargesMatchUsage
from router.controls.collection_as_stated import CollectionAsStated
from router.controls.ledger_balanced import LedgerBalanced
from router.controls.passwords_hashed import PasswordsHashed
from router.controls.policy_current import PolicyCurrent
from router.controls.recipients_declared import RecipientsDeclared
from router.controls.transport_encrypted import TransportEncrypted
from router.controls.upstream_as_requested import UpstreamAsRequested
from router.controls.upstream_identifier_pseudonymous import UpstreamIdentifierPseudonymous
from router.gateway.prepare import PSEUDONYM_KEY
from router.providers.catalog import Catalog
from router.recipients import outbound_host
from router.settings import Settings
from router.web import documents

_AGAIN_S = 2.0


def registry(stores: Stores) -> Registry:
    """Made anew for each process."""
    data, keys, settings = stores.data, stores.keys, stores.settings
    both = {Store.DATA: data, Store.KEYS: keys.db}
    logs = partial(rests.logs, settings)
    return Registry(
        (
            BodiesNotStored(data, _standing(stores), _probe(stores)),
            PurposeLimited(data, keys, datamap.registry),
            PolicyCurrent(data, documents.html, lambda: version.read(retention.IN_FORCE)),
            CollectionAsStated(datamap.registry, collection.load),
            UndeclaredPersonalData(both, logs),
            CardNumbersAbsent(both, logs, rests.asked),
            PasswordsHashed(data),
            PiiSealed(data, keys, datamap.registry, partial(rests.sweep, settings)),
            AccessLogged(data, keys),
            ErasureComplete(data, keys),
            RestrictionEffective(data, keys),
            BackupsErased(data, keys, retention.load().limits(), settings.run_folder),
            KeysRotated(keys, Period.parse(settings.index_renewal)),
            LedgerBalanced(data),
            ChargesMatchUsage(data),
            UpstreamAsRequested(data),
            UpstreamIdentifierPseudonymous(partial(_catalog, settings), _pseudonym_key(stores)),
            RecipientsDeclared(
                recipients.load,
                partial(outbound_host.seen, data),
                partial(hosts.named, settings),
                partial(_upstream, stores),
                partial(hosts.operated, settings),
            ),
            TransportEncrypted(lambda: links.of(settings, _catalog(settings))),
            LogWitnessed(witnesses.of(settings)),
            LogIntact(partial(own.check, stores.log, REGISTERS), _events(settings)),
        )
    )


def _events(settings: Settings) -> Callable[[Report], Awaitable[list[str]]]:
    return lambda report: asyncio.to_thread(event_log.differences, settings.log_folder, report.entries)


def _catalog(settings: Settings) -> Catalog:
    """With the simulator where it could be asked; nothing here asks it."""
    return Catalog.load(
        settings.providers,
        production=settings.production,
        allow_insecure=settings.allow_insecure_upstreams,
        simulator_url=None if settings.production else "http://127.0.0.1:9",
    )


async def _upstream(stores: Stores) -> set[str]:
    """Hosts of providers, those that were taken out of the catalog since included."""
    return hosts.of(_catalog(stores.settings)) | (await offered.load(stores.data)).hosts()


def _pseudonym_key(stores: Stores) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return (await stores.keys.service_key(PSEUDONYM_KEY)).secret

    return read


async def kept(stores: Stores) -> Runs:
    """The runs of this service's controls, signed with its key."""
    return Runs(stores.data, await attestation.signer(stores.data, stores.keys))


def _standing(stores: Stores) -> Callable[[], Awaitable[Standing]]:
    max_age = Period.parse(stores.settings.self_probe_max_age)

    async def read() -> Standing:
        signer = await attestation.checker(stores.keys)
        return await standing.read(stores.data, signer, setup.running(stores.settings), max_age)

    return read


def _probe(stores: Stores) -> Callable[[], Awaitable[None]]:
    async def once() -> None:
        while True:
            try:
                await self_probe.run(stores.settings, probe)
                return
            except Conflict:  # one is running: what it finds is as good
                await asyncio.sleep(_AGAIN_S)
                if (await _standing(stores)()).state != "unverified":
                    return

    return once
