"""Streams of every pair: at every cut, with every line separator, through the official clients, and cut short."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import RawMessageStreamEvent
from google.genai import types as google_types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from governance import clock
from router.providers.dialects.base import MalformedUpstream
from router.providers.translation import Translation
from tests.router.providers.translation.samples import (
    ARGUMENTS,
    SEPARATORS,
    TEXTS,
    anthropic_stream,
    events,
    google_stream,
    openai_stream,
    run,
    to_anthropic,
    to_google,
    to_openai,
)

TEXT = "".join(TEXTS)
PAIRS: dict[str, tuple[Callable[[], Translation], bytes]] = {
    "openai-anthropic": (lambda: to_anthropic(stream=True), anthropic_stream()),
    "openai-google": (lambda: to_google(stream=True), google_stream()),
    "anthropic-openai": (lambda: to_openai(stream=True), openai_stream()),
}
EVERY = pytest.mark.parametrize("pair", PAIRS)


@pytest.fixture(autouse=True)
def still_clock() -> Any:
    instant = clock.now()
    clock.install(lambda: instant)
    yield
    clock.install(None)


@EVERY
def test_every_single_cut_gives_the_same_stream(pair: str) -> None:
    make, stream = PAIRS[pair]
    whole = run(make(), [stream])
    assert whole.isascii()
    for cut in range(1, len(stream)):
        assert run(make(), [stream[:cut], stream[cut:]]) == whole
    assert run(make(), [bytes([byte]) for byte in stream]) == whole


@EVERY
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6000), max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cuts_and_any_line_end(pair: str, cuts: list[int], line_end: bytes) -> None:
    make, stream = PAIRS[pair]
    whole = run(make(), [stream])
    stream = b": kept open\n\n".replace(b"\n", line_end) + stream.replace(b"\n", line_end)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert run(make(), [stream[a:b] for a, b in itertools.pairwise(edges)]) == whole


@EVERY
def test_a_last_blank_line_may_be_missing(pair: str) -> None:
    make, stream = PAIRS[pair]
    whole = run(make(), [stream])
    assert run(make(), [stream[:-1]]) == whole
    assert run(make(), [stream[:-2]]) == whole


@EVERY
def test_a_stream_cut_anywhere_never_ends_cleanly(pair: str) -> None:
    make, stream = PAIRS[pair]
    for cut in range(len(stream) - 2):
        seen = make().stream()
        out = b""
        with pytest.raises(MalformedUpstream):
            out += seen.feed(stream[:cut])
            out += seen.finish()
        assert b"\n\ndata: [DONE]\n\n" not in out
        assert b"message_stop" not in out
        assert b'"finish_reason":"' not in out


@EVERY
def test_order_of_calls_is_ours_to_keep(pair: str) -> None:
    make, stream = PAIRS[pair]
    seen = make().stream()
    seen.feed(stream)
    seen.finish()
    with pytest.raises(RuntimeError):
        seen.finish()
    with pytest.raises(RuntimeError):
        seen.feed(b"")


@pytest.mark.parametrize("pair", ["openai-anthropic", "anthropic-openai"])  # Google's end with the connection
def test_what_follows_the_end_is_ignored(pair: str) -> None:
    make, stream = PAIRS[pair]
    assert run(make(), [stream, b"<html>oops</html>\n\n"]) == run(make(), [stream])


@pytest.mark.parametrize("pair", ["openai-anthropic", "openai-google"])
def test_chunks_are_openais_and_in_order(pair: str) -> None:
    make, stream = PAIRS[pair]
    found = events(run(make(), [stream]))
    assert found[-1] == {"type": "DONE"}
    chunks = [ChatCompletionChunk.model_validate(event, strict=True) for event in found[:-1]]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["tool_calls"]
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            assert call.function is not None
            calls.setdefault(call.index, []).append(call.function.arguments or "")
            assert (call.id is not None) == (len(calls[call.index]) == 1)
    assert [json.loads("".join(calls[index])) for index in calls][1] == {}
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (45, 20)


def test_arguments_arrive_piece_by_piece() -> None:
    found = events(run(to_anthropic(stream=True), [anthropic_stream()]))
    pieces = [
        call["function"]["arguments"]
        for event in found
        for choice in event.get("choices", [])  # type: ignore[attr-defined]
        for call in choice["delta"].get("tool_calls", [])
        if call["index"] == 0
    ]
    assert pieces == ["", *ARGUMENTS]


def test_events_are_anthropics_and_in_order() -> None:
    found = events(run(to_openai(stream=True), [openai_stream()]))
    adapter: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    for event in found:
        adapter.validate_python(event)
    kinds = [str(event["type"]) for event in found]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    open_block = -1
    for event in found[1:-2]:
        if event["type"] == "content_block_start":
            open_block += 1
        assert event["index"] == open_block  # one after the other
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 3


def test_the_google_sample_is_googles() -> None:
    for event in google_stream().split(b"\n\n")[:-1]:
        google_types.GenerateContentResponse.model_validate_json(event.removeprefix(b"data: "))


@asynccontextmanager
async def serving(stream: bytes) -> AsyncIterator[str]:
    """One event stream for whoever asks, over a real socket, in small pieces."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for at in range(0, len(stream), 37):
            writer.write(stream[at : at + 37])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("pair", ["openai-anthropic", "openai-google"])
async def test_the_official_openai_client_reads_it(pair: str) -> None:
    make, stream = PAIRS[pair]
    async with serving(run(make(), [stream])) as url, openai.AsyncOpenAI(base_url=url, api_key="k") as client:
        asked = client.chat.completions.stream(
            model="m", messages=[{"role": "user", "content": "x"}], stream_options={"include_usage": True}
        )
        async with asked as chunks:
            final = await chunks.get_final_completion()
    message = final.choices[0].message
    assert message.content == TEXT
    assert message.tool_calls is not None
    assert [call.function.name for call in message.tool_calls] == ["weather", "now"]
    city = json.loads(message.tool_calls[0].function.arguments)["city"]
    assert city == (SEPARATORS if pair == "openai-google" else "Paris" + ARGUMENTS[2])
    assert final.usage is not None
    assert final.usage.total_tokens == 65


async def test_the_official_anthropic_client_reads_it() -> None:
    make, stream = PAIRS["anthropic-openai"]
    async with (
        serving(run(make(), [stream])) as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="k") as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as chunks,
    ):
        final = await chunks.get_final_message()
    assert final.stop_reason == "tool_use"
    text, first, second = final.content
    assert text.type == "text"
    assert text.text == TEXT
    assert first.type == "tool_use"
    assert (first.name, first.input) == ("weather", {"city": "Paris" + ARGUMENTS[2], "n": 1})
    assert second.type == "tool_use"
    assert (second.id, second.input) == ("call_2", {})
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (10, 30, 20)
