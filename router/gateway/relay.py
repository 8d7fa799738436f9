"""From one upstream answer to the caller's bytes, metered and charged. Whole answers and streams.

The charge is settled before the last byte goes out: a caller that has a whole answer has been charged for it, whatever
happens to this process next. A caller that leaves is charged for what was produced until then.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from governance import events
from router.errors import GatewayError, UpstreamFailed, UpstreamTimedOut, stream_event
from router.gateway.admission import FREE
from router.gateway.attempts import Served, caller_error
from router.gateway.call import Admitted
from router.gateway.metering import StreamMeter, meter_json
from router.gateway.prepare import is_array
from router.gateway.ratelimit import headers as limit_headers
from router.gateway.reply import Headers, Reply
from router.gateway.settlement import NOTHING, Settlement
from router.gateway.upstream import AnswerTooLarge, UpstreamError, UpstreamTimeout
from router.providers.data_policy import retention_header, summary
from router.providers.dialects import MalformedUpstream
from router.providers.translation import StreamTranslation
from router.providers.usage import Usage, estimate_tokens
from router.surface import Dialect, Header

_ERROR_BYTES_MAX = 1 << 20
_LATE_SECONDS = 1.0  # how long a stream's end may lag behind its last event where only the end of input ends it
_OUR_TROUBLE = re.compile(rb'"reason"\s*:\s*"API_KEY_INVALID"|"message"\s*:\s*"Your credit balance is too low')
# Chat's and, from the last done event of a part on, the Responses API's.
_FINISH = re.compile(rb'"(?:finish_reason|stop_reason)"\s*:\s*"|"type"\s*:\s*"response\.[a-z_.]+\.done"')
_JSON = b"application/json"
_EVENTS = b"text/event-stream"
_RETENTION = Header.PROVIDER_RETENTION.encode()


def answer_headers(admitted: Admitted, served: Served) -> Headers:
    """Who served it, under which data policy, for how long it keeps content, with which edits, and what is left of the limits."""
    call = admitted.call
    may_store = admitted.allow_store and not admitted.zdr  # otherwise `store` was edited away, or refused
    out: Headers = [
        (Header.REQUEST_ID.encode(), call.request_id.encode()),
        (Header.PROVIDER.encode(), served.route.provider.id.encode()),
        (Header.DATA_POLICY.encode(), summary(served.route.data_policy).encode("latin-1", "replace")),
        (_RETENTION, retention_header(served.route.data_policy, may_store=may_store).encode()),
    ]
    if served.prepared.edits:
        out.append((Header.EDITS.encode(), ", ".join(served.prepared.edits).encode()))
    return out + limit_headers(admitted.verdict, call.dialect)


async def caller_fault(admitted: Admitted, served: Served, reply: Reply, settlement: Settlement) -> None:
    """A 4xx about the caller's own request: natively the provider's bytes, else its message in the caller's shape."""
    try:
        body = await served.answer.read(_ERROR_BYTES_MAX)
    except UpstreamError:
        body = admitted.call.body.of_same_request(b"")
    settlement.settle(NOTHING, None, served.answer.status, "failed")
    if _OUR_TROUBLE.search(body.expose()):
        # Google says so of a bad key, Anthropic of an empty purse, with status 400: it is ours, not the caller's.
        await events.emit_async(
            "gateway:provider:key_refused", {"provider": served.route.provider.id, "status": served.answer.status}
        )
        raise UpstreamFailed("The provider refused this service's own credentials; the operator has been told.")
    native = served.prepared.translation is None and _kind(served) == _JSON.decode()
    if not native or len(body) == 0:
        raise caller_error(served, body.expose())
    headers = [(b"content-type", _JSON), *answer_headers(admitted, served)]
    await reply.whole(served.answer.status, headers, body)


async def whole(admitted: Admitted, served: Served, reply: Reply, settlement: Settlement, limit: int) -> None:
    """An answer that isn't a stream. Raises UpstreamFailed where it isn't what its dialect promises."""
    call, route = admitted.call, served.route
    try:
        try:
            body = await served.answer.read(limit)
        except UpstreamError as error:
            if isinstance(error, AnswerTooLarge):
                # We gave up on it; the provider did what it was asked to.
                settlement.settle(oversized(admitted, limit), route, 502, "failed")
            raise broken(error) from None
        settlement.first_byte()
        if "json" not in _kind(served):
            raise MalformedUpstream("The provider's answer isn't JSON.")
        usage = meter_json(route.dialect, served.prepared.endpoint, body.expose(), len(call.body))
        try:
            translation = served.prepared.translation
            if translation is not None:
                body = body.of_same_request(translation.response(body.expose()))
        except GatewayError as error:
            # The provider did what it was asked to, and counted it: whether the caller can read it changes nothing.
            settlement.settle(usage, route, error.status, "failed")
            raise
    except asyncio.CancelledError:
        # The provider was already at work on the prompt; what it wrote never arrived.
        settlement.settle(unanswered(admitted), route, 499, "cancelled")
        raise
    charge = settlement.settle(usage, route, 200, "completed")
    # A crash here: charged, recorded, and the caller saw a broken connection instead of the answer.
    headers = [(b"content-type", _JSON), *answer_headers(admitted, served)]
    headers.append((Header.CHARGE.encode(), str(charge).encode()))
    await reply.whole(200, headers, body)


