"""Whether a body may stand for more tokens than it has bytes; where that isn't known, it may."""

import json
from typing import Any

import pytest

from router.errors import InvalidRequest
from router.providers.dialects import wire
from router.providers.scan import scan
from router.surface import Dialect, Endpoint

CHAT, RESPONSES, MESSAGES, GENERATE = Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.GENERATE
DIALECT = {
    CHAT: Dialect.OPENAI,
    RESPONSES: Dialect.OPENAI,
    MESSAGES: Dialect.ANTHROPIC,
    GENERATE: Dialect.GOOGLE,
}
URL = "https://example.org/x"


def beyond(endpoint: Endpoint, data: bytes) -> bool:
    spoken = wire(DIALECT[endpoint])
    return spoken.beyond_text(endpoint, scan(data, spoken.GOVERNED))


def said(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


def gemini(*parts: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}]}


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        (CHAT, {"messages": said({"type": "image_url", "image_url": {"url": URL}})}),
        (CHAT, {"messages": said({"image_url": {"url": URL}})}),  # some compatible servers do without a type
        (CHAT, {"messages": said({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})}),
        (CHAT, {"messages": said({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})}),
        (CHAT, {"messages": said({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}})}),
        (CHAT, {"messages": said({"type": "video_url", "video_url": {"url": URL}})}),
        (CHAT, {"messages": said({"type": "hologram", "hologram": URL})}),
        (CHAT, {"messages": [{"role": "tool", "content": [{"type": "image_url", "image_url": {"url": URL}}]}]}),
        (CHAT, {"tools": [{"type": "computer_use_preview"}]}),
        (RESPONSES, {"input": said({"type": "input_image", "image_url": URL})}),
        (RESPONSES, {"input": said({"type": "input_file", "file_url": URL})}),
        (RESPONSES, {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]}),
        (RESPONSES, {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]}),
        (RESPONSES, {"input": [{"type": "compaction", "encrypted_content": "x"}]}),
        (MESSAGES, {"messages": said({"type": "image", "source": {"type": "url", "url": URL}})}),
        (MESSAGES, {"messages": said({"type": "image", "source": {"type": "base64", "data": "AAAA"}})}),
        (MESSAGES, {"messages": said({"type": "document", "source": {"type": "url", "url": URL}})}),
        (MESSAGES, {"messages": said({"type": "tool_result", "content": [{"type": "image"}]})}),
        (MESSAGES, {"tools": [{"type": "computer_20250124", "name": "computer"}]}),
        (MESSAGES, {"context_management": {"edits": [{"type": "compact_20260112"}]}}),
        (GENERATE, gemini({"fileData": {"fileUri": URL}})),
        (GENERATE, gemini({"file_data": {"file_uri": URL}})),
        (GENERATE, gemini({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})),
        (GENERATE, gemini({"inline_data": {"mime_type": "image/png", "data": "AAAA"}})),
        (GENERATE, {"contents": {"parts": {"fileData": {"fileUri": URL}}}}),  # a lone object for a list of one
        (GENERATE, {"systemInstruction": {"parts": [{"fileData": {"fileUri": URL}}]}}),
        (GENERATE, gemini({"functionResponse": {"name": "f", "response": {}, "parts": [{"inlineData": {}}]}})),
        (GENERATE, {"tools": [{"codeExecution": {}}]}),
        (GENERATE, {"tools": [{"functionDeclarations": []}, {"computer_use": {}}]}),
    ],
)
def test_media_and_the_unknown(endpoint: Endpoint, fields: dict[str, Any]) -> None:
    data = json.dumps({"model": "m", **fields}).encode()
    assert beyond(endpoint, data)
    # At any spelling of any letter.
    for word in (b"image", b"file", b"type", b"inline", b"code", b"computer"):
        data = data.replace(b'"' + word, b'"\\u00%02x' % word[0] + word[1:])
    assert beyond(endpoint, data)


SCHEMA = {"type": "object", "properties": {"image_url": {"type": "string"}, "type": {"type": "date"}}}


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "hi"}]}),
        (CHAT, {"messages": said({"type": "text", "text": '{"type":"image_url"} image_url https://x'})}),
        (CHAT, {"messages": said({"type": "text", "text": "file"}), "audio": None}),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]}),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f",
         "arguments": '{"image_url":"x"}'}}]}]}),
        (RESPONSES, {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}]}),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c", "output": "image"}]}),
        (MESSAGES, {"messages": said({"type": "text", "text": "image", "cache_control": {"type": "ephemeral"}})}),
        (MESSAGES, {"messages": said({"type": "tool_use", "id": "t", "name": "n", "input": {"type": "image"}})}),
        (MESSAGES, {"tools": [{"type": "custom", "name": "n", "input_schema": SCHEMA}]}),
        (GENERATE, gemini({"text": "fileData"})),
        (GENERATE, gemini({"functionResponse": {"name": "f", "response": {"fileData": "x"}}})),
        (GENERATE, {"tools": [{"functionDeclarations": [{"name": "file", "parameters": SCHEMA}]}]}),
        (GENERATE, {"generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA}}),
    ],
)  # fmt: skip
def test_text_alone(endpoint: Endpoint, fields: dict[str, Any]) -> None:
    assert not beyond(endpoint, json.dumps({"model": "m", **fields}).encode())


@pytest.mark.parametrize(
    ("endpoint", "data"),
    [
        (CHAT, b'{"messages":[{"content":[{"type":"image_url","type":"text"}]}]}'),
        (CHAT, b'{"messages":[{"content":[{"type":"image_url"}],"content":"x"}]}'),
        (RESPONSES, b'{"input":[{"type":"x","output":[{"type":"input_image"}],"output":"x"}]}'),
        (MESSAGES, b'{"messages":[{"content":[{"type":"image","type":"text"}]}]}'),
        (GENERATE, b'{"contents":[{"parts":[{"fileData":{}}],"parts":[{"text":"x"}]}]}'),
    ],
)
def test_a_second_spelling_hides_nothing(endpoint: Endpoint, data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        beyond(endpoint, data)
