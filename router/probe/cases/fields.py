"""A canary in every field of a body, each field a case of its own, so that a finding names the field."""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

from router.probe.canaries import Marks
from router.probe.case import Cases, Lane, Request
from router.probe.cases import bodies
from router.surface import Endpoint

Change = Callable[[str], dict[str, Any]]
_PIXEL = b"\x89PNG\r\n\x1a\n"


def add(cases: Cases, lane: Lane) -> None:
    """The fields of the lane's endpoint. Only the plain mode of each: a field is read before anything is streamed."""
    if lane.stream and lane.endpoint is not Endpoint.STREAM_GENERATE:
        return
    for name, change in {**_EVERYWHERE, **_FIELDS[lane.endpoint]}.items():
        cases.add(f"{lane.name}/field {name}", partial(_changed, lane, name, change), lane=lane)


def _changed(lane: Lane, name: str, change: Change, marks: Marks) -> Request:
    return bodies.request(lane, {**bodies.body(lane, marks), **change(marks.prompt(name))})


def _data(words: str) -> str:
    return base64.b64encode(_PIXEL + words.encode()).decode()


def _user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    return _user([{"type": "text", "text": "Look."}, part])


def _schema(words: str) -> dict[str, Any]:
    return {"type": "object", "properties": {words: {"type": "string", "description": words}}}


def _tool(name: str = "look_up", description: str = "Looks up.", schema: Any = None) -> dict[str, Any]:
    function = {"name": name, "description": description, "parameters": schema or {"type": "object"}}
    return {"tools": [{"type": "function", "function": function}]}


def _called(arguments: str, result: str, name: str = "look_up", call_id: str = "call_1") -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = {"role": "tool", "tool_call_id": call_id, "content": result}
    return {**_tool(), "messages": [{"role": "user", "content": "Look."}, asked, told]}


def _named(name: str) -> Change:
    return lambda words: {name: words}


_EVERYWHERE: dict[str, Change] = {
    "unknown field": lambda w: {"x_unknown": w},
    "name of an unknown field": lambda w: {w: 1},
    "nested unknown field": lambda w: {"x_unknown": {"deep": [{"deeper": {w: w}}]}},
    "provider": lambda w: {"provider": {"only": [w], w: w}},
    "provider as text": lambda w: {"provider": w},
    **{name: _named(name) for name in ("model", "stream", "temperature", "max_tokens", "n", "stop", "top_p", "seed")},
}
_OPENAI: dict[str, Change] = {
    "user": _named("user"),
    "safety_identifier": _named("safety_identifier"),
    "prompt_cache_key": _named("prompt_cache_key"),
    "service_tier": _named("service_tier"),
    "metadata": lambda w: {"metadata": {"note": w}},
    "name of metadata": lambda w: {"metadata": {w: "note"}},
    "previous_response_id": _named("previous_response_id"),
}
_CHAT: dict[str, Change] = {
    **_OPENAI,
    "stop sequences": lambda w: {"stop": ["\n", w]},
    "messages as text": lambda w: {"messages": w},
    "role": lambda w: {"messages": [{"role": w, "content": "Hello"}]},
    "name of a speaker": lambda w: {"messages": [{"role": "user", "name": w, "content": "Hello"}]},
    "content part": lambda w: _part({"type": "text", "text": w}),
    "content of unknown type": lambda w: _part({"type": w, w: w}),
    "developer message": lambda w: {
        "messages": [{"role": "developer", "content": w}, {"role": "user", "content": "Hi"}]
    },
    "assistant message": lambda w: {
        "messages": [{"role": "assistant", "content": w}, {"role": "user", "content": "?"}]
    },
    "tool name": lambda w: _tool(name=w),
    "tool description": lambda w: _tool(description=w),
    "tool schema": lambda w: _tool(schema=_schema(w)),
    "tool choice": lambda w: {**_tool(), "tool_choice": {"type": "function", "function": {"name": w}}},
    "tool arguments": lambda w: _called(f'{{"query": "{w}"}}', "found"),
    "tool arguments that aren't JSON": lambda w: _called(f'{{"query": {w}', "found"),
    "tool result": lambda w: _called("{}", w),
    "tool call id": lambda w: _called("{}", "found", call_id=w),
    "image data URL": lambda w: _part({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_data(w)}"}}),
    "image address": lambda w: _part(
        {"type": "image_url", "image_url": {"url": f"https://images.invalid/{w}.png?{w}"}}
    ),
    "audio": lambda w: _part({"type": "input_audio", "input_audio": {"data": _data(w), "format": "wav"}}),
    "file": lambda w: _part({"type": "file", "file": {"filename": f"{w}.pdf", "file_data": _data(w)}}),
    "file id": lambda w: _part({"type": "file", "file": {"file_id": w}}),
    "prediction": lambda w: {"prediction": {"type": "content", "content": w}},
    "schema of the answer": lambda w: {
        "response_format": {"type": "json_schema", "json_schema": {"name": w, "schema": _schema(w)}}
    },
    "bias": lambda w: {"logit_bias": {w: 1}},
    "web search": lambda w: {"web_search_options": {"user_location": {"approximate": {"city": w}}}},
}
_RESPONSES: dict[str, Change] = {
    **_OPENAI,
    "input items": lambda w: {"input": [{"role": "user", "content": [{"type": "input_text", "text": w}]}]},
    "input image": lambda w: {
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{_data(w)}"}]}
        ]
    },
    "function arguments": lambda w: {
        "input": [{"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": f'{{"q":"{w}"}}'}]
    },
    "function result": lambda w: {"input": [{"type": "function_call_output", "call_id": "call_1", "output": w}]},
    "tools": lambda w: {"tools": [{"type": "function", "name": "look_up", "description": w, "parameters": _schema(w)}]},
    "text format": lambda w: {"text": {"format": {"type": "json_schema", "name": w, "schema": _schema(w)}}},
    "stored prompt": lambda w: {"prompt": {"id": w, "variables": {w: w}}},
    "conversation": _named("conversation"),
}


