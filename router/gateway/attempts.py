"""From routes to one upstream answer: order, retries with backoff, fallback, breaker, time limits. Before the first byte.

What an upstream's status means to us:
    2xx                 the answer
    401, 403            our key's trouble: an operator event, next provider, 502 at the end
    400, 413, 415, 422  the caller's request: handed on as it is
    404, 405, 3xx       our configuration's trouble: next provider, 502 at the end; a redirect is never followed
    408, 409, 429, 5xx  passing trouble: retried with backoff, next provider, then 429, 503 or 502
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from governance import events
from router.errors import GatewayError, InvalidRequest, RateLimited, Unavailable, UpstreamFailed, UpstreamTimedOut
from router.gateway.breaker import Breaker, BreakerSettings
from router.gateway.call import Admitted
from router.gateway.prepare import Prepared, prepare
from router.gateway.upstream import (
    ConnectFailed,
    Timeouts,
    Upstream,
    UpstreamAnswer,
    UpstreamError,
    UpstreamRequest,
    UpstreamTimeout,
)
from router.providers.catalog import Route

_CALLERS_OWN = frozenset({400, 413, 415, 422})
_OUR_KEY = frozenset({401, 403})
_PASSING = frozenset({408, 409, 425, 429})
_RETRY_AFTER_MAX_S = 2.0
_NO_BREAKER = Breaker(BreakerSettings(enabled=False))  # of the probe, whose upstream fails on purpose


@dataclass(frozen=True, slots=True)
class AttemptSettings:
    """`attempts_max` counts over all providers; times in seconds."""

    attempts_max: int
    backoff_s: float
    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float


@dataclass(slots=True, repr=False)
class Served:
    """The answer that the caller gets, and from whom: a 2xx, or a 4xx that is about the caller's own request."""

    route: Route
    prepared: Prepared
    answer: UpstreamAnswer


@dataclass(slots=True, repr=False)
class Trail:
    """Where a call stands while no answer is there: the route that may have some of its prompt, if one has; and whether
    its caller has left."""

    left: Callable[[], bool]
    sent: Route | None = None


class Attempts:
    """Tries an admitted call's routes until one answers."""

    def __init__(self, upstream: Upstream, breaker: Breaker, settings: AttemptSettings, pseudonym_key: bytes) -> None:
        self._upstream = upstream
        self._breaker = breaker
        self._settings = settings
        self._pseudonym_key = pseudonym_key

    async def first_answer(self, admitted: Admitted, trail: Trail) -> Served:
        """Raises the GatewayError that the last attempt ended in. `trail.sent` is the route at work on the request,
        from the moment that a byte of it may have left."""
        until = time.monotonic() + self._settings.total_s
        failure: GatewayError | None = None
        unasked: InvalidRequest | None = None
        tried: dict[str, int] = {}
        unable: set[str] = set()
        breaker = self._breaker_of(admitted)
        for route in self._plan(admitted.routes):
            if trail.left():
                raise asyncio.CancelledError  # nothing new is begun for nobody
            provider = route.provider.id
            if provider in unable or not breaker.allow(provider, route.base.authority):
                continue
            if failure is not None and provider in tried:
                wait_s = self._wait_s(tried[provider], failure)
                if time.monotonic() + wait_s >= until:
                    break
                await asyncio.sleep(wait_s)
            tried[provider] = tried.get(provider, 0) + 1
            outcome = await self._attempt(admitted, route, until, trail)
            if isinstance(outcome, Served):
                return outcome
            if isinstance(outcome, InvalidRequest):
                unable.add(provider)  # it can't be asked this at all; another may be
                unasked = outcome
            else:
                failure = outcome
        # Who was asked and failed says more than who could not be asked.
        raise (
            failure or unasked or Unavailable("Every provider of this model is failing at the moment.", retry_after_s=5)
        )

    def _breaker_of(self, admitted: Admitted) -> Breaker:
        return _NO_BREAKER if admitted.call.principal.probe else self._breaker

    def _plan(self, routes: list[Route]) -> Iterator[Route]:
        """Each provider once in order, however many there are; then round again, up to the number of attempts."""
        for number in range(max(self._settings.attempts_max, len(routes))):
            yield routes[number % len(routes)]

    def _wait_s(self, tries: int, failure: GatewayError) -> float:
        wait_s: float = self._settings.backoff_s * 2 ** (tries - 1) * random.uniform(0.5, 1)  # noqa: S311  jitter
        asked_s = failure.retry_after_s or 0
        return max(wait_s, float(asked_s)) if asked_s <= _RETRY_AFTER_MAX_S else wait_s

    async def _attempt(self, admitted: Admitted, route: Route, until: float, trail: Trail) -> Served | GatewayError:
        provider, host, breaker = route.provider.id, route.base.authority, self._breaker_of(admitted)
        try:
            prepared = prepare(admitted, route, self._pseudonym_key)
        except InvalidRequest as error:
            breaker.abandoned(provider, host)
            return error
        request = UpstreamRequest("POST", prepared.url, prepared.headers, prepared.body, self._timeouts(until))

        def sending() -> None:
            trail.sent = route

        try:
            answer = await self._upstream.send(request, sending)
        except UpstreamError as error:
            trail.sent = None
            breaker.failed(provider, host)
            return _unreachable(error)
        except BaseException:
            # The caller left: the upstream has shown neither.
            breaker.abandoned(provider, host)
            raise
        if 200 <= answer.status < 300 or answer.status in _CALLERS_OWN:
            breaker.succeeded(provider, host)
            return Served(route, prepared, answer)
        if answer.status >= 500:
            breaker.failed(provider, host)
        else:
            breaker.succeeded(provider, host)
        trail.sent = None
        await answer.aclose()
        return await _refused(answer, provider, told=not admitted.call.principal.probe)

    def _timeouts(self, until: float) -> Timeouts:
        settings = self._settings
        total_s = max(0.001, until - time.monotonic())
        return Timeouts(settings.connect_s, settings.first_byte_s, settings.idle_s, total_s, settings.first_byte_s)


