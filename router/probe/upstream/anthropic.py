"""Good answers on Anthropic's wire (docs.anthropic.com/en/api/messages)."""

from typing import Any

from router.probe.upstream.answer import Answer, event, halves, stream, whole
from router.probe.upstream.received import Received
from router.surface import Endpoint


def answer(received: Received, words: str, *, tokens: Any = 7, call: bool = False) -> Answer:
    """The words as completion; with `call` as a tool's input. `tokens` None leaves the usage out."""
    counted = {} if tokens is None else {"usage": {"input_tokens": tokens, "output_tokens": tokens}}
    if received.endpoint is Endpoint.COUNT_TOKENS:
        return whole({"input_tokens": 7 if tokens is None else tokens, "x_note": words})
    made = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "hostile",
        "stop_sequence": None,
        "stop_reason": "tool_use" if call else "end_turn",
        "content": [_block(words, call)],
        **counted,
    }
    return _stream(made, words, call) if received.streams else whole(made)


def _block(words: str | None, call: bool) -> dict[str, Any]:
    if call:
        return {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"words": words} if words else {}}
    return {"type": "text", "text": words or ""}


def _stream(made: dict[str, Any], words: str, call: bool) -> Answer:
    first, second = halves(words)
    if call:
        deltas = [{"type": "input_json_delta", "partial_json": p} for p in (f'{{"words": "{first}', f'{second}"}}')]
    else:
        deltas = [{"type": "text_delta", "text": part} for part in (first, second)]
    begun = {**made, "content": [], "stop_reason": None}
    ended = {"delta": {"stop_reason": made["stop_reason"], "stop_sequence": None}}
    if "usage" in made:
        ended["usage"] = {"output_tokens": made["usage"]["output_tokens"]}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": begun}),
        ("content_block_start", {"index": 0, "content_block": _block(None, call)}),
        *(("content_block_delta", {"index": 0, "delta": delta}) for delta in deltas),
        ("content_block_stop", {"index": 0}),
        ("message_delta", ended),
        ("message_stop", {}),
    ]
    return stream([event({"type": name, **step}, name) for name, step in steps])


def error(message: str, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message, "code": kind}}


def error_event(message: str, kind: str) -> bytes:
    return event(error(message, kind), "error")
