"""An OpenAI chat request for an Anthropic model, and the answer back.

Sources: the Anthropic API reference, "Create a Message" and "Streaming Messages", as typed by the official Python
client 2.13; "OpenAI SDK compatibility" for how leading system messages are joined (one newline).

- Leading system and developer messages become `system`; a later one becomes Anthropic's own mid-conversation system
  message, which older models refuse with a 400 of theirs. Turns of one role in a row are joined, tool results first.
- A last assistant message is Anthropic's prefill: the answer is the text that follows it. Newer models refuse it.
- JSON mode is a forced tool whose input is any JSON object, given back as the answer's text ("Tool use: JSON output").
- Temperature 1 and top_p 1 are both APIs' defaults and aren't sent: newer models refuse any sampling parameter.
- `reasoning_effort` is `output_config.effort`, word for word; what only one of the two knows is refused.
- Thinking blocks of the answer have no place in the OpenAI shape and are left out; their tokens are counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from router.providers.dialects.base import MalformedUpstream, listed, parse_object, part, tokens
from router.providers.translation import openai_request
from router.providers.translation.common import (
    Json,
    as_json_text,
    encode_request,
    optional_text,
    refuse,
    text_of,
    upstream_message,
)
from router.providers.translation.openai_answer import ChatUsage, Chunks, call_json, completion
from router.providers.translation.openai_request import Call, ChatRequest, Image, Part, Text, Turn
from router.providers.translation.streaming import EventStream, StreamTranslation
from router.surface import Endpoint

JSON_TOOL: Final = "json_object_answer"
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
# "Handling stop reasons". `pause_turn` belongs to server tools, which a translated request never has.
_FINISH: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_EVENTS: Final = frozenset(
    {"content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
)
_HIDDEN: Final = frozenset({"thinking", "redacted_thinking"})


@dataclass(frozen=True, slots=True, repr=False)
class OpenAIToAnthropic:
    """One request's translation; `model_shown` is the name that the caller asked for."""

    model_shown: str
    streaming: bool
    include_usage: bool
    upstream_endpoint: Endpoint = field(default=Endpoint.MESSAGES, init=False)

    def request(self, body: bytes, *, upstream_model: str, upstream_user: str | None, default_max_tokens: int) -> bytes:
        """The Messages body. Raises Untranslatable."""
        chat = openai_request.read(body)
        chat.rest.neutral("seed", why="the Messages API has no seed")
        for key in ("frequency_penalty", "presence_penalty"):
            chat.rest.neutral(key, 0, 0.0, why="the Messages API has no penalties")
        chat.rest.done()
        out: Json = {
            "model": upstream_model,
            "max_tokens": chat.max_tokens or default_max_tokens,
            "messages": _messages(chat.turns),
        }
        if chat.system:
            out["system"] = "\n".join(chat.system)
        if self.streaming:
            out["stream"] = True
        if chat.stop:
            out["stop_sequences"] = chat.stop
        if upstream_user is not None:
            out["metadata"] = {"user_id": upstream_user}
        _sampling(out, chat)
        _output(out, chat)
        _tools(out, chat)
        return encode_request(out)

    def response(self, body: bytes) -> bytes:
        """The `chat.completion` object. Raises MalformedUpstream."""
        answer = parse_object(body)
        texts: list[str] = []
        calls: list[Json] = []
        for block in listed(answer, "content"):
            kind = block.get("type")
            if kind == "text":
                texts.append(text_of(block, "text"))
            elif kind == "tool_use":
                given = part(block, "input") or {}
                if text_of(block, "name") == JSON_TOOL:
                    texts.append(as_json_text(given))
                else:
                    calls.append(call_json(text_of(block, "id"), text_of(block, "name"), as_json_text(given)))
            elif kind not in _HIDDEN:
                raise MalformedUpstream("The upstream's answer has a block of a kind that wasn't asked for.")
        counts = _Counts()
        counts.take(part(answer, "usage"))
        finish = _finish(answer.get("stop_reason"), has_calls=bool(calls))
        return completion(text_of(answer, "id"), self.model_shown, "".join(texts), calls, finish, counts.usage())

    def stream(self) -> StreamTranslation:
        """A fresh translation of one stream of events."""
        return _Stream(Chunks(self.model_shown, include_usage=self.include_usage))

    def error_message(self, body: bytes) -> str | None:
        """The message of an upstream's 4xx body, for the caller alone."""
        return upstream_message(body)


# ── the request ──────────────────────────────────────────────────────────────────────────────────────────────────