def _unreachable(error: UpstreamError) -> GatewayError:
    if isinstance(error, UpstreamTimeout):
        return UpstreamTimedOut("The provider took too long to answer.")
    if isinstance(error, ConnectFailed):
        return Unavailable("The provider can't be reached.", retry_after_s=2)
    return UpstreamFailed("The provider broke the connection off.")


async def _refused(answer: UpstreamAnswer, provider: str, *, told: bool) -> GatewayError:
    """`told`: an operator is; the probe's upstream refuses on purpose."""
    status = answer.status
    retry_after_s = _retry_after_s(answer)
    if status in _OUR_KEY:
        if told:
            await events.emit_async("gateway:provider:key_refused", {"provider": provider, "status": status})
        return UpstreamFailed("The provider refused this service's own credentials; the operator has been told.")
    if status == 429:
        return RateLimited("The provider is limiting this service at the moment.", code="provider_rate_limited",
                           retry_after_s=retry_after_s or 5)  # fmt: skip
    if status in (503, 529):
        return Unavailable("The provider is overloaded.", retry_after_s=retry_after_s or 5)
    if status >= 500 or status in _PASSING:
        return UpstreamFailed("The provider failed.")
    if told:
        await events.emit_async("gateway:provider:unexpected_status", {"provider": provider, "status": status})
    if 300 <= status < 400:
        return UpstreamFailed("The provider answered with a redirect, which is never followed.")
    return UpstreamFailed("The provider doesn't know what it was asked for.")


def _retry_after_s(answer: UpstreamAnswer) -> int | None:
    """Whole seconds only; a date isn't worth trusting an upstream's clock for."""
    text = answer.headers.get("retry-after", "").strip()
    return min(int(text), 3600) if text.isascii() and text.isdigit() and len(text) < 8 else None


def caller_error(served: Served, body: bytes) -> GatewayError:
    """A translated request's 4xx in our words, with the provider's message to the caller where it has one."""
    translation = served.prepared.translation
    error = InvalidRequest("The provider refused the request.", code="provider_refused_request")
    if translation is not None:
        # For the answer alone: it may echo the prompt, so the exception's own text stays ours.
        error.message = translation.error_message(body) or error.message
    return error
