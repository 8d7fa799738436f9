"""Requests that were translated, answered by the simulator's own reading of each wire, and translated back."""

import json

import httpx2
import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from router.providers.dialects import wire
from router.providers.simulator.app import create
from router.providers.translation import Translation
from router.surface import ENDPOINT_DIALECT, Dialect
from tests.router.providers.translation.samples import (
    CHAT,
    HISTORY,
    SEPARATORS,
    TOOL,
    events,
    raw,
    run,
    to_anthropic,
    to_google,
    to_openai,
)

BASE = {Dialect.OPENAI: "http://sim/v1", Dialect.ANTHROPIC: "http://sim", Dialect.GOOGLE: "http://sim"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
CHATS: dict[str, dict[str, object]] = {
    "text": {**CHAT, "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": SEPARATORS}]},
    "tools": {**CHAT, "tools": [TOOL], "tool_choice": "required"},
    "results": {**CHAT, "messages": HISTORY, "tools": [TOOL]},
    "json mode": {**CHAT, "response_format": {"type": "json_object"}},
    "json schema": {
        **CHAT,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    },
}
MESSAGES: dict[str, dict[str, object]] = {
    "text": {"system": "S", "messages": [{"role": "user", "content": SEPARATORS}]},
    "tools": {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"},
    },
}


async def ask(found: Translation, body: dict[str, object]) -> bytes:
    sent = found.request(raw(body), upstream_model="sim-gemini-3", upstream_user="va-1", default_max_tokens=100)
    endpoint = found.upstream_endpoint
    spoken = wire(ENDPOINT_DIALECT[endpoint])
    headers = {**spoken.auth_headers("k"), **spoken.pass_headers({}), "content-type": "application/json"}
    transport = httpx2.ASGITransport(app=create())
    async with httpx2.AsyncClient(transport=transport) as client:
        answer = await client.post(
            BASE[ENDPOINT_DIALECT[endpoint]] + spoken.upstream_path(endpoint, "sim-gemini-3"),
            content=sent,
            headers=headers,
        )
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("case", CHATS)
@pytest.mark.parametrize("make", [to_anthropic, to_google], ids=["anthropic", "google"])
async def test_an_openai_caller(make: object, case: str) -> None:
    assert callable(make)
    body = CHATS[case]
    whole = ChatCompletion.model_validate_json(make().response(await ask(make(), body)))
    message = whole.choices[0].message
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    streamed = events(run(make(stream=True), [await ask(make(stream=True), {**body, "stream": True})]))
    deltas = [event["choices"][0]["delta"] for event in streamed[:-2]]  # type: ignore[index]
    assert "".join(delta.get("content") or "" for delta in deltas) == (message.content or "")
    assert streamed[-3]["choices"][0]["finish_reason"] == whole.choices[0].finish_reason  # type: ignore[index]
    if case == "tools":
        assert message.tool_calls is not None
        assert message.tool_calls[0].type == "function"
        arguments = "".join(call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", []))
        assert json.loads(arguments) == json.loads(message.tool_calls[0].function.arguments)
        assert whole.choices[0].finish_reason == "tool_calls"
    elif case.startswith("json"):
        assert isinstance(json.loads(message.content or ""), dict)
        assert whole.choices[0].finish_reason == "stop"
    else:
        assert message.content


@pytest.mark.parametrize("case", MESSAGES)
async def test_an_anthropic_caller(case: str) -> None:
    body = {"model": "shown/model", "max_tokens": 50, **MESSAGES[case]}
    whole = Message.model_validate_json(to_openai().response(await ask(to_openai(), body)))
    assert whole.stop_reason == ("tool_use" if case == "tools" else "end_turn")
    assert whole.usage.output_tokens > 0
    stream = await ask(to_openai(stream=True), {**body, "stream": True})
    streamed = events(run(to_openai(stream=True), [stream]))
    pieces = [event["delta"] for event in streamed if event["type"] == "content_block_delta"]
    first = whole.content[0]
    if first.type == "tool_use":
        assert json.loads("".join(piece["partial_json"] for piece in pieces)) == first.input  # type: ignore[index]
    else:
        assert first.type == "text"
        assert "".join(piece["text"] for piece in pieces) == first.text  # type: ignore[index]