def _sampling(out: Json, chat: ChatRequest) -> None:
    if chat.temperature is not None and chat.temperature > 1:
        refuse("temperature", "the Messages API takes a temperature from 0 to 1")
    if chat.temperature not in (None, 1):
        out["temperature"] = chat.temperature
    if chat.top_p not in (None, 1):
        out["top_p"] = chat.top_p
    if chat.service_tier == "default":
        out["service_tier"] = "standard_only"
    elif chat.service_tier not in (None, "auto"):
        refuse("service_tier", "only auto and default can be translated: other tiers have other prices")


def _output(out: Json, chat: ChatRequest) -> None:
    config: Json = {}
    if chat.effort is not None:
        if chat.effort not in _EFFORTS:
            refuse("reasoning_effort", "the Messages API knows low, medium, high, xhigh and max")
        config["effort"] = chat.effort
    if chat.json_schema is not None:
        config["format"] = {"type": "json_schema", "schema": chat.json_schema}
    if config:
        out["output_config"] = config


def _tools(out: Json, chat: ChatRequest) -> None:
    if any(tool.name == JSON_TOOL for tool in chat.tools):
        refuse("tools", f"the tool name {JSON_TOOL} is taken: JSON mode uses it")
    if chat.json_mode:
        if chat.tools:
            refuse("response_format", "the Messages API can't have JSON mode beside tools: use json_schema")
        out["tools"] = [
            {
                "name": JSON_TOOL,
                "description": "Give the whole answer as one JSON object: the input of this tool.",
                "input_schema": {"type": "object"},
            }
        ]
        out["tool_choice"] = {"type": "tool", "name": JSON_TOOL, "disable_parallel_tool_use": True}
        return
    if not chat.tools:
        return
    tools: list[Json] = []
    for tool in chat.tools:
        one: Json = {"name": tool.name, "input_schema": tool.parameters}
        if tool.description is not None:
            one["description"] = tool.description
        if tool.strict:
            one["strict"] = True
        tools.append(one)
    out["tools"] = tools
    choice = _choice(chat)
    if choice:
        out["tool_choice"] = choice


def _choice(chat: ChatRequest) -> Json:
    choice = chat.choice
    if choice is not None and choice.names and not choice.named:
        refuse("tool_choice", "the Messages API can't limit a request to some of its tools: send only those")
    if choice is not None and choice.mode == "none":
        return {"type": "none"}
    out: Json = {}
    if choice is not None and choice.named:
        out = {"type": "tool", "name": choice.names[0]}
    elif choice is not None:
        out = {"type": "any" if choice.mode == "required" else "auto"}
    if chat.parallel is False:
        out = {"type": "auto", **out, "disable_parallel_tool_use": True}
    return out


def _messages(turns: list[Turn]) -> list[Json]:
    messages: list[tuple[str, list[Json]]] = []
    for turn in turns:
        role = "user" if turn.role == "tool" else turn.role
        blocks = [_result(turn)] if turn.role == "tool" else [_block(item) for item in turn.parts]
        if messages and messages[-1][0] == role:
            messages[-1][1].extend(blocks)
        else:
            messages.append((role, blocks))
    return [{"role": role, "content": blocks} for role, blocks in messages]


def _result(turn: Turn) -> Json:
    result: Json = {"type": "tool_result", "tool_use_id": turn.call_id}
    if turn.parts:
        result["content"] = [_block(item) for item in turn.parts]
    return result


def _block(item: Part) -> Json:
    if isinstance(item, Text):
        return {"type": "text", "text": item.text}
    if isinstance(item, Call):
        if item.signature is not None:
            refuse(f"{item.path}.extra_content", "a Gemini thought signature means nothing to another model")
        return {"type": "tool_use", "id": item.id, "name": item.name, "input": item.arguments}
    return {"type": "image", "source": _source(item)}


def _source(image: Image) -> Json:
    if image.url is not None:
        return {"type": "url", "url": image.url}
    if image.media_type not in _IMAGES:
        refuse(image.path, "the Messages API takes JPEG, PNG, GIF and WebP images")
    return {"type": "base64", "media_type": image.media_type, "data": image.data}


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────


def _finish(stop_reason: object, *, has_calls: bool) -> str:
    finish = _FINISH.get(stop_reason) if isinstance(stop_reason, str) else None
    if finish is None:
        raise MalformedUpstream("The upstream's answer has no stop reason that a translated request can have.")
    # JSON mode's tool is the answer itself.
    return "stop" if finish == "tool_calls" and not has_calls else finish


