"""An OpenAI chat request, read once for every upstream that isn't OpenAI's (`POST /v1/chat/completions`).

Source: the OpenAI API reference, "Create chat completion", as typed by the official Python client 3.57. What neither
the Messages API nor generateContent can do is refused here; what only one of them can do is refused by its translation.
Fields whose value asks for nothing (`n: 1`, `logprobs: false`, a penalty of 0, null) pass.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from router.providers.translation.common import Fields, Json, decode_arguments, decode_request, refuse

_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+);base64,", re.IGNORECASE)
Mode: TypeAlias = Literal["auto", "none", "required"]
_MODES: Final[dict[str, Mode]] = {"auto": "auto", "none": "none", "required": "required"}
_BOTH = "this has no counterpart in the upstream's API"
_DEPRECATED = "this deprecated form isn't translated: use `tools`, `tool_choice` and messages of the role tool"


@dataclass(slots=True, repr=False)
class Text:
    text: str


@dataclass(slots=True, repr=False)
class Image:
    """Either base64 `data` with its `media_type`, or an https `url`."""

    path: str
    url: str | None = None
    media_type: str = ""
    data: str = ""


@dataclass(slots=True, repr=False)
class Call:
    """`signature`: Gemini's thought signature, where Google's OpenAI shape keeps it (`extra_content`)."""

    path: str
    id: str
    name: str
    arguments: Json
    signature: str | None


Part: TypeAlias = Text | Image | Call


@dataclass(slots=True, repr=False)
class Turn:
    """One message. `call_id` is set for the role tool."""

    role: Literal["system", "user", "assistant", "tool"]
    path: str
    parts: list[Part]
    call_id: str = ""


@dataclass(slots=True, repr=False)
class Tool:
    name: str
    description: str | None
    parameters: Json
    strict: bool


@dataclass(slots=True, repr=False)
class Choice:
    """`names` limits the tools; `named` says that one tool is forced (else the list came from allowed_tools)."""

    mode: Mode
    names: list[str]
    named: bool = False


@dataclass(slots=True, repr=False)
class ChatRequest:
    """`system` are the leading system and developer texts; `turns` all that follows, later system messages included.

    `rest` still holds `seed`, `frequency_penalty`, `presence_penalty` and what is unknown: the translation finishes it.
    """

    system: list[str]
    turns: list[Turn]
    tools: list[Tool]
    choice: Choice | None
    parallel: bool | None
    stop: list[str]
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    effort: str | None
    json_mode: bool
    json_schema: Json | None
    service_tier: str | None
    rest: Fields


def read(body: bytes) -> ChatRequest:
    """The request's meaning. Raises Untranslatable."""
    top = decode_request(body)
    top.drop("provider", "store", "user", "safety_identifier", "metadata", "stream_options")
    top.drop("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options")
    top.required_text("model")
    top.flag("stream")
    top.neutral("n", 1, why="the upstream gives one answer per request: n must be 1")
    top.neutral("logprobs", False, why="log probabilities can't be translated")
    top.neutral("top_logprobs", 0, why="log probabilities can't be translated")
    top.neutral("logit_bias", {}, why="token ids differ between models: logit_bias can't be translated")
    top.neutral("modalities", ["text"], why="only text answers are translated")
    top.neutral("verbosity", "medium", why=_BOTH)
    for key in ("audio", "prediction", "web_search_options", "moderation"):
        top.neutral(key, why=_BOTH)
    top.neutral("functions", [], why=_DEPRECATED)
    top.neutral("function_call", why=_DEPRECATED)
    json_mode, json_schema = _format(top)
    system, turns = _messages(top)
    tools = [_tool(item, f"tools[{i}]") for i, item in enumerate(top.items("tools") or [])]
    return ChatRequest(
        system=system,
        turns=turns,
        tools=tools,
        choice=_choice(top, tools),
        parallel=top.flag("parallel_tool_calls"),
        stop=_stop(top),
        max_tokens=_max_tokens(top),
        temperature=top.number("temperature", 0, 2, "OpenAI's API"),
        top_p=top.number("top_p", 0, 1, "OpenAI's API"),
        effort=top.text("reasoning_effort"),
        json_mode=json_mode,
        json_schema=json_schema,
        service_tier=top.text("service_tier"),
        rest=top,
    )


