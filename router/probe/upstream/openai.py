"""Good answers on OpenAI's wire (platform.openai.com/docs/api-reference)."""

from typing import Any

from router.probe.upstream.answer import Answer, event, halves, stream, whole
from router.probe.upstream.received import Received
from router.surface import Endpoint

_CREATED = 1_700_000_000
_DONE = b"data: [DONE]\n\n"
_MODEL = "hostile"


def usage(tokens: Any) -> dict[str, Any]:
    return {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": tokens}


def answer(received: Received, words: str, *, tokens: Any = 7, call: bool = False) -> Answer:
    """The words as completion; with `call` as the arguments of a tool call. `tokens` None leaves the usage out."""
    endpoint = received.endpoint
    if endpoint is Endpoint.EMBEDDINGS:
        data = [{"object": "embedding", "index": at, "embedding": [0.5, 0.25]} for at in (0, 1)]
        return whole({"object": "list", "data": data, "model": words, **_counted(tokens)})
    if endpoint is Endpoint.RESPONSES:
        return _responses(received, words, tokens, call)
    return _choices(received, endpoint is Endpoint.CHAT, words, tokens, call)


def _counted(tokens: Any) -> dict[str, Any]:
    return {} if tokens is None else {"usage": usage(tokens)}


def _tool(words: str) -> dict[str, Any]:
    return {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": words}}


def _choices(received: Received, chat: bool, words: str, tokens: Any, call: bool) -> Answer:
    def made(content: str, finish: str | None, *, delta: bool) -> dict[str, Any]:
        base = {"index": 0, "finish_reason": finish, "logprobs": None}
        if not chat:
            return {**base, "text": content}
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if call:
            message = {"role": "assistant", "content": None, "tool_calls": [_tool(content)]}
        return {**base, "delta" if delta else "message": message}

    kind = "chat.completion" if chat else "text_completion"
    head = {"id": "chatcmpl-1", "created": _CREATED, "model": _MODEL}
    finish = "tool_calls" if call else "stop"
    arguments = ('{"words": "', '"}') if call else ("", "")
    if not received.streams:
        shown = arguments[0] + words + arguments[1]
        return whole({**head, "object": kind, "choices": [made(shown, finish, delta=False)], **_counted(tokens)})
    head["object"] = "chat.completion.chunk" if chat else kind
    first, second = halves(words)
    parts = (arguments[0] + first, second + arguments[1])
    events = [event({**head, "choices": [made(part, None, delta=True)]}) for part in parts]
    end: dict[str, Any] = {"index": 0, "finish_reason": finish, **({"delta": {}} if chat else {"text": ""})}
    events.append(event({**head, "choices": [end]}))
    if tokens is not None:
        events.append(event({**head, "choices": [], **_counted(tokens)}))
    return stream([*events, _DONE])


def _responses(received: Received, words: str, tokens: Any, call: bool) -> Answer:
    if call:
        item: dict[str, Any] = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "look_up",
                                "arguments": f'{{"words": "{words}"}}', "status": "completed"}  # fmt: skip
    else:
        part = {"type": "output_text", "text": words, "annotations": []}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    counted = {"input_tokens": tokens, "output_tokens": tokens, "total_tokens": tokens}
    made: dict[str, Any] = {
        "id": "resp_1", "object": "response", "created_at": _CREATED, "status": "completed", "model": _MODEL,
        "error": None, "incomplete_details": None, "output": [item], "parallel_tool_calls": True, "tools": [],
        "tool_choice": "auto", **({} if tokens is None else {"usage": counted}),
    }  # fmt: skip
    if not received.streams:
        return whole(made)
    begun = {**made, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    delta = "response.function_call_arguments.delta" if call else "response.output_text.delta"
    steps: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress"}}),
        *((delta, {**place, "delta": half}) for half in halves(words)),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": made}),
    ]
    return stream([event({"type": name, "sequence_number": at, **step}, name) for at, (name, step) in enumerate(steps)])


def error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": kind}}


def error_event(message: str, kind: str) -> bytes:
    return event(error(message, kind))
