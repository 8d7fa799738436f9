"""An Anthropic Messages request as an OpenAI chat request.

Sources: the Anthropic API reference, "Create a Message", and OpenAI's "Create chat completion", as typed by the
official Python clients 2.13 and 3.57.

- `system` becomes a leading system message. Tool results become tool messages, which precede the rest of their turn.
- An assistant turn's texts stand before its calls: OpenAI's message has one place for each.
- `is_error` has no field at OpenAI's: the result's text is led by "Error: ".
- `thinking` adaptive or disabled asks for nothing: OpenAI's models think as their effort says. A budget is refused.
- `max_tokens` becomes `max_completion_tokens`, the only limit that OpenAI's reasoning models take.
- A last assistant turn is Anthropic's prefill, which OpenAI's API doesn't continue: refused.
"""

from typing import Final

from router.providers.translation.common import Fields, Json, decode_request, encode_request, refuse

_STOPS_MAX: Final = 4
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_NO_COUNTERPART = "this has no counterpart in OpenAI's chat API"


def translate(body: bytes, *, upstream_model: str, upstream_user: str | None, streaming: bool) -> bytes:
    """The chat completion body. Raises Untranslatable."""
    top = decode_request(body)
    top.drop("provider", "store", "metadata", "cache_control")
    top.required_text("model")
    top.flag("stream")
    max_tokens = top.count("max_tokens")
    if max_tokens is None:
        refuse("max_tokens", "this field is required")
    top.neutral("top_k", why="OpenAI's chat API has no top_k")
    top.neutral("speed", "standard", why=_NO_COUNTERPART)
    top.neutral("mcp_servers", [], why=_NO_COUNTERPART)
    for key in ("container", "context_management", "diagnostics", "inference_geo", "user_profile_id", "workspace_id"):
        top.neutral(key, why=_NO_COUNTERPART)
    _thinking(top)
    out: Json = {
        "model": upstream_model,
        "messages": _messages(top),
        "max_completion_tokens": max_tokens,
        "store": False,
        "temperature": top.number("temperature", 0, 1, "the Messages API"),
        "top_p": top.number("top_p", 0, 1, "the Messages API"),
        "stop": _stops(top),
        "service_tier": _service_tier(top),
        "user": upstream_user,
    }
    if streaming:
        out["stream"] = True
        out["stream_options"] = {"include_usage": True}
    _output(top, out)
    _tools(top, out)
    top.done()
    return encode_request({name: value for name, value in out.items() if value is not None})


def _stops(top: Fields) -> list[str] | None:
    stops = top.texts("stop_sequences")
    if len(stops) > _STOPS_MAX:
        refuse("stop_sequences", f"OpenAI's chat API takes at most {_STOPS_MAX} stop sequences")
    return stops or None


def _service_tier(top: Fields) -> str | None:
    tier = top.text("service_tier")
    if tier not in (None, "auto", "standard_only"):
        refuse("service_tier", "this must be auto or standard_only")
    return "default" if tier == "standard_only" else None


def _thinking(top: Fields) -> None:
    fields = top.fields("thinking")
    if fields is None:
        return
    if fields.required_text("type") not in ("disabled", "adaptive"):
        refuse("thinking", "OpenAI's chat API has no thinking budget: use output_config.effort")
    fields.neutral("display", "omitted", why="OpenAI's chat API doesn't show its reasoning")
    fields.done()


def _output(top: Fields, out: Json) -> None:
    config = top.fields("output_config")
    if config is None:
        return
    effort = config.text("effort")
    if effort is not None and effort not in _EFFORTS:
        refuse(config.at("effort"), "this must be low, medium, high, xhigh or max")
    out["reasoning_effort"] = effort
    form = config.fields("format")
    if form is not None:
        if form.required_text("type") != "json_schema":
            refuse(form.at("type"), "only json_schema can be translated")
        schema = form.mapping("schema")
        if schema is None:
            refuse(form.at("schema"), "this field is required")
        # Anthropic always holds the schema, which OpenAI calls strict.
        named: Json = {"name": "answer", "schema": schema, "strict": True}
        out["response_format"] = {"type": "json_schema", "json_schema": named}
        form.done()
    config.done()


def _tools(top: Fields, out: Json) -> None:
    tools = [_tool(Fields(item, f"tools[{i}]")) for i, item in enumerate(top.items("tools") or [])]
    if tools:
        out["tools"] = tools
    choice = top.fields("tool_choice")
    if choice is None:
        return
    kind = choice.required_text("type")
    name = choice.text("name") if kind == "tool" else None
    one_at_a_time = choice.flag("disable_parallel_tool_use")
    choice.done()
    if kind not in ("auto", "any", "none", "tool") or (kind == "tool" and name is None):
        refuse("tool_choice", "this must be auto, any, none, or a tool with its name")
    if not tools:
        if kind in ("any", "tool"):
            refuse("tool_choice", "a tool is required, but `tools` is empty")
        return
    words = {"auto": "auto", "any": "required", "none": "none"}
    out["tool_choice"] = {"type": "function", "function": {"name": name}} if kind == "tool" else words[kind]
    if one_at_a_time:
        out["parallel_tool_calls"] = False