def _max_tokens(top: Fields) -> int | None:
    new, old = top.count("max_completion_tokens"), top.count("max_tokens")
    if new is not None and old is not None and new != old:
        refuse("max_tokens", "max_tokens and max_completion_tokens contradict each other")
    return new if new is not None else old


def _stop(top: Fields) -> list[str]:
    value = top.take("stop")
    if isinstance(value, str):
        return [value]
    return Fields({"stop": value}, "").texts("stop")


def _format(top: Fields) -> tuple[bool, Json | None]:
    """Whether JSON mode is on, and the schema if one is given."""
    fields = top.fields("response_format")
    if fields is None:
        return False, None
    kind = fields.required_text("type")
    schema: Json | None = None
    if kind == "json_schema":
        named = fields.fields("json_schema")
        if named is None:
            refuse(fields.at("json_schema"), "this field is required")
        named.take("name")  # DROPPED["json_schema.name"]
        named.flag("strict")  # both upstreams hold the schema strictly, always
        description = named.text("description")
        schema = named.mapping("schema")
        if schema is None:
            refuse(named.at("schema"), "the upstream needs the schema itself")
        if description:
            own = schema.get("description")
            schema = {**schema, "description": f"{description}\n{own}" if isinstance(own, str) and own else description}
        named.done()
    elif kind not in ("text", "json_object"):
        refuse(fields.at("type"), "only text, json_object and json_schema can be translated")
    fields.done()
    return kind == "json_object", schema


def _tool(item: object, path: str) -> Tool:
    fields = Fields(item, path)
    if fields.required_text("type") != "function":
        refuse(fields.at("type"), "only tools of the type function can be translated")
    function = fields.fields("function")
    if function is None:
        refuse(fields.at("function"), "this field is required")
    tool = Tool(
        name=function.required_text("name"),
        description=function.text("description"),
        # "Omitting parameters defines a function with an empty parameter list."
        parameters=function.mapping("parameters") or {"type": "object", "properties": {}},
        strict=bool(function.flag("strict")),
    )
    function.done()
    fields.done()
    return tool


def _choice(top: Fields, tools: list[Tool]) -> Choice | None:
    value = top.take("tool_choice")
    if value is None:
        return None
    mode = _MODES.get(value) if isinstance(value, str) else None
    choice = Choice(mode, []) if mode else _named_choice(Fields(value, "tool_choice"))
    known = {tool.name for tool in tools}
    if any(name not in known for name in choice.names):
        refuse("tool_choice", "this names a tool that `tools` doesn't have")
    if not tools and choice.mode == "required":
        refuse("tool_choice", "a tool is required, but `tools` is empty")
    return choice


def _named_choice(fields: Fields) -> Choice:
    kind = fields.required_text("type")
    if kind == "function":
        choice = Choice("required", [_function_name(fields)], named=True)
    elif kind == "allowed_tools":
        allowed = fields.fields("allowed_tools")
        if allowed is None:
            refuse(fields.at("allowed_tools"), "this field is required")
        mode = allowed.required_text("mode")
        if mode not in ("auto", "required"):
            refuse(allowed.at("mode"), "this must be auto or required")
        names = []
        for i, item in enumerate(allowed.items("tools") or []):
            one = Fields(item, f"{allowed.at('tools')}[{i}]")
            if one.required_text("type") != "function":
                refuse(one.at("type"), "only tools of the type function can be translated")
            names.append(_function_name(one))
            one.done()
        allowed.done()
        choice = Choice("auto" if mode == "auto" else "required", names)
    else:
        refuse(fields.at("type"), "only function and allowed_tools can be translated")
    fields.done()
    return choice


def _function_name(fields: Fields) -> str:
    function = fields.fields("function")
    if function is None:
        refuse(fields.at("function"), "this field is required")
    name = function.required_text("name")
    function.done()
    return name