class _Counts:
    """Anthropic's counts, of which a stream's later events replace those that they name ("cumulative")."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def take(self, usage: Mapping[str, object] | None) -> None:
        if usage is None:
            return
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"):
            if usage.get(name) is not None:
                self._seen[name] = tokens(usage, name)
        details = part(usage, "output_tokens_details")
        if details is not None:
            self._seen["thinking_tokens"] = tokens(details, "thinking_tokens")

    def usage(self) -> ChatUsage:
        """`input_tokens` leave cached ones out; OpenAI's prompt tokens include them."""
        read = self._seen.get("cache_read_input_tokens", 0)
        written = self._seen.get("cache_creation_input_tokens", 0)
        return ChatUsage(
            prompt=self._seen.get("input_tokens", 0) + read + written,
            cached=read,
            cache_write=written,
            completion=self._seen.get("output_tokens", 0),
            reasoning=self._seen.get("thinking_tokens", 0),
        )


@dataclass(slots=True, repr=False)
class _Open:
    """A content block that is being streamed. `call` is its tool call's index, None where it is text."""

    kind: str
    call: int | None = None
    fed: bool = False


class _Stream(EventStream):
    def __init__(self, chunks: Chunks) -> None:
        super().__init__()
        self._chunks = chunks
        self._counts = _Counts()
        self._blocks: dict[object, _Open] = {}
        self._stop_reason: object = None

    def _event(self, name: bytes, data: bytes) -> bytes:
        event = parse_object(data)  # raises on `event: error`
        kind = event.get("type")
        if kind == "message_start":
            return self._start(event)
        if kind not in _EVENTS:
            return b""  # ping; "new event types may be added"
        if not self._chunks.started:
            raise MalformedUpstream("The upstream's stream doesn't begin with its message.")
        if kind == "content_block_start":
            return self._open(event)
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "content_block_stop":
            return self._close(event)
        if kind == "message_delta":
            delta = part(event, "delta") or {}
            self._stop_reason = delta.get("stop_reason") or self._stop_reason
            self._counts.take(part(event, "usage"))
            return b""
        finish = _finish(self._stop_reason, has_calls=self._chunks.calls > 0)
        self._ended = True
        return self._chunks.end(finish, self._counts.usage())

    def _start(self, event: Json) -> bytes:
        message = part(event, "message")
        if message is None or self._chunks.started:
            raise MalformedUpstream("The upstream's stream has no message, or begins twice.")
        self._counts.take(part(message, "usage"))
        return self._chunks.start(text_of(message, "id"))

    def _open(self, event: Json) -> bytes:
        block = part(event, "content_block") or {}
        kind = block.get("type")
        if kind == "text":
            self._blocks[event.get("index")] = _Open("text")
            return self._chunks.text(optional_text(block, "text"))
        if kind == "tool_use":
            given = part(block, "input")
            text = as_json_text(given) if given else ""
            name = text_of(block, "name")
            opened = _Open("tool", None if name == JSON_TOOL else self._chunks.calls, fed=bool(text))
            self._blocks[event.get("index")] = opened
            if opened.call is None:
                return self._chunks.text(text)
            return self._chunks.call(call_json(text_of(block, "id"), name, text))
        if kind in _HIDDEN:
            self._blocks[event.get("index")] = _Open("hidden")
            return b""
        raise MalformedUpstream("The upstream's stream has a block of a kind that wasn't asked for.")

    def _delta(self, event: Json) -> bytes:
        block = self._blocks.get(event.get("index"))
        delta = part(event, "delta") or {}
        kind = delta.get("type")
        if block is None:
            raise MalformedUpstream("The upstream's stream goes on with a block that never began.")
        if kind == "text_delta" and block.kind == "text":
            return self._chunks.text(text_of(delta, "text"))
        if kind == "input_json_delta" and block.kind == "tool":
            text = text_of(delta, "partial_json")
            block.fed = block.fed or bool(text)
            return self._chunks.text(text) if block.call is None else self._chunks.arguments(block.call, text)
        if block.kind == "hidden" or kind == "citations_delta":
            return b""
        raise MalformedUpstream("The upstream's stream has a delta that doesn't fit its block.")

    def _close(self, event: Json) -> bytes:
        block = self._blocks.pop(event.get("index"), None)
        if block is None or block.kind != "tool" or block.fed:
            return b""
        # No input at all is the empty object, which clients read as JSON.
        return self._chunks.text("{}") if block.call is None else self._chunks.arguments(block.call, "{}")