class Stream:
    """One streamed answer. The head goes out with the first event, so that an early failure is still a plain error."""

    def __init__(self, admitted: Admitted, served: Served, reply: Reply, settlement: Settlement) -> None:
        self._admitted = admitted
        self._served = served
        self._reply = reply
        self._settlement = settlement
        call = admitted.call
        self._array = is_array(served.prepared, served.route.dialect, call.json_array)
        self._meter = StreamMeter(
            served.route.dialect,
            served.prepared.endpoint,
            drop_usage_chunk=served.prepared.drop_usage_chunk,
            json_array=self._array,
        )
        # OpenAI's usage chunk follows the last text: who leaves between the two must not leave uncounted.
        self._counted_late = served.route.dialect is Dialect.OPENAI
        translation = served.prepared.translation
        self._translator: StreamTranslation | None = translation.stream() if translation is not None else None

    async def run(self) -> None:
        """Relay until the end. Raises UpstreamFailed only while nothing has gone out."""
        if _kind(self._served) != (_JSON if self._array else _EVENTS).decode():
            raise MalformedUpstream("The provider was asked for a stream and answered with something else.")
        try:
            async with aclosing(self._served.answer.chunks()) as chunks:
                await self._relay(chunks)
        except asyncio.CancelledError:
            self._settle(499, "cancelled")
            raise
        except GatewayError as error:
            await self._break_off(error)
        except UpstreamError as error:
            await self._break_off(broken(error))

    async def _relay(self, chunks: AsyncGenerator[bytes, None]) -> None:
        held = b""
        while True:
            chunk = await self._next(chunks)
            out = self._meter.close() if chunk is None else self._meter.feed(chunk)
            if self._meter.failed:
                raise UpstreamFailed("The provider's stream ended in an error.")
            if self._counted_late and _FINISH.search(out):
                self._reply.finishing = True
            ended = chunk is None
            if self._meter.complete:
                held += self._translated(out)
                if not (ended or self._final()):
                    continue  # more events may follow and change the usage: the last ones wait for the end of input
                held += self._finish()
                self._settle(200, "completed")
                # A crash here: charged, and the caller lacks the end of the stream.
                await self._send(held)
                await self._reply.end()
                return
            if ended:
                raise UpstreamFailed("The provider's stream broke off.")
            out, held = held + self._translated(out), b""
            if out:
                await self._send(out)

    async def _next(self, chunks: AsyncGenerator[bytes, None]) -> bytes | None:
        if not self._meter.complete:
            return await anext(chunks, None)
        # Google's stream says that it is complete only by ending; one that doesn't end is taken at its word soon.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LATE_SECONDS):
                return await anext(chunks, None)
        return None

    def _final(self) -> bool:
        return self._served.route.dialect is not Dialect.GOOGLE

    def _translated(self, data: bytes) -> bytes:
        return self._translator.feed(data) if self._translator is not None and data else data

    def _finish(self) -> bytes:
        return self._translator.finish() if self._translator is not None else b""

    async def _send(self, data: bytes) -> None:
        self._settlement.first_byte()
        if self._reply.status is None:
            kind = _JSON if self._array else _EVENTS
            await self._reply.start(200, [(b"content-type", kind), *answer_headers(self._admitted, self._served)])
        if self._meter.counts_input:
            self._reply.counted.set()
        await self._reply.piece(data)

    def _settle(self, status: int, outcome: str) -> None:
        usage = self._meter.usage(len(self._admitted.call.body))
        self._settlement.settle(usage, self._served.route, status, outcome)

    async def _break_off(self, error: GatewayError) -> None:
        """Settle for what was produced, and end in the dialect's own error, never in a clean stop."""
        call = self._admitted.call
        if self._reply.status is None:
            # Nothing went out: free, but for what the provider has counted to the end.
            usage = self._meter.counted
            self._settlement.settle(usage or NOTHING, self._served.route, error.status, "failed", free=usage is None)
            raise error
        self._settle(error.status, "cut")
        if self._translator is not None:
            tail = stream_event(error, call.dialect, call.request_id)
        else:
            tail = self._meter.tail(error, call.request_id)
        await self._reply.end(tail)


def oversized(admitted: Admitted, limit: int) -> Usage:
    """What an answer of more than `limit` bytes owes, whose count was in what wasn't read: as much as was reserved for it."""
    call = admitted.call
    read = admitted.input_tokens_most if admitted.beyond_text else estimate_tokens(len(call.body))
    return Usage(read, 0, min(estimate_tokens(limit), admitted.output_tokens_most), estimated=True)


def unanswered(admitted: Admitted) -> Usage:
    """What a caller owes who left before an answer came: the prompt, by the estimate that the settlement bounds."""
    if admitted.call.endpoint in FREE:
        return NOTHING
    return Usage(estimate_tokens(len(admitted.call.body)), 0, 0, estimated=True)


def broken(error: UpstreamError) -> GatewayError:
    """An upstream that fails within its answer."""
    if isinstance(error, UpstreamTimeout):
        return UpstreamTimedOut("The provider stopped answering.")
    if isinstance(error, AnswerTooLarge):
        return UpstreamFailed(
            "The provider's answer is larger than what is taken here. Ask for less at once: fewer inputs, choices or "
            "tokens; embeddings take less as `encoding_format: base64`.",
            code="answer_too_large",
        )
    return UpstreamFailed("The provider's answer broke off or can't be read.")


def _kind(served: Served) -> str:
    return served.answer.headers.get("content-type", "").partition(";")[0].strip().lower()