def _messages(top: Fields) -> tuple[list[str], list[Turn]]:
    items = top.items("messages")
    if not items:
        refuse("messages", "at least one message is required")
    turns = [_turn(Fields(item, f"messages[{i}]")) for i, item in enumerate(items)]
    first = next((i for i, turn in enumerate(turns) if turn.role != "system"), len(turns))
    if first == len(turns):
        refuse("messages", "the upstream needs at least one message that isn't a system message")
    system = [part.text for turn in turns[:first] for part in turn.parts if isinstance(part, Text)]
    return system, [turn for turn in turns[first:] if turn.parts or turn.role == "tool"]


def _turn(fields: Fields) -> Turn:
    path, role = fields.path, fields.required_text("role")
    fields.neutral("name", why="the upstream's API has no names for participants")
    if role in ("system", "developer"):
        turn = Turn("system", path, _content(fields, "text"))
    elif role == "user":
        turn = Turn("user", path, _content(fields, "text", "image_url"))
    elif role == "tool":
        turn = Turn("tool", path, _content(fields, "text"), call_id=fields.required_text("tool_call_id"))
    elif role == "assistant":
        turn = Turn("assistant", path, _assistant(fields))
    else:
        refuse(fields.at("role"), "only system, developer, user, assistant and tool can be translated")
    if not turn.parts and turn.role in ("user", "assistant"):  # an empty system message says nothing, and passes
        refuse(fields.at("content"), "the upstream takes no empty message")
    fields.done()
    return turn


def _assistant(fields: Fields) -> list[Part]:
    fields.neutral("audio", why="only text answers are translated")
    fields.neutral("function_call", why=_DEPRECATED)
    fields.neutral("annotations", [], why="citations can't be translated")
    parts = _content(fields, "text", "refusal")
    refusal = fields.text("refusal")
    if refusal:
        parts.append(Text(refusal))
    for i, item in enumerate(fields.items("tool_calls") or []):
        parts.append(_call(Fields(item, f"{fields.at('tool_calls')}[{i}]")))
    return parts


def _call(fields: Fields) -> Call:
    call_id = fields.required_text("id")
    fields.take("index")  # a replayed stream's own bookkeeping: the list's order says the same
    if fields.required_text("type") != "function":
        refuse(fields.at("type"), "only tool calls of the type function can be translated")
    function = fields.fields("function")
    if function is None:
        refuse(fields.at("function"), "this field is required")
    name = function.required_text("name")
    arguments = decode_arguments(function.required_text("arguments"), function.at("arguments"))
    function.done()
    signature = _signature(fields)
    fields.done()
    return Call(fields.path, call_id, name, arguments, signature)


def _signature(fields: Fields) -> str | None:
    extra = fields.fields("extra_content")
    google = extra.fields("google") if extra is not None else None
    signature = google.text("thought_signature") if google is not None else None
    for part in (google, extra):
        if part is not None:
            part.done()
    return signature


def _content(fields: Fields, *kinds: str) -> list[Part]:
    """The content as parts; empty texts, which carry nothing, and which Anthropic refuses, are no parts."""
    value = fields.take("content")
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)] if value else []
    if not isinstance(value, list):
        refuse(fields.at("content"), "this must be a string or a list of parts")
    parts = [_part(Fields(item, f"{fields.at('content')}[{i}]"), kinds) for i, item in enumerate(value)]
    return [part for part in parts if not isinstance(part, Text) or part.text]


def _part(fields: Fields, kinds: tuple[str, ...]) -> Part:
    kind = fields.required_text("type")
    if kind not in kinds:
        refuse(fields.at("type"), f"here only parts of these types can be translated: {', '.join(kinds)}")
    fields.drop("prompt_cache_breakpoint")
    part: Part = _image(fields) if kind == "image_url" else Text(fields.required_text(kind))
    fields.done()
    return part


def _image(fields: Fields) -> Image:
    image = fields.fields("image_url")
    if image is None:
        refuse(fields.at("image_url"), "this field is required")
    image.neutral("detail", "auto", why="the upstream's API has no level of detail: leave it out or say auto")
    url = image.required_text("url")
    path = image.at("url")
    image.done()
    found = _DATA_URL.match(url)
    if found:
        return Image(path, media_type=found[1].lower(), data=url[found.end() :])
    if url[:8].lower() != "https://":
        refuse(path, "only https URLs and base64 data URLs of images can be translated")
    return Image(path, url=url)