def _tool(fields: Fields) -> Json:
    fields.neutral("type", "custom", why="Anthropic's own tools can't be translated: only custom ones can")
    fields.drop("cache_control", "eager_input_streaming")
    fields.neutral("allowed_callers", ["direct"], why=_NO_COUNTERPART)
    fields.neutral("defer_loading", False, why=_NO_COUNTERPART)
    fields.neutral("input_examples", [], why=_NO_COUNTERPART)
    function: Json = {"name": fields.required_text("name")}
    description = fields.text("description")
    if description is not None:
        function["description"] = description
    schema = fields.mapping("input_schema")
    if schema is None:
        refuse(fields.at("input_schema"), "this field is required")
    function["parameters"] = schema
    if fields.flag("strict"):
        function["strict"] = True
    fields.done()
    return {"type": "function", "function": function}


def _messages(top: Fields) -> list[Json]:
    messages: list[Json] = []
    system = _text_blocks(top, "system")
    if system:
        messages.append({"role": "system", "content": _content(system)})
    items = top.items("messages")
    if not items:
        refuse("messages", "at least one message is required")
    role = ""
    for i, item in enumerate(items):
        fields = Fields(item, f"messages[{i}]")
        role = fields.required_text("role")
        if role == "user":
            messages += _user(fields)
        elif role == "assistant":
            messages += _assistant(fields)
        elif role == "system":
            later = _text_blocks(fields, "content")
            if later:
                messages.append({"role": "system", "content": _content(later)})
        else:
            refuse(fields.at("role"), "this must be user, assistant or system")
        fields.done()
    if role == "assistant":
        refuse(f"messages[{len(items) - 1}]", "OpenAI's chat API doesn't continue a prefilled assistant turn")
    return messages


def _content(parts: list[Json]) -> object:
    """One text as a string, which every OpenAI-compatible upstream takes; anything else as parts."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _blocks(fields: Fields, key: str) -> list[Fields]:
    """Content blocks; a string is one text block."""
    value = fields.take(key)
    if value is None:
        return []
    if isinstance(value, str):
        value = [{"type": "text", "text": value}]
    if not isinstance(value, list):
        refuse(fields.at(key), "this must be a string or a list of blocks")
    blocks = [Fields(item, f"{fields.at(key)}[{i}]") for i, item in enumerate(value)]
    for block in blocks:
        block.drop("cache_control")
    return blocks


def _text_blocks(fields: Fields, key: str) -> list[Json]:
    texts: list[Json] = []
    for block in _blocks(fields, key):
        if block.required_text("type") != "text":
            refuse(block.at("type"), "only text can be translated here")
        texts += _text(block)
    return texts


def _text(block: Fields) -> list[Json]:
    """One text part, or none for an empty text."""
    text = block.required_text("text")
    block.neutral("citations", [], why="citations can't be translated")
    block.done()
    return [{"type": "text", "text": text}] if text else []


def _user(fields: Fields) -> list[Json]:
    results: list[Json] = []
    parts: list[Json] = []
    for block in _blocks(fields, "content"):
        kind = block.required_text("type")
        if kind == "tool_result":
            if parts:
                refuse(block.path, "tool results must precede the rest of their turn")
            results.append(_result(block))
        elif kind == "text":
            parts += _text(block)
        elif kind == "image":
            parts.append(_image(block))
        else:
            refuse(block.at("type"), "here only text, image and tool_result can be translated")
    if not results and not parts:
        refuse(fields.at("content"), "a message can't be empty")
    return [*results, {"role": "user", "content": _content(parts)}] if parts else results


def _result(block: Fields) -> Json:
    call_id = block.required_text("tool_use_id")
    block.neutral("toolset_name", why=_NO_COUNTERPART)
    parts = _text_blocks(block, "content")
    if block.flag("is_error"):
        lead = "Error: "
        if parts:
            parts[0] = {"type": "text", "text": f"{lead}{parts[0]['text']}"}
        else:
            parts = [{"type": "text", "text": lead.strip()}]
    block.done()
    return {"role": "tool", "tool_call_id": call_id, "content": _content(parts) if parts else ""}


def _image(block: Fields) -> Json:
    block.neutral("transformations", {}, {"oversized_image": "downsize"}, why=_NO_COUNTERPART)
    source = block.fields("source")
    if source is None:
        refuse(block.at("source"), "this field is required")
    kind = source.required_text("type")
    if kind == "base64":
        url = f"data:{source.required_text('media_type')};base64,{source.required_text('data')}"
    elif kind == "url":
        url = source.required_text("url")
    else:
        refuse(source.at("type"), "only base64 and url can be translated")
    source.done()
    block.done()
    return {"type": "image_url", "image_url": {"url": url}}


def _assistant(fields: Fields) -> list[Json]:
    parts: list[Json] = []
    calls: list[Json] = []
    hidden = False
    for block in _blocks(fields, "content"):
        kind = block.required_text("type")
        if kind == "text":
            parts += _text(block)
        elif kind == "tool_use":
            calls.append(_call(block))
        elif kind in ("thinking", "redacted_thinking"):  # DROPPED["thinking blocks"]
            hidden = True
        else:
            refuse(block.at("type"), "here only text, tool_use and thinking can be translated")
    if not parts and not calls:
        if hidden:
            return []
        refuse(fields.at("content"), "a message can't be empty")
    message: Json = {"role": "assistant", "content": _content(parts) if parts else None}
    if calls:
        message["tool_calls"] = calls
    return [message]


def _call(block: Fields) -> Json:
    given = block.mapping("input")
    block.neutral("caller", {"type": "direct"}, why=_NO_COUNTERPART)
    block.neutral("toolset_name", why=_NO_COUNTERPART)
    if given is None:
        refuse(block.at("input"), "this field is required")
    function: Json = {"name": block.required_text("name"), "arguments": encode_request(given).decode()}
    call: Json = {"id": block.required_text("id"), "type": "function", "function": function}
    block.done()
    return call
