"""OpenAI's chat completions, completions, embeddings and model list (platform.openai.com/docs/api-reference)."""

import base64
import hashlib
import struct
from collections.abc import Mapping

from router.providers.simulator.brain import CREATED, Answer, Prompt, Tokens, Tool, answer, count_tokens
from router.providers.simulator.faults import Fault
from router.providers.simulator.reading import (
    Refused,
    first,
    items,
    joined,
    mapping,
    mappings,
    number,
    referenced,
    text,
    texts,
    words,
)
from router.providers.simulator.reply import Reply, Shapes, dumps, events, plain

MODELS = ("sim-gpt", "sim-embedding")
DIMENSIONS = 16
_DONE = b"data: [DONE]\n\n"
_FINISH = {"stop": "stop", "stop_sequence": "stop", "length": "length", "tools": "tool_calls"}
_TYPE = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error(status: int, message: str) -> object:
    """OpenAI's error object."""
    kind = _TYPE.get(status, "invalid_request_error" if status < 500 else "server_error")
    code = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


SHAPES = Shapes(error, lambda message: b"data: " + dumps(error(500, message)) + b"\n\n", terminators=1)


def usage(tokens: Tokens) -> dict[str, object]:
    """Prompt tokens include cached ones."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.total,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def prompt(body: Mapping[str, object]) -> Prompt:
    """A chat request. Raises Refused where OpenAI would."""
    messages = mappings(body.get("messages"))
    if not messages:
        raise Refused(400, "Missing required parameter: 'messages'.")
    users = [message for message in messages if message.get("role") == "user"]
    last = users[-1] if users else None
    system = [message for message in messages if message.get("role") in ("system", "developer")]
    others = [message for message in messages if message is not last and message not in system]
    form = mapping(body.get("response_format") or {}, "response_format")
    return Prompt(
        last_user=words(last.get("content")) if last else "",
        system=joined(words(message.get("content")) for message in system),
        other_text=joined(words(message.get("content")) for message in others),
        images=sum(_images(message.get("content")) for message in messages),
        referenced=referenced(messages),
        turns=len(messages),
        tools=_tools(body.get("tools")),
        forced=_forced(body.get("tool_choice")),
        after_tool_result=messages[-1].get("role") == "tool",
        json_wanted=form.get("type") == "json_object",
        json_schema=_schema(form) if form.get("type") == "json_schema" else None,
        stop=texts(body.get("stop")),
        max_tokens=number(first(body.get("max_completion_tokens"), body.get("max_tokens"))),
    )


def chat(body: Mapping[str, object], model: str, fault: Fault | None, huge: int) -> tuple[Reply, str]:
    """POST /v1/chat/completions: the reply, and the text to echo in a fault."""
    asked = prompt(body)
    given = answer(asked, usage_fault=fault.kind if fault else None, huge_chars=huge)
    choices = number(body.get("n")) or 1
    if not 1 <= choices <= 128:
        raise Refused(400, "Invalid 'n': integer out of range.")
    if body.get("stream") is True:
        options = mapping(body.get("stream_options") or {}, "stream_options")
        return events(_chat_events(given, model, choices, options.get("include_usage") is True)), asked.last_user
    message: dict[str, object] = {"role": "assistant", "content": given.text, "refusal": None, "annotations": []}
    if given.calls:
        message["content"] = None
        message["tool_calls"] = [
            {"id": f"call_{call.id}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in given.calls
        ]
    made = _head("chatcmpl-sim", "chat.completion", model)
    made["choices"] = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": _FINISH[given.finish]}
        for index in range(choices)
    ]
    return plain(_with_usage(made, given)), asked.last_user


def _head(identifier: str, kind: str, model: str) -> dict[str, object]:
    return {"id": identifier, "object": kind, "created": CREATED, "model": model, "system_fingerprint": "fp_sim"}


def _with_usage(made: dict[str, object], given: Answer) -> dict[str, object]:
    if given.tokens is not None:
        made["usage"] = usage(given.tokens)
    return made


def _chat_events(given: Answer, model: str, choices: int, include_usage: bool) -> list[bytes]:
    """With include_usage every chunk has `usage: null`, and one more before [DONE] has no choices and the usage."""
    out: list[bytes] = []

    def chunk(picked: list[dict[str, object]]) -> dict[str, object]:
        made = _head("chatcmpl-sim", "chat.completion.chunk", model)
        made["choices"] = picked
        if include_usage:
            made["usage"] = None
        return made

    def send(made: dict[str, object]) -> None:
        out.append(b"data: " + dumps(made) + b"\n\n")

    def delta(index: int, change: dict[str, object], finish: str | None = None) -> None:
        send(chunk([{"index": index, "delta": change, "logprobs": None, "finish_reason": finish}]))

    for index in range(choices):
        content: str | None = None if given.calls else ""
        delta(index, {"role": "assistant", "content": content, "refusal": None})
        for piece in given.pieces:
            delta(index, {"content": piece})
        for place, call in enumerate(given.calls):
            function: dict[str, object] = {"name": call.name, "arguments": ""}
            opened = {"index": place, "id": f"call_{call.id}", "type": "function", "function": function}
            delta(index, {"tool_calls": [opened]})
            for at in range(0, len(call.arguments), 12):
                part = {"index": place, "function": {"arguments": call.arguments[at : at + 12]}}
                delta(index, {"tool_calls": [part]})
        delta(index, {}, _FINISH[given.finish])
    if include_usage and given.tokens is not None:
        send({**chunk([]), "usage": usage(given.tokens)})
    return [*out, _DONE]


def completions(body: Mapping[str, object], model: str, fault: Fault | None, huge: int) -> tuple[Reply, str]:
    """POST /v1/completions."""
    asked_text = joined(texts(body.get("prompt")))
    if not asked_text:
        raise Refused(400, "Missing required parameter: 'prompt'.")
    asked = Prompt(last_user=asked_text, stop=texts(body.get("stop")), max_tokens=number(body.get("max_tokens")) or 16)
    given = answer(asked, usage_fault=fault.kind if fault else None, huge_chars=huge)
    finish = _FINISH[given.finish]
    if body.get("stream") is not True:
        made = _head("cmpl-sim", "text_completion", model)
        made["choices"] = [{"index": 0, "text": given.text, "logprobs": None, "finish_reason": finish}]
        return plain(_with_usage(made, given)), asked_text
    options = mapping(body.get("stream_options") or {}, "stream_options")
    parts = [(piece, None) for piece in given.pieces] + [("", finish)]
    out = []
    for piece, ended in parts:
        made = _head("cmpl-sim", "text_completion", model)
        made["choices"] = [{"index": 0, "text": piece, "logprobs": None, "finish_reason": ended}]
        out.append(b"data: " + dumps(made) + b"\n\n")
    if options.get("include_usage") is True and given.tokens is not None:
        made = _head("cmpl-sim", "text_completion", model)
        out.append(b"data: " + dumps({**made, "choices": [], "usage": usage(given.tokens)}) + b"\n\n")
    return events([*out, _DONE]), asked_text


def embeddings(body: Mapping[str, object], model: str, fault: Fault | None, huge: int) -> tuple[Reply, str]:
    """POST /v1/embeddings: `encoding_format` float, or base64 of little-endian 32-bit floats."""
    given = body.get("input")
    single = isinstance(given, str) or (isinstance(given, list) and given and isinstance(given[0], int))
    inputs = [given] if single else items(given)
    if not inputs:
        raise Refused(400, "Missing required parameter: 'input'.")
    size = number(body.get("dimensions")) or DIMENSIONS
    as_text = [one if isinstance(one, str) else repr(one) for one in inputs]
    vectors = [_vector(one, min(size, 4096)) for one in as_text]
    encode = _base64 if body.get("encoding_format") == "base64" else list
    data = [{"object": "embedding", "index": at, "embedding": encode(vector)} for at, vector in enumerate(vectors)]
    made: dict[str, object] = {"object": "list", "data": data, "model": model}
    used = sum(count_tokens(one) for one in as_text)
    kind = fault.kind if fault else None
    counts = {"huge_usage": 10**15, "negative_usage": -5, "text_usage": "many"}
    if kind != "no_usage":
        made["usage"] = {"prompt_tokens": counts.get(kind or "", used), "total_tokens": counts.get(kind or "", used)}
    return plain(made), joined(as_text)


def models() -> Reply:
    """GET /v1/models."""
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"} for name in MODELS]
    return plain({"object": "list", "data": data})


def _vector(content: str, size: int) -> list[float]:
    seed = content.encode(errors="replace")
    raw = b"".join(hashlib.sha256(at.to_bytes(4, "big") + seed).digest() for at in range(-(-size // 16)))
    return [value / 32768 for value in struct.unpack(f">{size}h", raw[: size * 2])]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _images(content: object) -> int:
    return sum(part.get("type") == "image_url" for part in mappings(content))


def _tools(value: object) -> tuple[Tool, ...]:
    out = []
    for entry in mappings(value):
        function = mapping(entry.get("function"), "tools.function")
        out.append(Tool(text(function.get("name")), mapping(function.get("parameters") or {}, "parameters")))
    return tuple(out)


def _forced(value: object) -> str | None:
    if isinstance(value, Mapping):
        return text(mapping(value.get("function") or {}, "tool_choice.function").get("name"))
    return {"required": "*", "none": "-"}.get(text(value))


def _schema(form: Mapping[str, object]) -> Mapping[str, object]:
    return mapping(mapping(form.get("json_schema"), "json_schema").get("schema"), "schema")
