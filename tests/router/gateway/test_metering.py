"""Every stream is fed at every boundary; what was forwarded is read again with the official clients."""

import json
from collections.abc import Iterable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import UpstreamFailed
from router.gateway.metering import StreamMeter, meter_json
from router.providers.dialects import MalformedUpstream
from router.providers.usage import Usage
from router.surface import Dialect, Endpoint

TEXT = 'say "usage": {"prompt_tokens":9999} \u2028 data: [DONE]\n\n\u0085 \U0001f600'
CANARY = "canary-91b2"
ERROR = UpstreamFailed("The provider's stream ended in an error.")


def sse(*events: Any, ascii_only: bool = False, named: bool = False, end: str = "\n") -> bytes:
    out = []
    for event in events:
        text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=ascii_only)
        name = f"event: {event['type']}{end}" if named and isinstance(event, dict) else ""
        out.append(f"{name}data: {text}{end}{end}")
    return "".join(out).encode()


def chat_chunk(choices: list[Any], **more: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def delta(text: str | None, reason: str | None = None) -> list[Any]:
    return [{"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": reason}]


CHAT_TEXT = sse(
    chat_chunk(delta(""), usage=None), chat_chunk(delta(TEXT), usage=None), chat_chunk(delta(None, "stop"), usage=None)
)
CHAT_USAGE = sse(
    chat_chunk(
        [],
        usage={
            "prompt_tokens": 11,
            "completion_tokens": 5,
            "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    )
)
DONE = sse("[DONE]")
RESPONSE = {
    "id": "r",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "output": [],
    "status": "completed",
    "error": None,
    "usage": {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 16,
    },
}
RESPONSES = sse(
    {
        "type": "response.created",
        "sequence_number": 0,
        "response": {**RESPONSE, "status": "in_progress", "usage": None},
    },
    {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": TEXT,
        "logprobs": [],
    },
    {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
    named=True,
)
MESSAGES = sse(
    {
        "type": "message_start",
        "message": {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "c",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 4,
                "cache_read_input_tokens": 3,
                "cache_creation_input_tokens": 4,
                "output_tokens": 1,
            },
        },
    },
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 5, "input_tokens": None},
    },
    {"type": "message_stop"},
    named=True,
)
GEMINI_USAGE = {
    "promptTokenCount": 11,
    "cachedContentTokenCount": 3,
    "candidatesTokenCount": 4,
    "thoughtsTokenCount": 1,
    "totalTokenCount": 16,
}
GEMINI_CHUNKS: list[Any] = [
    {
        "candidates": [{"content": {"role": "model", "parts": [{"text": TEXT}]}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 1},
    },
    {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "."}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": GEMINI_USAGE,
    },
]
GEMINI = sse(*GEMINI_CHUNKS, end="\r\n")
ARRAY = json.dumps(GEMINI_CHUNKS, indent=2, ensure_ascii=False).encode()

# dialect, endpoint, array form, stream
STREAMS: dict[str, tuple[Dialect, Endpoint, bool, bytes]] = {
    "chat": (Dialect.OPENAI, Endpoint.CHAT, False, CHAT_TEXT + CHAT_USAGE + DONE),
    "responses": (Dialect.OPENAI, Endpoint.RESPONSES, False, RESPONSES),
    "messages": (Dialect.ANTHROPIC, Endpoint.MESSAGES, False, MESSAGES),
    "gemini": (Dialect.GOOGLE, Endpoint.STREAM_GENERATE, False, GEMINI),
    "array": (Dialect.GOOGLE, Endpoint.STREAM_GENERATE, True, ARRAY),
}
PROVIDERS_USAGE = {name: Usage(11, 3, 5, False, 4 if name == "messages" else 0) for name in STREAMS}


def meter(name: str, *, drop: bool = False) -> StreamMeter:
    dialect, endpoint, array, _ = STREAMS[name]
    return StreamMeter(dialect, endpoint, drop_usage_chunk=drop, json_array=array)


def run(subject: StreamMeter, chunks: Iterable[bytes]) -> bytes:
    return b"".join([subject.feed(chunk) for chunk in chunks]) + subject.close()


@pytest.mark.parametrize("name", STREAMS)
def test_a_whole_stream_is_forwarded_byte_for_byte_at_every_cut(name: str) -> None:
    data = STREAMS[name][3]
    for at in range(len(data) + 1):
        subject = meter(name)
        assert run(subject, [data[:at], data[at:]]) == data
        assert subject.complete and not subject.failed and subject.usage(10**6) == PROVIDERS_USAGE[name]
    subject = meter(name)
    assert run(subject, [bytes([byte]) for byte in data]) == data and subject.complete


@given(
    name=st.sampled_from(sorted(STREAMS)),
    cuts=st.lists(st.integers(0, 10**6), max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    drop=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_many_cuts_and_every_line_end(name: str, cuts: list[int], end: str, drop: bool) -> None:
    data = STREAMS[name][3]
    if name not in ("array", "gemini"):
        data = data.replace(b"\n", end.encode())
    at = sorted({cut % (len(data) + 1) for cut in cuts})
    chunks = [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]
    subject = meter(name, drop=drop)
    out = run(subject, chunks)
    assert subject.complete and subject.usage(0) == PROVIDERS_USAGE[name]
    if drop and name == "chat":
        assert (
            b"prompt_tokens_details" not in out and b"[DONE]" in out and out.count(b"data: ") == 5
        )  # one is in the text
    else:
        assert out == data


def test_an_event_is_forwarded_with_its_last_byte_and_not_before() -> None:
    subject = meter("chat")
    event = sse(chat_chunk(delta("a")))
    assert subject.feed(event[:-1]) == b"" and subject.feed(event[-1:]) == event
    subject = meter("array")
    first = ARRAY.index(b"\n  },") + 4
    assert subject.feed(ARRAY[: first - 1]) == b"" and subject.feed(ARRAY[first - 1 : first + 1]) == ARRAY[:first]


def test_only_the_injected_chunk_is_dropped() -> None:
    filtered = sse(chat_chunk([], prompt_filter_results=[]))
    finish = sse(chat_chunk(delta(None, "stop"), usage={"prompt_tokens": 2, "completion_tokens": 1}))
    subject = meter("chat", drop=True)
    assert run(subject, [filtered + finish + CHAT_USAGE + DONE]) == filtered + finish + DONE
    assert subject.usage(0) == PROVIDERS_USAGE["chat"]
    assert run(meter("chat"), [CHAT_USAGE + DONE]) == CHAT_USAGE + DONE


def test_the_word_usage_in_content_is_content() -> None:
    subject = meter("chat")
    subject.feed(CHAT_TEXT + DONE)
    assert subject.complete and subject.usage(401) == Usage(101, 0, -(-len(TEXT.encode()) // 4), estimated=True)


@pytest.mark.parametrize("name", STREAMS)
def test_a_cut_stream_is_never_complete(name: str) -> None:
    data = STREAMS[name][3]
    ends = {
        "chat": DONE,
        "responses": b"event: response.completed",
        "messages": b"event: message_stop",
        "gemini": b"data: ",
        "array": b"]",
    }
    for at in range(len(data[: data.rindex(ends[name])]) + 1):
        subject = meter(name)
        out = run(subject, [data[:at]])
        assert not subject.complete and data.startswith(out)


def test_estimates_after_a_cut() -> None:
    text = len(TEXT.encode())
    subject = meter("messages")
    subject.feed(MESSAGES[: MESSAGES.index(b"event: content_block_stop")])
    assert subject.usage(4000) == Usage(11, 3, -(-text // 4), True, 4)
    subject = meter("gemini")
    subject.feed(GEMINI[: GEMINI.index(b"\r\n\r\n") + 4])
    assert subject.usage(4000) == Usage(11, 0, -(-text // 4), estimated=True)
    subject = meter("responses")
    subject.feed(RESPONSES[: RESPONSES.index(b"event: response.completed")])
    assert subject.usage(4001) == Usage(1001, 0, -(-text // 4), estimated=True)
    assert meter("chat").usage(0) == Usage(0, 0, 0, estimated=True)


def test_tool_arguments_and_reasoning_count_as_output() -> None:
    subject = meter("chat")
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": "12345678"}}
    subject.feed(sse(chat_chunk([{"index": 0, "delta": {"tool_calls": [call], "reasoning_content": "1234"}}])))
    assert subject.usage(0).output_tokens == 3
    subject = meter("messages")
    subject.feed(
        sse(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "1234"}},
            named=True,
        )
    )
    assert subject.usage(0).output_tokens == 1


BROKEN: list[tuple[str, bytes]] = [
    ("chat", sse({"error": {"message": CANARY}})),
    ("chat", b"event: error\n" + sse({"message": CANARY})),
    ("chat", b"event: error\n\n"),
    ("chat", sse(CANARY)),
    ("chat", sse([CANARY])),
    ("chat", sse({"detail": CANARY})),
    ("chat", sse(chat_chunk(delta(CANARY), error={"code": 1}))),
    ("chat", sse(chat_chunk([], usage={"prompt_tokens": 1e30, "completion_tokens": 1, "x": CANARY}))),
    ("chat", sse(chat_chunk([], usage={"prompt_tokens": -5, "completion_tokens": 1, "x": CANARY}))),
    ("chat", f"<html>{CANARY}</html>\n\n".encode()),
    ("responses", sse({"type": "error", "message": CANARY}, named=True)),
    ("responses", sse({"type": "response.failed", "response": {"error": {"message": CANARY}}}, named=True)),
    ("responses", sse({"type": "response.completed", "response": {"error": {"message": CANARY}}}, named=True)),
    ("responses", sse({"message": CANARY})),
    ("responses", sse("[DONE]")),
    ("messages", sse({"type": "error", "error": {"type": "overloaded_error", "message": CANARY}}, named=True)),
    ("messages", b"event: error\n" + sse({"type": "ping", "x": CANARY})),
    ("messages", sse({"type": "message_start", "message": {"usage": {"input_tokens": CANARY}}}, named=True)),
    ("gemini", sse({"error": {"code": 500, "message": CANARY}})),
    ("gemini", sse({"message": CANARY})),
    ("gemini", sse({"candidates": CANARY})),
]


@pytest.mark.parametrize(("name", "bad"), BROKEN)
def test_an_error_event_and_all_after_it_is_withheld_at_every_cut(name: str, bad: bytes) -> None:
    first = STREAMS[name][3][
        : STREAMS[name][3].index(b"\n\r\n" if name == "gemini" else b"\n\n") + (3 if name == "gemini" else 2)
    ]
    data = first + bad + STREAMS[name][3]
    for at in range(0, len(first + bad) + 2):
        subject = meter(name)
        out = run(subject, [data[:at], data[at:]])
        assert out == first and subject.failed and not subject.complete
        assert CANARY.encode() not in out + subject.tail(ERROR, "req") and CANARY not in repr(subject)


@pytest.mark.parametrize(
    "bad",
    [
        f'[{{"error":{{"message":"{CANARY}"}}}}]',
        f"<html>{CANARY}</html>",
        f'{{"error":"{CANARY}"}}',
        "[]",
        "",
        f'[{{"candidates":[]}},"{CANARY}"]',
    ],
)
def test_a_broken_array_ends_as_a_valid_array_with_our_error(bad: str) -> None:
    for at in range(len(bad) + 1):
        subject = meter("array")
        out = run(subject, [bad[:at].encode(), bad[at:].encode()])
        assert not subject.complete and CANARY.encode() not in out
        end = json.loads(out + subject.tail(ERROR, "req"))
        assert end[-1]["error"]["code"] == 502


def test_an_array_cut_anywhere_ends_as_a_valid_array() -> None:
    for at in range(len(ARRAY)):
        subject = meter("array")
        out = run(subject, [ARRAY[:at]])
        assert not subject.complete and "error" in json.loads(out + subject.tail(ERROR, "req"))[-1]
    whole = meter("array")
    assert json.loads(run(whole, [ARRAY]) + whole.tail(ERROR, "req")) == GEMINI_CHUNKS


def test_an_array_that_ends_early_is_not_closed_for_the_caller() -> None:
    subject = meter("array")
    out = run(subject, [json.dumps(GEMINI_CHUNKS[:1]).encode()])
    assert subject.failed and json.loads(out + b"]") == GEMINI_CHUNKS[:1]


def test_comments_and_a_missing_last_blank_line() -> None:
    keep_alive = b": OPENROUTER PROCESSING\n\n"
    data = b"\xef\xbb\xbf" + keep_alive + CHAT_TEXT + CHAT_USAGE + b"data: [DONE]"
    subject = meter("chat")
    assert run(subject, [data]) == data and subject.complete
    subject = meter("chat")
    assert run(subject, [CHAT_TEXT, b'data: {"choices":[{"del']) == CHAT_TEXT and subject.failed


def test_two_candidates_are_complete_when_both_are() -> None:
    def candidate(index: int, reason: str | None) -> bytes:
        return sse(
            {
                "candidates": [
                    {
                        "index": index,
                        "content": {"parts": [{"text": "x"}]},
                        **({"finishReason": reason} if reason else {}),
                    }
                ]
            }
        )

    subject = meter("gemini")
    subject.feed(candidate(0, None) + candidate(1, None) + candidate(0, "STOP"))
    assert not subject.complete
    subject.feed(candidate(1, "MAX_TOKENS"))
    assert subject.complete
    blocked = meter("gemini")
    blocked.feed(sse({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 2}}))
    assert blocked.complete and blocked.usage(0) == Usage(2, 0, 0, estimated=False)


def test_an_endless_event_is_a_failure_not_a_hoard() -> None:
    subject = meter("chat")
    block = b"x" * (1 << 20)
    subject.feed(b"data: ")
    for _ in range(40):
        subject.feed(block)
    assert subject.failed


def test_half_of_a_surrogate_pair_does_not_break_a_stream() -> None:
    data = sse(chat_chunk(delta("\ud83d")), chat_chunk(delta("\ude00")), ascii_only=True)
    subject = meter("chat")
    assert subject.feed(data) == data and not subject.failed


def client_for(data: bytes) -> httpx2.Client:
    headers = {"content-type": "text/event-stream"}
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=data)))


def test_the_openai_client_reads_what_is_forwarded_and_raises_at_the_tail() -> None:
    def text_of(data: bytes) -> str:
        client = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=client_for(data), max_retries=0)
        stream = client.chat.completions.create(model="m", messages=[], stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert text_of(run(meter("chat", drop=True), [CHAT_TEXT + CHAT_USAGE + DONE])) == TEXT
    cut = meter("chat")
    out = run(cut, [CHAT_TEXT])
    with pytest.raises(openai.APIError):
        text_of(out + cut.tail(ERROR, "req"))


def test_the_anthropic_client_reads_what_is_forwarded_and_raises_at_the_tail() -> None:
    def text_of(data: bytes) -> str:
        client = anthropic.Anthropic(api_key="k", base_url="http://x", http_client=client_for(data), max_retries=0)
        with client.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]) as stream:
            return stream.get_final_text()

    assert text_of(run(meter("messages"), [MESSAGES])) == TEXT
    cut = meter("messages")
    out = run(cut, [MESSAGES[: MESSAGES.index(b"event: content_block_stop")]])
    with pytest.raises(anthropic.APIError):
        text_of(out + cut.tail(ERROR, "req"))


def test_the_genai_client_reads_what_is_forwarded_and_raises_at_the_tail() -> None:
    def text_of(data: bytes) -> str:
        options = types.HttpOptions(base_url="http://x", httpx_client=client_for(data))
        client = genai.Client(api_key="k", http_options=options)
        return "".join(chunk.text or "" for chunk in client.models.generate_content_stream(model="m", contents="x"))

    assert text_of(run(meter("gemini"), [GEMINI])) == TEXT + "."
    cut = meter("gemini")
    out = run(cut, [GEMINI[: GEMINI.index(b"\r\n\r\n") + 4]])
    with pytest.raises(genai_errors.APIError):
        text_of(out + cut.tail(ERROR, "req"))


def test_a_whole_answer_is_metered_or_estimated_or_refused() -> None:
    with_usage = b'{"choices":[{"message":{"content":"12345"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
    assert meter_json(Dialect.OPENAI, Endpoint.CHAT, with_usage, 100) == Usage(3, 0, 2, estimated=False)
    without = b'{"choices":[{"message":{"content":"12345"}}]}'
    assert meter_json(Dialect.OPENAI, Endpoint.CHAT, without, 100) == Usage(25, 0, 2, estimated=True)
    assert meter_json(Dialect.OPENAI, Endpoint.EMBEDDINGS, b'{"data":[{"embedding":[1]}]}', 100) == Usage(
        25, 0, 0, estimated=True
    )
    with pytest.raises(MalformedUpstream):
        meter_json(Dialect.ANTHROPIC, Endpoint.MESSAGES, b"<html>", 100)
