"""Good answers on Gemini's wire (ai.google.dev/api/generate-content)."""

from typing import Any

from router.probe.upstream.answer import JSON, Answer, dumps, event, halves, stream, whole
from router.probe.upstream.received import Received
from router.surface import Endpoint


def answer(received: Received, words: str, *, tokens: Any = 7, call: bool = False) -> Answer:
    """The words as completion; with `call` as a function's arguments. `tokens` None leaves the usage out."""
    if received.endpoint is Endpoint.GOOGLE_COUNT_TOKENS:
        return whole({"totalTokens": 7 if tokens is None else tokens, "xNote": words})
    if call or not received.streams:
        part = {"functionCall": {"name": "look_up", "args": {"words": words}}} if call else {"text": words}
        chunks = [_chunk(part, tokens, last=True)]
    else:
        first, second = halves(words)
        chunks = [_chunk({"text": first}, tokens, last=False), _chunk({"text": second}, tokens, last=True)]
    if not received.streams:
        return whole(chunks[0])
    if received.json_array:
        array = [(b"," if at else b"[") + dumps(chunk) for at, chunk in enumerate(chunks)]
        return stream([*array, b"]"], JSON)
    return stream([event(chunk) for chunk in chunks])


def _chunk(part: dict[str, Any], tokens: Any, *, last: bool) -> dict[str, Any]:
    candidate = {
        "content": {"parts": [part], "role": "model"},
        "index": 0,
        **({"finishReason": "STOP"} if last else {}),
    }
    made: dict[str, Any] = {"candidates": [candidate], "modelVersion": "hostile", "responseId": "1"}
    if tokens is not None:
        counted = {"promptTokenCount": tokens, "candidatesTokenCount": tokens, "totalTokenCount": tokens}
        made["usageMetadata"] = counted
    return made


def error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": [{"reason": kind}]}}


def error_event(message: str, kind: str) -> bytes:
    return event(error(message, kind))
