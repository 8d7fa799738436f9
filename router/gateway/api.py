"""The gateway's paths as a raw ASGI application: bytes in, bytes out. No framework sees a body.

Reads top to bottom as one request does: head, key, body, admission, attempts, relay. A body is read only after the key
is known to be good; errors take the caller's own shape in one place. `serve` is the boundary for exceptions: one that
leaves it holds nothing that it met, so that a server, an event loop or an error tracker above has nothing to show.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import structlog

from governance import events, sinks
from governance.bodies import failure, fragments
from governance.bodies.body import Body
from governance.bodies.failure import Failure
from governance.vault.purpose import Actor, states
from router.accounts.directory import KeyDirectory
from router.accounts.principal import Principal
from router.billing.purse import Purse
from router.errors import (
    BodyTooLarge,
    GatewayError,
    InvalidKey,
    InvalidRequest,
    MethodNotAllowed,
    Unavailable,
    UnknownRoute,
    render,
    stream_event,
)
from router.gateway import admission, caller, models_list, relay
from router.gateway.admission import Admission, Limited
from router.gateway.attempts import Attempts, Trail
from router.gateway.call import Admitted, Call, Counted
from router.gateway.caller import Caller, TrustedProxies
from router.gateway.metrics import Metrics
from router.gateway.ratelimit import RateLimiter
from router.gateway.ratelimit import headers as limit_headers
from router.gateway.reply import NOT_CACHED, Fixed, Reply, Send
from router.gateway.request_name import RequestName
from router.gateway.routes import Match
from router.gateway.settlement import Settlement
from router.surface import Dialect, Endpoint, Header

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_COUNT_SECONDS = 1.0  # how long a provider may take to count a text that the caller has whole already
_STORED, _PROBE = Header.STORED.encode(), Header.PROBE.encode()
_PROBES = "probe"
_log = structlog.get_logger("gateway")


class CallerLeft(Exception):
    """The caller closed the connection: nobody is there to answer."""


class Gateway:
    """Serves what `routes.match` found."""

    def __init__(
        self,
        *,
        directory: KeyDirectory,
        admission: Admission,
        attempts: Attempts,
        purse: Purse,
        limiter: RateLimiter,
        proxies: TrustedProxies,
        metrics: Metrics,
        body_bytes_max: int,
        answer_bytes_max: int,
    ) -> None:
        self._directory = directory
        self._admission = admission
        self._attempts = attempts
        self._purse = purse
        self._limiter = limiter
        self._proxies = proxies
        self._metrics = metrics
        self._body_bytes_max = body_bytes_max
        self._answer_bytes_max = answer_bytes_max
        self.closed: str | None = None
        self._fixed: Fixed = ()
        self.stand(None)

    def stand(self, probe_id: str | None) -> None:
        """From now on each answer says that nothing is stored, shown by this probe; None: that it isn't verified."""
        shown = ((_PROBE, probe_id.encode()),) if probe_id is not None else ()
        self._fixed = ((_STORED, b"none" if shown else b"unverified"), *shown, *NOT_CACHED)

    @states(Actor.GATEWAY)
    async def serve(self, match: Match, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens. Nothing that runs for it may open a personal value."""
        try:
            await self._respond(match, scope, receive, send)
        except BaseException as error:
            if isinstance(error, Exception):
                # Even the answer to a failure failed.
                met = failure.of(error)
                _log.error("internal error", type=met.type, place=met.place, endpoint="")
            failure.empty(error)
            raise

    async def _respond(self, match: Match, scope: Scope, receive: Receive, send: Send) -> None:
        name, reply, started_ns = RequestName(), Reply(send, self._fixed), time.perf_counter_ns()
        endpoint = match.endpoint.value if match.endpoint else "models" if match.models else "other"
        dialect = match.dialect
        status = 499
        self._metrics.in_flight.inc()
        try:
            head = caller.read(scope["headers"])
            dialect = caller.models_dialect(head, match.dialect) if match.models else match.dialect
            await self._serve(match, dialect, scope, head, receive, reply, name, started_ns)
            status = reply.status or 499
        except CallerLeft:
            pass
        except GatewayError as error:
            status = error.status
            failure.empty(error)
            await self._fail(error, dialect, reply, name)
        except Exception as error:
            status = 500
            met = failure.of(error)
            failure.empty(error)
            await self._record(met, endpoint)
            await self._fail(GatewayError("Something went wrong here; it was nothing you did."), dialect, reply, name)
        finally:
            if reply.probe:
                endpoint = _PROBES  # the service's own traffic is nobody's use of it
            self._metrics.in_flight.dec()
            self._metrics.requests.labels(endpoint, str(status)).inc()
            self._metrics.seconds.labels(endpoint).observe((time.perf_counter_ns() - started_ns) / 1e9)

    async def _serve(
        self, match: Match, dialect: Dialect, scope: Scope, head: Caller, receive: Receive, reply: Reply,
        name: RequestName, started_ns: int,
    ) -> None:  # fmt: skip
        caller.check_query(scope["query_string"])
        principal = await self._known(head)
        reply.probe = principal.probe
        admission.check_subject(principal)
        catalog = self._admission.catalog(principal)
        if match.refusal is not None:
            raise _refusal(match.refusal)
        _check_method(scope["method"], match)
        if match.endpoint is None:
            own, _ = self._admission.own_constraints(principal)
            body = Body(models_list.models(catalog, own, dialect, match.model), name.tag)
            await reply.whole(
                200, [(b"content-type", b"application/json"), (Header.REQUEST_ID.encode(), name.text.encode())], body
            )
            return
        if self.closed is not None and not principal.probe:
            raise Unavailable(self.closed, retry_after_s=30)
        _check_content(head)
        counted = await self._admission.take_request(principal)
        call = Call(
            id=name.id,
            request_id=name.text,
            dialect=dialect,
            endpoint=match.endpoint,
            path_model=match.model,
            json_array=match.endpoint is Endpoint.STREAM_GENERATE
            and b"alt=sse" not in scope["query_string"].split(b"&"),
            caller=head,
            client_ip=self._proxies.client((scope.get("client") or (None,))[0], head.forwarded_for),
            principal=principal,
            body=await self._read(head, receive, name),
            started_ns=started_ns,
        )
        # What the head says may be recorded, whether the body repeats it or not.
        with fragments.held(call.body), sinks.given(lambda: filter(None, (call.client_ip, head.user_agent))):
            await self._watched(self._answer(call, counted, reply), receive, reply)

    async def _known(self, head: Caller) -> Principal:
        """Raises InvalidKey before a byte of the body is read."""
        if head.key is None:
            raise InvalidKey("No API key: send it as Authorization: Bearer, x-api-key or x-goog-api-key.")
        return self._directory.cached(head.key) or await self._directory.find(head.key)

    async def _read(self, head: Caller, receive: Receive, name: RequestName) -> Body:
        if head.content_length is not None and head.content_length > self._body_bytes_max:
            raise BodyTooLarge(f"The body is larger than {self._body_bytes_max} bytes.")
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerLeft
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._body_bytes_max:
                raise BodyTooLarge(f"The body is larger than {self._body_bytes_max} bytes.")
            pieces.append(piece)
            if not message.get("more_body", False):
                return Body(pieces[0] if len(pieces) == 1 else b"".join(pieces), name.tag)

    async def _watched(self, answering: Any, receive: Receive, reply: Reply) -> None:
        """Run the answer; cancel it at once when the caller leaves, so that the upstream is cancelled too."""
        answer = asyncio.ensure_future(answering)
        left = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((answer, left), return_when=asyncio.FIRST_COMPLETED)
            reply.left = not answer.done()
            if not answer.done() and reply.admitted and not reply.counted.is_set():
                # A file by its address may be a million tokens: read on until they are counted, which `total_s` bounds.
                counted = asyncio.ensure_future(reply.counted.wait())
                await asyncio.wait((answer, counted), return_when=asyncio.FIRST_COMPLETED)
                counted.cancel()
            if not answer.done() and reply.finishing:
                await asyncio.wait((answer,), timeout=_COUNT_SECONDS)
            if answer.cancelled():
                raise CallerLeft
            if not answer.done():
                answer.cancel()
                with suppress(asyncio.CancelledError):
                    await answer
                raise CallerLeft
            await answer
        finally:
            for task in (answer, left):
                if not task.done():
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    async def _answer(self, call: Call, counted: Counted, reply: Reply) -> None:
        admitted = await self._admission.admit(call, counted)
        reply.admitted = True
        if not admitted.beyond_text:
            reply.counted.set()
        settlement = Settlement(admitted, reply, self._purse, self._limiter)
        try:
            await self._relay(admitted, reply, settlement)
        except Exception as error:
            settlement.close(error.status if isinstance(error, GatewayError) else 500, "failed")
            raise
        finally:
            # Still open only where the caller left before a byte of its request may have: nothing was produced.
            settlement.close(499, "cancelled")
            self._metrics.charged.inc(settlement.charge_microcredits or 0)
            await settlement.correct_limits()

    async def _relay(self, admitted: Admitted, reply: Reply, settlement: Settlement) -> None:
        trail = Trail(left=lambda: reply.left)
        try:
            served = await self._attempts.first_answer(admitted, trail)
        except asyncio.CancelledError:
            if trail.sent is not None:
                # The caller left while a provider was at work on the prompt.
                settlement.settle(relay.unanswered(admitted), trail.sent, 499, "cancelled")
            raise
        try:
            if served.answer.status >= 400:
                await relay.caller_fault(admitted, served, reply, settlement)
            elif admitted.peek.stream:
                await relay.Stream(admitted, served, reply, settlement).run()
            else:
                await relay.whole(admitted, served, reply, settlement, self._answer_bytes_max)
        finally:
            await served.answer.aclose()

    async def _fail(self, error: GatewayError, dialect: Dialect, reply: Reply, name: RequestName) -> None:
        if reply.status is not None:
            # Within a stream the relay has said it already; anything else must not look like a whole answer.
            if not reply.ended:
                await reply.end(stream_event(error, dialect, name.text))
            return
        status, head, body = render(error, dialect, name.text)
        if isinstance(error, Limited):
            head = [pair for pair in head if pair[0] != b"retry-after"] + limit_headers(error.verdict, dialect)
        if status in (401, 413):
            head.append((b"connection", b"close"))  # the rest of the body is never read
        await reply.whole(status, head, Body(body, name.tag))

    async def _record(self, met: Failure, endpoint: str) -> None:
        self._metrics.failures.labels(met.type).inc()
        _log.error("internal error", type=met.type, place=met.place, endpoint=endpoint)
        await events.emit_async("gateway:request:internal_error", {"type": met.type, "place": met.place})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _check_method(method: str, match: Match) -> None:
    wanted = "POST" if match.endpoint is not None else "GET"
    if method != wanted and not (method == "HEAD" and wanted == "GET"):
        raise MethodNotAllowed(f"This path takes {wanted}.")


def _check_content(head: Caller) -> None:
    if head.content_encoding not in (b"", b"identity"):
        raise InvalidRequest("A compressed request body isn't taken: send it without content-encoding.")
    if head.content_type not in (b"", b"application/json"):
        raise InvalidRequest("The body must be JSON, sent as application/json.", code="unsupported_content_type")


def _refusal(why: str) -> GatewayError:
    if why:
        return UnknownRoute(f"This isn't offered here: {why}", code="not_offered")
    return UnknownRoute("There is no such path here.")
