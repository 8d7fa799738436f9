"""Anthropic's Messages API: plain, streaming and token counting (docs.anthropic.com/en/api/messages)."""

import json
from collections.abc import Mapping

from router.providers.simulator.brain import Answer, Call, Prompt, Tokens, Tool, answer, input_tokens
from router.providers.simulator.faults import Fault
from router.providers.simulator.reading import Refused, joined, mapping, mappings, number, referenced, text, texts
from router.providers.simulator.reply import Reply, Shapes, dumps, events, plain

MODELS = ("sim-claude",)
_STOP = {"stop": "end_turn", "stop_sequence": "stop_sequence", "length": "max_tokens", "tools": "tool_use"}
_TYPE = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error(status: int, message: str) -> object:
    """Anthropic's error object."""
    kind = _TYPE.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sim"}


SHAPES = Shapes(error, lambda message: b"event: error\ndata: " + dumps(error(529, message)) + b"\n\n", terminators=1)


def prompt(body: Mapping[str, object]) -> Prompt:
    """A messages request. Raises Refused where Anthropic would."""
    messages = mappings(body.get("messages"))
    if not messages:
        raise Refused(400, "messages: at least one message is required")
    users = [m for m in messages if m.get("role") == "user" and _words(m.get("content"))]
    last = users[-1] if users else None
    config = mapping(body.get("output_config") or {}, "output_config")
    form = mapping(config.get("format") or body.get("output_format") or {}, "output_config.format")
    return Prompt(
        last_user=_words(last.get("content")) if last else "",
        system=_words(body.get("system")),
        other_text=joined(_everything(m.get("content")) for m in messages if m is not last),
        images=sum(block.get("type") == "image" for m in messages for block in _blocks(m.get("content"))),
        referenced=referenced(messages),
        turns=len(messages),
        tools=tuple(
            Tool(text(tool.get("name")), mapping(tool.get("input_schema") or {}, "input_schema"))
            for tool in mappings(body.get("tools"))
        ),
        forced=_forced(mapping(body.get("tool_choice") or {}, "tool_choice")),
        after_tool_result=any(block.get("type") == "tool_result" for block in _blocks(messages[-1].get("content"))),
        json_schema=mapping(form.get("schema"), "schema") if form.get("type") == "json_schema" else None,
        stop=texts(body.get("stop_sequences")),
        max_tokens=number(body.get("max_tokens")),
    )


def messages(body: Mapping[str, object], model: str, fault: Fault | None, huge: int) -> tuple[Reply, str]:
    """POST /v1/messages: the reply, and the text to echo in a fault."""
    if number(body.get("max_tokens")) is None:
        raise Refused(400, "max_tokens: Field required")
    asked = prompt(body)
    given = answer(asked, usage_fault=fault.kind if fault else None, huge_chars=huge)
    if body.get("stream") is True:
        return events(_events(given, model)), asked.last_user
    made = _message(model)
    calls = [_tool_block(call, json.loads(call.arguments)) for call in given.calls]
    made["content"] = calls or [_text_block(given.text)]
    made["stop_reason"], made["stop_sequence"] = _STOP[given.finish], given.stopped_by
    if given.tokens is not None:
        made["usage"] = _usage(given.tokens)
    return plain(made), asked.last_user


def count(body: Mapping[str, object], model: str, fault: Fault | None, huge: int) -> tuple[Reply, str]:
    """POST /v1/messages/count_tokens."""
    asked = prompt(body)
    return plain({"input_tokens": input_tokens(asked)}), asked.last_user


def models() -> Reply:
    """GET /v1/models, in Anthropic's shape."""
    data = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in MODELS
    ]
    return plain({"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})


def _message(model: str) -> dict[str, object]:
    return {
        "id": "msg_sim",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(tokens: Tokens) -> dict[str, object]:
    """`input_tokens` is without the cached ones."""
    return {
        "input_tokens": tokens.fresh,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }


def _text_block(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def _tool_block(call: Call, given: object) -> dict[str, object]:
    return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": given}


def _event(name: str, content: Mapping[str, object]) -> bytes:
    return f"event: {name}\n".encode() + b"data: " + dumps({"type": name, **content}) + b"\n\n"


def _events(given: Answer, model: str) -> list[bytes]:
    started = _message(model)
    ended: dict[str, object] = {"delta": {"stop_reason": _STOP[given.finish], "stop_sequence": given.stopped_by}}
    if given.tokens is not None:
        # As the real one: one output token at the start, the cumulative count at the end.
        started["usage"] = {**_usage(given.tokens), "output_tokens": 1}
        ended["usage"] = {"output_tokens": given.tokens.output}
    out = [_event("message_start", {"message": started})]
    blocks: list[tuple[dict[str, object], list[dict[str, object]]]] = [
        (
            _tool_block(call, {}),
            [
                {"type": "input_json_delta", "partial_json": part}
                for part in ["", *(call.arguments[at : at + 12] for at in range(0, len(call.arguments), 12))]
            ],
        )
        for call in given.calls
    ] or [(_text_block(""), [{"type": "text_delta", "text": piece} for piece in given.pieces])]
    for index, (block, deltas) in enumerate(blocks):
        out.append(_event("content_block_start", {"index": index, "content_block": block}))
        if index == 0:
            out.append(_event("ping", {}))
        out += [_event("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        out.append(_event("content_block_stop", {"index": index}))
    return [*out, _event("message_delta", ended), _event("message_stop", {})]


def _blocks(content: object) -> list[Mapping[str, object]]:
    """A message's blocks, with those inside tool results."""
    found = mappings(content)
    return found + [inner for block in found for inner in mappings(block.get("content"))]


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    return joined(text(block.get("text")) for block in mappings(content) if block.get("type") == "text")


def _everything(content: object) -> str:
    if isinstance(content, str):
        return content
    return joined(text(block.get("text")) or text(block.get("content")) for block in _blocks(content))


def _forced(choice: Mapping[str, object]) -> str | None:
    kind = choice.get("type")
    return text(choice.get("name")) if kind == "tool" else {"any": "*", "none": "-"}.get(text(kind))
