"""Requests, answers and streams of the three dialects, with every line separator that a splitter might trip over."""

import json
from collections.abc import Iterable

from router.providers.translation import Translation, find
from router.surface import Dialect

Json = dict[str, object]

SEPARATORS = "a\u2028b\u2029c\u0085d\u000be\u000cf\u001cg\u001dh\u001ei"
TEXTS = ["Hel", "lo ", SEPARATORS, "\n\r\n\ndata: [DONE]\n\n", "Ü😀"]
ARGUMENTS = ['{"city": "Par', "is", SEPARATORS.replace("\u000b", "").replace("\u000c", "")[:6], '", "n": 1}']


def raw(value: object) -> bytes:
    """JSON as upstreams write it: UTF-8, with U+2028 and its like unescaped."""
    return json.dumps(value, ensure_ascii=False).encode()


def data(*events: object, done: bool = False) -> bytes:
    return b"".join(b"data: " + raw(event) + b"\n\n" for event in events) + (b"data: [DONE]\n\n" if done else b"")


def named(*events: Json) -> bytes:
    return b"".join(b"event: " + str(e["type"]).encode() + b"\ndata: " + raw(e) + b"\n\n" for e in events)


def translation(client: Dialect, upstream: Dialect, *, stream: bool = False, include_usage: bool = True) -> Translation:
    found = find(client, upstream, model_shown="shown/model", stream=stream, include_usage=include_usage)
    assert found is not None
    return found


def to_anthropic(*, stream: bool = False, include_usage: bool = True) -> Translation:
    return translation(Dialect.OPENAI, Dialect.ANTHROPIC, stream=stream, include_usage=include_usage)


def to_google(*, stream: bool = False, include_usage: bool = True) -> Translation:
    return translation(Dialect.OPENAI, Dialect.GOOGLE, stream=stream, include_usage=include_usage)


def to_openai(*, stream: bool = False) -> Translation:
    return translation(Dialect.ANTHROPIC, Dialect.OPENAI, stream=stream)


def ask(
    found: Translation, body: object, *, model: str = "upstream-model", user: str | None = "va-1"
) -> dict[str, object]:
    sent = found.request(raw(body), upstream_model=model, upstream_user=user, default_max_tokens=777)
    value = json.loads(sent)
    assert isinstance(value, dict)
    return value


def events(stream: bytes) -> list[Json]:
    """The `data:` objects of an event stream that must be ASCII and end each event with a blank line."""
    stream.decode("ascii")
    assert stream.endswith(b"\n\n")
    found: list[Json] = []
    for event in stream[:-2].split(b"\n\n"):
        lines = event.split(b"\n")
        value = lines[-1].removeprefix(b"data: ")
        if value == b"[DONE]":
            found.append({"type": "DONE"})
            continue
        parsed = json.loads(value)
        if len(lines) == 2:
            assert lines[0] == b"event: " + parsed["type"].encode()
        found.append(parsed)
    return found


def run(found: Translation, chunks: Iterable[bytes]) -> bytes:
    stream = found.stream()
    return b"".join([stream.feed(chunk) for chunk in chunks]) + stream.finish()


CHAT: Json = {"model": "shown/model", "messages": [{"role": "user", "content": "Hi"}]}
TOOL: Json = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
HISTORY: list[Json] = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "audio": None,
        "annotations": [],
        "tool_calls": [CALL, {**CALL, "id": "call_2"}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
    {"role": "user", "content": "Which?"},
]

ANTHROPIC_USAGE: Json = {
    "input_tokens": 10,
    "cache_read_input_tokens": 30,
    "cache_creation_input_tokens": 5,
    "output_tokens": 1,
}


def anthropic_stream() -> bytes:
    """Thinking, text, two tool calls (one without input), a ping and an event of a type yet unknown."""
    message: Json = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "up",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
    }
    found: list[Json] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "secret"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    ]
    found += [
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": text}} for text in TEXTS
    ]
    found += [
        {"type": "content_block_stop", "index": 1},
        {"type": "something_new", "x": 1},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
        },
    ]
    found += [
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": text}}
        for text in ["", *ARGUMENTS]
    ]
    found += [
        {"type": "content_block_stop", "index": 2},
        {
            "type": "content_block_start",
            "index": 3,
            "content_block": {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
        },
        {"type": "content_block_stop", "index": 3},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 7}},
        },
        {"type": "message_stop"},
    ]
    return named(*found)


def google_stream() -> bytes:
    """A thought, texts, two tool calls (one without id and arguments), the end."""

    def event(*parts: Json, **more: object) -> Json:
        candidate: Json = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
        if "finishReason" in more:
            candidate["finishReason"] = more.pop("finishReason")
        return {"candidates": [candidate], "responseId": "resp1", "modelVersion": "gemini-3", **more}

    call: Json = {"id": "g1", "name": "weather", "args": {"city": SEPARATORS, "n": 1}}
    return data(
        event({"text": "secret", "thought": True}),
        *[event({"text": text}) for text in TEXTS],
        event({"functionCall": call, "thoughtSignature": "c2ln"}, {"functionCall": {"name": "now"}}),
        event(
            {"text": "", "thoughtSignature": "ZW5k"},
            finishReason="STOP",
            usageMetadata={
                "promptTokenCount": 45,
                "cachedContentTokenCount": 30,
                "candidatesTokenCount": 13,
                "thoughtsTokenCount": 7,
                "totalTokenCount": 65,
            },
        ),
    )


def openai_stream() -> bytes:
    """Role, texts, two tool calls, a finish reason, the usage chunk and `[DONE]`."""

    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice: Json = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "up",
            "choices": [choice],
            "usage": None,
        }

    def call(index: int, arguments: str, **more: object) -> Json:
        name = {"name": more.pop("name")} if "name" in more else {}
        return {"tool_calls": [{"index": index, **more, "function": {**name, "arguments": arguments}}]}

    return data(
        chunk({"role": "assistant", "content": ""}),
        *[chunk({"content": text}) for text in TEXTS],
        chunk(call(0, "", id="call_1", type="function", name="weather")),
        *[chunk(call(0, text)) for text in ARGUMENTS],
        chunk(call(1, "{}", id="call_2", type="function", name="now")),
        chunk({}, "tool_calls"),
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "up",
            "choices": [],
            "usage": {
                "prompt_tokens": 45,
                "completion_tokens": 20,
                "total_tokens": 65,
                "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
        },
        done=True,
    )
