"""Google's generateContent, streamGenerateContent and countTokens (ai.google.dev/api/generate-content).

Field names are taken in both spellings that protobuf's JSON mapping takes: systemInstruction and system_instruction.
"""

import json
from collections.abc import Mapping

from router.providers.simulator.brain import Answer, Prompt, Tokens, Tool, answer, input_tokens
from router.providers.simulator.faults import Fault
from router.providers.simulator.reading import (
    Refused,
    first,
    joined,
    mapping,
    mappings,
    number,
    referenced,
    text,
    texts,
)
from router.providers.simulator.reply import JSON_TYPE, Reply, Shapes, dumps, events, plain

MODELS = ("sim-gemini",)
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error(status: int, message: str) -> object:
    """google.rpc.Status in Google's error envelope."""
    return {"error": {"code": status, "message": message, "status": _STATUS.get(status, "INTERNAL"), "details": []}}


SHAPES = Shapes(error, lambda message: b"data: " + dumps(error(500, message)) + b"\n\n", terminators=1)
# In the array form the error is the array's last element; whole answers that fail come in an array as well.
ARRAY_SHAPES = Shapes(
    lambda status, message: [error(status, message)],
    lambda message: b",\r\n" + dumps(error(500, message)) + b"\n]\n",
    terminators=2,
)


def prompt(body: Mapping[str, object]) -> Prompt:
    """A generateContent request. Raises Refused where Google would."""
    contents = mappings(body.get("contents"))
    if not contents:
        raise Refused(400, "* GenerateContentRequest.contents: contents is not specified")
    users = [c for c in contents if c.get("role", "user") == "user" and _words(c)]
    last = users[-1] if users else None
    config = mapping(_either(body, "generationConfig", "generation_config") or {}, "generationConfig")
    schema = first(
        _either(config, "responseJsonSchema", "response_json_schema"),
        _either(config, "responseSchema", "response_schema"),
    )
    return Prompt(
        last_user=_words(last) if last else "",
        system=_words(mapping(_either(body, "systemInstruction", "system_instruction") or {}, "systemInstruction")),
        other_text=joined(_words(c) for c in contents if c is not last),
        images=sum(_is_media(part) for c in contents for part in mappings(c.get("parts"))),
        referenced=referenced(contents),
        turns=len(contents),
        tools=_tools(body),
        forced=_forced(body),
        after_tool_result=any(_either(part, "functionResponse", "function_response") for part in _parts(contents[-1])),
        json_wanted=_either(config, "responseMimeType", "response_mime_type") == "application/json",
        json_schema=mapping(schema, "responseSchema") if schema is not None else None,
        stop=texts(_either(config, "stopSequences", "stop_sequences")),
        max_tokens=number(_either(config, "maxOutputTokens", "max_output_tokens")),
    )


def generate(body: Mapping[str, object], model: str, fault: Fault | None, huge: int) -> tuple[Reply, str]:
    """POST …:generateContent: the reply, and the text to echo in a fault."""
    asked = prompt(body)
    given = answer(asked, usage_fault=fault.kind if fault else None, huge_chars=huge)
    return plain(_chunk(model, _answer_parts(given), given, last=True)), asked.last_user


def stream(body: Mapping[str, object], model: str, fault: Fault | None, huge: int, *, sse: bool) -> tuple[Reply, str]:
    """POST …:streamGenerateContent: server-sent events with `alt=sse`, else one JSON array that grows."""
    asked = prompt(body)
    given = answer(asked, usage_fault=fault.kind if fault else None, huge_chars=huge)
    if given.calls:
        chunks = [_chunk(model, _answer_parts(given), given, last=True)]
    else:
        chunks = [_chunk(model, [{"text": piece}], given, last=False) for piece in given.pieces]
        chunks.append(_chunk(model, [{"text": ""}], given, last=True))
    if sse:
        return events([b"data: " + dumps(chunk) + b"\r\n\r\n" for chunk in chunks]), asked.last_user
    array = [(b"[" if at == 0 else b",\r\n") + dumps(chunk) for at, chunk in enumerate(chunks)]
    return events([*array, b"\n]\n"], JSON_TYPE), asked.last_user


def count(body: Mapping[str, object], model: str, fault: Fault | None, huge: int) -> tuple[Reply, str]:
    """POST …:countTokens, for `contents` or a whole `generateContentRequest`."""
    inner = _either(body, "generateContentRequest", "generate_content_request")
    asked = prompt(mapping(inner, "generateContentRequest") if inner is not None else body)
    total = input_tokens(asked)
    return plain(
        {"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}
    ), asked.last_user


def models(version: str) -> Reply:
    """GET /v1beta/models."""
    methods = ["generateContent", "countTokens"]
    data = [
        {"name": f"models/{name}", "version": version, "displayName": name, "supportedGenerationMethods": methods}
        for name in MODELS
    ]
    return plain({"models": data})


def _chunk(model: str, parts: list[object], given: Answer, *, last: bool) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"parts": parts, "role": "model"}}
    if last:
        candidate["finishReason"] = "MAX_TOKENS" if given.finish == "length" else "STOP"
    candidate["index"] = 0
    made: dict[str, object] = {"candidates": [candidate]}
    if given.tokens is not None:
        made["usageMetadata"] = _usage(given.tokens, last)
    return {**made, "modelVersion": model, "responseId": "sim"}


def _usage(tokens: Tokens, last: bool) -> dict[str, object]:
    """Every chunk counts the prompt; the last one the whole answer."""
    out: dict[str, object] = {"promptTokenCount": tokens.input}
    if last:
        out["candidatesTokenCount"] = tokens.output
    out["totalTokenCount"] = tokens.total if last else tokens.input
    if tokens.cached:
        out["cachedContentTokenCount"] = tokens.cached
    out["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": tokens.input}]
    return out


def _answer_parts(given: Answer) -> list[object]:
    calls: list[object] = [
        {"functionCall": {"name": call.name, "args": json.loads(call.arguments)}} for call in given.calls
    ]
    return calls or [{"text": given.text}]


def _either(value: Mapping[str, object], camel: str, snake: str) -> object:
    return first(value.get(camel), value.get(snake))


def _parts(content: Mapping[str, object]) -> list[Mapping[str, object]]:
    return mappings(content.get("parts"))


def _words(content: Mapping[str, object]) -> str:
    return joined(text(part.get("text")) for part in _parts(content))


def _is_media(part: Mapping[str, object]) -> bool:
    return first(_either(part, "inlineData", "inline_data"), _either(part, "fileData", "file_data")) is not None


def _tools(body: Mapping[str, object]) -> tuple[Tool, ...]:
    out = []
    for entry in mappings(body.get("tools")):
        for one in mappings(_either(entry, "functionDeclarations", "function_declarations")):
            schema = first(_either(one, "parametersJsonSchema", "parameters_json_schema"), one.get("parameters"))
            out.append(Tool(text(one.get("name")), mapping(schema or {}, "parameters")))
    return tuple(out)


def _forced(body: Mapping[str, object]) -> str | None:
    tool = mapping(_either(body, "toolConfig", "tool_config") or {}, "toolConfig")
    calling = mapping(_either(tool, "functionCallingConfig", "function_calling_config") or {}, "functionCallingConfig")
    names = texts(_either(calling, "allowedFunctionNames", "allowed_function_names"))
    mode = text(calling.get("mode")).upper()
    return "-" if mode == "NONE" else (names[0] if names else "*") if mode == "ANY" else None
