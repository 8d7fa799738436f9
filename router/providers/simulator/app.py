"""The simulator's ASGI application: find the dialect, answer, deform, deliver. It keeps nothing and logs nothing."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from router.providers.simulator import anthropic, google, openai, openai_responses
from router.providers.simulator.faults import Fault, split
from router.providers.simulator.reading import Refused, load, text
from router.providers.simulator.recorder import Received, Recorder
from router.providers.simulator.reply import Reply, Shapes, deform, plain

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Handler = Callable[[Mapping[str, object], str, Fault | None, int], tuple[Reply, str]]

CLOSE = "valueapi.close"
_POSTS: dict[str, tuple[Handler, Shapes]] = {
    "/v1/chat/completions": (openai.chat, openai.SHAPES),
    "/v1/completions": (openai.completions, openai.SHAPES),
    "/v1/embeddings": (openai.embeddings, openai.SHAPES),
    "/v1/responses": (openai_responses.responses, openai_responses.SHAPES),
    "/v1/messages": (anthropic.messages, anthropic.SHAPES),
    "/v1/messages/count_tokens": (anthropic.count, anthropic.SHAPES),
}
_GOOGLE = re.compile(r"/(v1|v1beta)/models/(.+):(generateContent|streamGenerateContent|countTokens)")
# Names that a router must neither pass on nor keep.
_ALWAYS = ((b"x-request-id", b"req_upstream_sim"), (b"set-cookie", b"upstream=1; Path=/"))


def create(recorder: Recorder | None = None, *, gap_ms: int = 0) -> ASGIApp:
    """The simulator as an ASGI application. `gap_ms` lies between the events of every stream, for demonstrations.

    Without a recorder nothing of a request outlives its answer. Only counters for `times=` faults are held.
    """
    met: dict[Fault, int] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _read(receive)
        if recorder is not None:
            headers = tuple((bytes(name).lower(), bytes(value)) for name, value in scope["headers"])
            recorder.add(Received(scope["method"], scope["path"], scope["query_string"], headers, body))
        gone = asyncio.Event()
        watcher = asyncio.create_task(_watch(receive, gone))
        try:
            whole = await _deliver(_answer(scope, body, met), scope, send, gone, gap_ms)
        finally:
            watcher.cancel()
        if recorder is not None and not whole:
            recorder.add_disconnect(scope["path"])

    return app


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _watch(receive: Receive, gone: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _answer(scope: Scope, body: bytes, met: dict[Fault, int]) -> Reply:
    """Pure but for the counters: the reply, deformed by the fault that the model's name asks for."""
    method, path = scope["method"], scope["path"]
    query = parse_qs(scope["query_string"].decode("latin-1"))
    headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
    if method == "GET" and path in ("/v1/models", "/v1beta/models"):
        return _models(path, headers)
    handler, shapes, model = _route(path, query)
    if handler is None or method != "POST":
        return plain(shapes.error(404, "Unknown path."), 404)
    try:
        _authorise(shapes, headers, query)
        request = load(body)
        name, fault = _model(model if model is not None else text(request.get("model")))
        fault = _still(fault, met)
        huge = fault.number("mb", 64) * 1024 * 1024 if fault and fault.kind == "huge" else 0
        reply, echo = handler(request, name, fault, huge)
    except Refused as error:
        return plain(shapes.error(error.status, error.message), error.status)
    return deform(reply, fault, shapes, echo)


def _route(path: str, query: Mapping[str, list[str]]) -> tuple[Handler | None, Shapes, str | None]:
    """The handler, its dialect's shapes, and the model where the path names it."""
    found = _GOOGLE.fullmatch(path)
    if found is None:
        handler, shapes = _POSTS.get(path, (None, openai.SHAPES))
        return handler, shapes, None
    model, method = found.group(2), found.group(3)
    if method == "generateContent":
        return google.generate, google.SHAPES, model
    if method == "countTokens":
        return google.count, google.SHAPES, model
    sse = query.get("alt") == ["sse"]
    return partial(google.stream, sse=sse), google.SHAPES if sse else google.ARRAY_SHAPES, model


def _authorise(shapes: Shapes, headers: Mapping[bytes, bytes], query: Mapping[str, list[str]]) -> None:
    """Any key will do, but it must be where the dialect expects it."""
    bearer = headers.get(b"authorization", b"")
    if shapes in (google.SHAPES, google.ARRAY_SHAPES):
        known = bool(headers.get(b"x-goog-api-key") or query.get("key"))
    elif shapes is anthropic.SHAPES:
        known = bool(headers.get(b"x-api-key")) or bearer.startswith(b"Bearer ")
    else:
        known = bearer.startswith(b"Bearer ")
    if not known:
        raise Refused(401, "No API key was given.")
    if shapes is anthropic.SHAPES and b"anthropic-version" not in headers:
        raise Refused(400, "anthropic-version: header is required")


def _model(name: str) -> tuple[str, Fault | None]:
    try:
        base, fault = split(name)
    except ValueError:
        raise Refused(400, "The model's name asks for an unknown fault.") from None
    if not base.startswith("sim-"):
        raise Refused(404, "The model does not exist.")
    return base, fault


def _still(fault: Fault | None, met: dict[Fault, int]) -> Fault | None:
    """The fault, unless its `times` are used up."""
    times = fault.number("times", 0) if fault else 0
    if fault is None or not times:
        return fault
    met[fault] = met.get(fault, 0) + 1
    return fault if met[fault] <= times else None


def _models(path: str, headers: Mapping[bytes, bytes]) -> Reply:
    if b"anthropic-version" in headers:
        return anthropic.models()
    if b"x-goog-api-key" in headers:
        return google.models(path.split("/")[1])
    return openai.models()


async def _deliver(reply: Reply, scope: Scope, send: Send, gone: asyncio.Event, gap_ms: int) -> bool:
    """Send the reply; False where the client left before it was whole."""
    if reply.delay_ms and await _left_within(gone, reply.delay_ms):
        return False
    if reply.status:
        length = sum(map(len, reply.chunks)) + (0 if reply.ending == "whole" else 64)
        framing = () if reply.streamed else ((b"content-length", str(length).encode()),)
        headers = [(b"content-type", reply.content_type), *framing, *_ALWAYS, *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        pause_ms = reply.gap_ms or (gap_ms if reply.streamed else 0)
        for chunk in reply.chunks:
            if gone.is_set():
                return False
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if pause_ms and await _left_within(gone, pause_ms):
                return False
    if reply.ending == "whole":
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True
    close = scope.get("extensions", {}).get(CLOSE)
    if reply.ending == "cut" and close is not None:
        close()
        await gone.wait()
        return True
    # Hanging, or a server that gives no way to close: until the client leaves.
    await gone.wait()
    return False


async def _left_within(gone: asyncio.Event, ms: int) -> bool:
    try:
        await asyncio.wait_for(gone.wait(), ms / 1000)
    except TimeoutError:
        return False
    return True
