"""Everything that one serving process holds open, in the order in which it is opened; closed the other way round."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from prometheus_client import REGISTRY

import router.migrations.tables  # noqa: F401  every table must be known before the schedule is checked
from governance import clock
from governance.backup import registry as backups
from governance.bodies import attestation, confine
from governance.bodies.fragments import Watch
from governance.bodies.guard_sql import watch_engine
from governance.bodies.guards import Guard, installed
from governance.bodies.known import Known
from governance.bodies.probe_run import About
from governance.bodies.standing import Standing
from governance.datamap import DataUse, Store, registry
from governance.evidence import changed_settings, event_log
from governance.incidents import event_watch
from governance.jobs import due
from governance.jobs.leader import leader_of
from governance.jobs.scheduler import Job, Jobs
from governance.mail import outbox
from governance.mail.mailgun import MailgunSender
from governance.period import Period
from governance.vault.purpose import Actor, Bulk, states
from governance.vault.upkeep import Upkeep
from policies import retention, versions
from router.accounts.directory import KeyDirectory
from router.app import (
    confinement,
    controls_process,
    incident_reminders,
    mail,
    policy_notices,
    probe_process,
    setup,
    witnesses,
)
from router.app.controls_process import CONTROLS
from router.app.incident_reminders import INCIDENT_REMINDERS
from router.app.policy_notices import POLICY_NOTICES
from router.app.probe_process import SELF_PROBE
from router.app.standing_watch import StandingWatch
from router.app.stores import Stores, open_stores
from router.billing import offered
from router.billing.purse import Purse, PurseLimits
from router.gateway.admission import Admission
from router.gateway.api import Gateway
from router.gateway.attempts import Attempts, AttemptSettings
from router.gateway.breaker import Breaker, BreakerSettings
from router.gateway.caller import TrustedProxies
from router.gateway.metrics import Metrics
from router.gateway.prepare import PSEUDONYM_KEY
from router.gateway.probe_routes import ProbeRoutes
from router.gateway.ratelimit import GuardedRedis, RateLimiter, RedisRateLimiter, SharedRateLimiter, Tiers
from router.gateway.upstream import HttpxUpstream
from router.probe import program
from router.providers.catalog import Catalog
from router.providers.simulator.server import running
from router.recipients import outbound_host
from router.settings import OFF, Settings
from router.web.app import create_web
from router.web.context import WebContext

_MAIL_EVERY_S = 2.0
_PACKAGES = ("governance", "policies", "reports", "router")
_SETTLE = timedelta(seconds=30)  # between a start and the probe that follows it
_QUIET = timedelta(minutes=5)  # between a first start and the first look at every control
_REMINDERS_EVERY = Period.parse("PT15M")
_NOTICES_EVERY = Period.parse("PT5M")
_CONTROLS_EVERY = Period.parse("PT10M")  # how often it is looked which are due
_log = structlog.get_logger("service")


class Service:
    """Made by `open`, ended by `aclose`. `gateway` and `web` are its two faces."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stack = AsyncExitStack()
        self.gateway: Gateway
        self.web: object
        self.stores: Stores
        self.catalog: Catalog
        self._about = About(program.digest(), setup.digest(setup.facts(settings)))

    @classmethod
    async def open(cls, settings: Settings) -> "Service":
        """Raises ConfigurationError with the sentence that says what to mend; nothing stays open then."""
        service = cls(settings)
        try:
            await service._open()
        except BaseException:
            await service.aclose()
            raise
        return service

    async def aclose(self) -> None:
        """Settle and commit what is in flight, return Credits that were set aside, close the stores."""
        await self._stack.aclose()

    async def _open(self) -> None:
        settings = self.settings
        retention.load().check(registry())
        witnesses.of(settings)
        tiers = Tiers.load(settings.tiers)
        stores = self.stores = await open_stores(settings)
        self._stack.push_async_callback(stores.aclose)
        await confine.record_current()  # events are signed from here on
        await confinement.record_turned_off(settings)
        await versions.seed(stores.data, versions.shipped())
        await changed_settings.record(stores.data, stores.keys, settings)
        self.catalog = catalog = await self._open_catalog()
        await offered.record(stores.data, catalog)
        metrics = Metrics(REGISTRY)
        await self._open_guard(metrics)
        limiter = self._open_limiter()
        cell_secret = (await stores.keys.service_key("rate-limit-cells")).secret
        pseudonym_key = (await stores.keys.service_key(PSEUDONYM_KEY)).secret
        # Processes of one machine ask each other for leases back; other machines get them by idleness alone.
        idle = PurseLimits(idle_s=60.0 if settings.redis_url is None else 2.0)
        purse = await Purse.open(stores.data, stores.keys, settings.data_folder / "journal", stores.shared, idle)
        self._stack.push_async_callback(purse.aclose)
        never_proxied()
        upstream = HttpxUpstream(trust_env=True)
        self._stack.push_async_callback(upstream.aclose)
        directory = KeyDirectory(
            stores.data, stores.keys, self._generation, cache_seconds=settings.principal_cache_seconds
        )
        proxies = TrustedProxies(settings.trusted_proxies)
        self.gateway = Gateway(
            directory=directory,
            admission=Admission(
                catalog,
                tiers,
                limiter,
                purse,
                cell_secret,
                settings.upstream_answer_bytes_max,
                ProbeRoutes(settings.run_folder),
            ),
            attempts=Attempts(upstream, self._breaker(), self._attempt_settings(), pseudonym_key),
            purse=purse,
            limiter=limiter,
            proxies=proxies,
            metrics=metrics,
            body_bytes_max=settings.body_bytes_max,
            answer_bytes_max=settings.upstream_answer_bytes_max,
        )
        watch = await self._watch()
        self.web = create_web(
            WebContext(
                data=stores.data,
                keys=stores.keys,
                settings=settings,
                directory=directory,
                limiter=limiter,
                cell_secret=cell_secret,
                catalog=catalog,
                ready=self.not_ready,
                metrics=REGISTRY,
                bump=stores.shared.bump,
                proxies=proxies,
                standing=lambda: watch.current,
                about=self._about,
            )
        )
        self._start_task(outbound_host.run(stores.data))
        self._start_mail()
        await self._start_jobs(watch.current)
        upkeep = Upkeep(
            stores.keys,
            stores.data,
            index_renewal=Period.parse(settings.index_renewal),
            oldest_backup=partial(backups.oldest, stores.keys.db, Store.DATA),
        )
        self._start_task(states(Actor.JOB, bulk=Bulk.ROTATION)(upkeep.run)())
        stores.log.check_origin()
        self._start_task(states(Actor.JOB)(stores.log.run)())
        incidents = event_watch.watch(stores.keys)
        self._start_task(states(Actor.JOB)(event_log.run)(settings.log_folder, stores.data, incidents))

    def _generation(self) -> object:
        """Changes with what is cached of accounts and keys; without the key channel's heartbeat with every call."""
        keys = self.stores.keys.channel.generation()
        return (self.stores.shared.generation(), keys) if keys is not None else object()

    def not_ready(self) -> list[str]:
        """Reasons why requests can't be served now; empty when they can."""
        reasons = []
        if not self.catalog.models:
            reasons.append("No provider is active: set a provider key, or turn the simulator on.")
        if self.gateway.closed is not None:
            reasons.append(self.gateway.closed)
        return reasons

    async def _open_catalog(self) -> Catalog:
        """With the simulator where it is wanted: in development while no provider has a key, or by setting."""
        settings = self.settings

        def load(simulator_url: str | None) -> Catalog:
            return Catalog.load(
                settings.providers,
                production=settings.production,
                allow_insecure=settings.allow_insecure_upstreams,
                simulator_url=simulator_url,
            )

        catalog = await asyncio.to_thread(load, None)
        wanted = settings.simulator == "on" or (
            settings.simulator == "auto" and not settings.production and not catalog.models
        )
        if not wanted or not any(provider.simulator for provider in catalog.providers):
            return catalog
        simulator = self._stack.enter_context(running())
        return await asyncio.to_thread(load, simulator.url)

    async def _open_guard(self, metrics: Metrics) -> None:
        """From here on no sink of this process takes a fragment of a body in flight."""
        if not self.settings.body_guard:
            _log.warning("bodies:guard:off")
            return
        known = await asyncio.to_thread(Known, _PACKAGES)
        known.know(self.catalog.names())
        known.know((self.settings.base_url(), *DataUse, *(column.name for column in registry())))
        guard = Guard(Watch(), known, counted=lambda sink: metrics.withheld.labels(sink.value).inc())
        for store in (self.stores.data, self.stores.keys.db):
            watch_engine(store, guard)
        self._stack.enter_context(installed(guard))

    def _open_limiter(self) -> RateLimiter:
        if self.settings.redis_url is None:
            return SharedRateLimiter(self.stores.shared)
        redis = GuardedRedis.from_url(self.settings.redis_url.get_secret_value())
        self._stack.push_async_callback(redis.aclose)
        return RedisRateLimiter(redis)

    def _breaker(self) -> Breaker:
        settings = self.settings
        return Breaker(
            BreakerSettings(
                enabled=settings.breaker,
                failures_max=settings.breaker_failures,
                window_s=settings.breaker_window_seconds,
                cooldown_s=settings.breaker_cooldown_seconds,
            )
        )

    def _attempt_settings(self) -> AttemptSettings:
        settings = self.settings
        return AttemptSettings(
            attempts_max=settings.upstream_attempts_max,
            backoff_s=settings.upstream_backoff_seconds,
            connect_s=settings.upstream_connect_seconds,
            first_byte_s=settings.upstream_first_byte_seconds,
            idle_s=settings.upstream_idle_seconds,
            total_s=settings.upstream_total_seconds,
        )

    async def _watch(self) -> StandingWatch:
        """What the last probe found, before the first request is served: a service that was closed comes up closed."""
        watch = StandingWatch(
            self.stores.data,
            self.gateway,
            self.stores.shared.generation,
            signer=await attestation.signer(self.stores.data, self.stores.keys),
            about=self._about,
            max_age=Period.parse(self.settings.self_probe_max_age),
            closes=self.settings.closes_on_leak,
        )
        await watch.look()
        self._start_task(watch.run())
        return watch

    async def _start_jobs(self, now: Standing) -> None:
        """Mail and upkeep aren't among them: the one asks a queue every two seconds, whose rows say by themselves what is
        due; the other keeps counts of each process, and every step of it may run in all of them."""
        settings, data = self.settings, self.stores.data
        jobs = []
        if settings.self_probe_every != OFF:
            every = Period.parse(settings.self_probe_every)
            jobs.append(Job(SELF_PROBE, every, probe_process.start, first_after=_SETTLE))
        if settings.controls:
            jobs.append(
                Job(CONTROLS, _CONTROLS_EVERY, partial(controls_process.start, self.stores), first_after=_QUIET)
            )
        jobs.append(Job(INCIDENT_REMINDERS, _REMINDERS_EVERY, partial(incident_reminders.remind, self.stores)))
        jobs.append(Job(POLICY_NOTICES, _NOTICES_EVERY, partial(policy_notices.announce, self.stores)))
        scheduler = Jobs(data, leader_of(settings.data_store(), settings.run_folder), jobs)
        await scheduler.start()
        self._stack.push_async_callback(scheduler.aclose)
        if not now.stands and now.incident_id is None:
            # A deploy, or an age: what isn't verified is probed soon, not after the rest of the interval.
            await due.sooner(data, SELF_PROBE, clock.now() + _SETTLE)

    def _start_mail(self) -> None:
        """With Mailgun credentials a task sends what lies in the outbox; without, mails stay there, sealed."""
        sender = mail.sender(self.settings)
        if sender is None:
            return
        self._stack.push_async_callback(sender.aclose)
        self._start_task(states(Actor.JOB, DataUse.NOTICES, bulk=Bulk.NOTICE)(self._deliver)(sender))

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)

        async def stop() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(stop)

    async def _deliver(self, sender: MailgunSender) -> None:
        while True:
            try:
                await outbox.deliver(self.stores.data, sender)
            except Exception as error:
                # The next round tries again; the text could hold an address.
                _log.warning("mail delivery failed", type=type(error).__name__)
            await asyncio.sleep(_MAIL_EVERY_S)


def never_proxied() -> None:
    """This machine's own addresses never go through HTTP_PROXY: a prompt for the simulator would leave the machine."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [part for part in os.environ.get(name, "").split(",") if part]
        os.environ[name] = ",".join([*known, "127.0.0.1", "localhost", "::1"])