def _turns(block: dict[str, Any]) -> dict[str, Any]:
    """An Anthropic dialogue in which the model called a tool."""
    used = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {}}
    told = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "found"}
    used, told = ({**used, **block}, told) if block["type"] == "tool_use" else (used, {**told, **block})
    return {
        "tools": [{"name": "look_up", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": [used]},
            {"role": "user", "content": [told]},
        ],
    }


_MESSAGES: dict[str, Change] = {
    "system blocks": lambda w: {"system": [{"type": "text", "text": w, "cache_control": {"type": "ephemeral"}}]},
    "content block": lambda w: _part({"type": "text", "text": w}),
    "block of unknown type": lambda w: _part({"type": w, w: w}),
    "image": lambda w: _part(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _data(w)}}
    ),
    "image address": lambda w: _part(
        {"type": "image", "source": {"type": "url", "url": f"https://images.invalid/{w}"}}
    ),
    "document": lambda w: _part(
        {"type": "document", "title": w, "source": {"type": "text", "media_type": "text/plain", "data": w}}
    ),
    "metadata.user_id": lambda w: {"metadata": {"user_id": w}},
    "stop_sequences": lambda w: {"stop_sequences": [w]},
    "tool name": lambda w: {"tools": [{"name": w, "input_schema": {"type": "object"}}]},
    "tool schema": lambda w: {"tools": [{"name": "look_up", "description": w, "input_schema": _schema(w)}]},
    "tool input": lambda w: _turns({"type": "tool_use", "input": {"query": w, w: 1}}),
    "tool result": lambda w: _turns({"type": "tool_result", "content": [{"type": "text", "text": w}]}),
    "thinking": lambda w: {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": w, "signature": _data(w)}]},
            {"role": "user", "content": "Go on"},
        ]
    },
    "container": _named("container"),
    "MCP server": lambda w: {"mcp_servers": [{"type": "url", "url": f"https://mcp.invalid/{w}", "name": w}]},
    "role": lambda w: {"messages": [{"role": w, "content": "Hello"}]},
}


def _contents(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": [{"text": "Look."}, *parts]}]}


_GENERATE: dict[str, Change] = {
    "inline data": lambda w: _contents({"inlineData": {"mimeType": "image/png", "data": _data(w)}}),
    "file data": lambda w: _contents({"fileData": {"mimeType": "image/png", "fileUri": f"https://files.invalid/{w}"}}),
    "function call": lambda w: _contents({"functionCall": {"name": "look_up", "args": {"q": w, w: 1}}}, role="model"),
    "function response": lambda w: _contents({"functionResponse": {"name": "look_up", "response": {"r": w}}}),
    "function declaration": lambda w: {
        "tools": [{"functionDeclarations": [{"name": "look_up", "description": w, "parameters": _schema(w)}]}]
    },
    "stop sequences": lambda w: {"generationConfig": {"stopSequences": [w]}},
    "schema of the answer": lambda w: {
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": _schema(w)}
    },
    "labels": lambda w: {"labels": {w: w}},
    "cached content": lambda w: {"cachedContent": f"cachedContents/{w}"},
    "safety settings": lambda w: {"safetySettings": [{"category": w, "threshold": w}]},
    "role": lambda w: _contents(role=w),
}
_FIELDS: dict[Endpoint, dict[str, Change]] = {
    Endpoint.CHAT: _CHAT,
    Endpoint.COMPLETIONS: {
        **_OPENAI, "suffix": _named("suffix"), "prompts": lambda w: {"prompt": ["one", w]},
    },
    Endpoint.EMBEDDINGS: {
        **_OPENAI, "encoding_format": _named("encoding_format"), "dimensions": _named("dimensions"),
    },
    Endpoint.RESPONSES: _RESPONSES,
    Endpoint.MESSAGES: _MESSAGES,
    Endpoint.COUNT_TOKENS: {name: _MESSAGES[name] for name in ("system blocks", "tool schema", "image")},
    Endpoint.GENERATE: _GENERATE,
    Endpoint.STREAM_GENERATE: {},
    Endpoint.GOOGLE_COUNT_TOKENS: {"whole request": lambda w: {"generateContentRequest": _contents({"text": w})}},
}  # fmt: skip
