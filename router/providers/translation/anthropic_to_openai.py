"""An Anthropic Messages request for an OpenAI model, and the answer back.

Sources: the Anthropic API reference, "Streaming Messages" and "Handling stop reasons"; OpenAI's chat completion
objects. The request is in `anthropic_request`.

A stream's input tokens are known at its end only: `message_start` says 0 and `message_delta`, whose counts are
cumulative and replace it, says the truth (0 where the upstream never told). Reasoning texts are left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from router.providers.dialects.base import MalformedUpstream, listed, parse_object, part, tokens
from router.providers.translation import anthropic_request
from router.providers.translation.common import Json, as_json_text, encode, optional_text, text_of, upstream_message
from router.providers.translation.streaming import EventStream, StreamTranslation
from router.surface import Endpoint

_STOP: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


@dataclass(frozen=True, slots=True, repr=False)
class AnthropicToOpenAI:
    """One request's translation; `model_shown` is the name that the caller asked for."""

    model_shown: str
    streaming: bool
    upstream_endpoint: Endpoint = field(default=Endpoint.CHAT, init=False)

    def request(self, body: bytes, *, upstream_model: str, upstream_user: str | None, default_max_tokens: int) -> bytes:
        """The chat completion body. Raises Untranslatable. `max_tokens` is required of the caller: no default."""
        return anthropic_request.translate(
            body, upstream_model=upstream_model, upstream_user=upstream_user, streaming=self.streaming
        )

    def response(self, body: bytes) -> bytes:
        """The Message object. Raises MalformedUpstream."""
        answer = parse_object(body)
        choice = _choice(answer)
        message = part(choice, "message") if choice is not None else None
        if choice is None or message is None:
            raise MalformedUpstream("The upstream's answer has no message.")
        refusal = optional_text(message, "refusal")
        content: list[Json] = []
        for text in (optional_text(message, "content"), refusal):
            if text:
                content.append({"type": "text", "text": text})
        if message.get("tool_calls") is not None:
            cut = choice.get("finish_reason") == "length"
            content += [block for call in listed(message, "tool_calls") if (block := _tool_use(call, cut=cut))]
        _no_function_call(message)
        has_calls = any(block["type"] == "tool_use" for block in content)
        stop = _stop_reason(choice.get("finish_reason"), has_calls=has_calls, refused=bool(refusal))
        whole = _message(text_of(answer, "id"), self.model_shown, content, stop, _usage(part(answer, "usage")))
        return encode(whole)

    def stream(self) -> StreamTranslation:
        """A fresh translation of one stream of chunks."""
        return _Stream(self.model_shown)

    def error_message(self, body: bytes) -> str | None:
        """The message of an upstream's 4xx body, for the caller alone."""
        return upstream_message(body)


def _choice(answer: Json) -> Json | None:
    """The one choice; None in a chunk that has none."""
    choices = listed(answer, "choices")
    if len(choices) > 1:
        raise MalformedUpstream("The upstream gave more answers than the one that was asked for.")
    return choices[0] if choices else None


def _message(answer_id: str, model: str, content: list[Json], stop: str | None, usage: Json) -> Json:
    return {
        "id": f"msg_{answer_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _tool_use(call: Json, *, cut: bool) -> Json | None:
    """The block; None for a call whose arguments the limit of tokens has cut."""
    function = part(call, "function")
    if function is None:
        raise MalformedUpstream("The upstream's answer calls a tool of a kind that wasn't asked for.")
    try:
        arguments = _arguments(optional_text(function, "arguments"))
    except MalformedUpstream:
        if cut:
            return None
        raise
    return {"type": "tool_use", "id": text_of(call, "id"), "name": text_of(function, "name"), "input": arguments}


def _arguments(text: str) -> Json:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise MalformedUpstream("The upstream called a tool with arguments that aren't a JSON object.")
    as_json_text(value)  # raises on NaN and infinity, which json.loads lets pass
    return value


def _no_function_call(message: Mapping[str, object]) -> None:
    if message.get("function_call") is not None:
        raise MalformedUpstream("The upstream answered in the deprecated form of a function call.")


def _stop_reason(finish: object, *, has_calls: bool, refused: bool) -> str:
    stop = _STOP.get(finish) if isinstance(finish, str) else None
    if stop is None:
        raise MalformedUpstream("The upstream's answer has no finish reason that a translated request can have.")
    if stop == "end_turn" and refused:
        return "refusal"
    # A forced tool's answer ends with "stop" at OpenAI's.
    return "tool_use" if stop == "end_turn" and has_calls else stop


def _usage(usage: Mapping[str, object] | None) -> Json:
    """Anthropic's input tokens leave cached ones out; OpenAI's include them. DeepSeek and Moonshot name them apart."""
    usage = usage or {}
    details = part(usage, "prompt_tokens_details") or {}
    prompt = tokens(usage, "prompt_tokens")
    told = (
        tokens(details, "cached_tokens"),
        tokens(usage, "prompt_cache_hit_tokens"),
        tokens(usage, "cached_tokens"),
    )
    cached = min(max(told), prompt)
    written = min(tokens(details, "cache_write_tokens"), prompt - cached)
    reasoning = tokens(part(usage, "completion_tokens_details") or {}, "reasoning_tokens")
    return {
        "input_tokens": prompt - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": tokens(usage, "completion_tokens"),
        "output_tokens_details": {"thinking_tokens": reasoning},
    }


def _sse(event: Json) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + encode(event) + b"\n\n"


class _Stream(EventStream):
    """Blocks are numbered as they begin, and one ends before the next begins: calls that alternate are refused."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model
        self._started = False
        self._blocks = 0
        self._open: object = None  # "text", a tool call's index, or None
        self._begun: set[object] = set()
        self._fed = False
        self._refused = False
        self._finish: object = None
        self._usage: Mapping[str, object] | None = None

    def _event(self, name: bytes, data: bytes) -> bytes:
        if data.strip() == b"[DONE]":
            return self._end()
        chunk = parse_object(data)
        if name == b"error":
            raise MalformedUpstream("The upstream's stream carries an error.")
        self._usage = part(chunk, "usage") or self._usage
        choice = _choice(chunk)
        if choice is None:
            return b""
        out = b"" if self._started else self._start(text_of(chunk, "id"))
        self._finish = choice.get("finish_reason") or self._finish
        return out + self._delta(part(choice, "delta") or {})

    def _start(self, answer_id: str) -> bytes:
        self._started = True
        message = _message(answer_id, self._model, [], None, _usage(None))
        return _sse({"type": "message_start", "message": message})

    def _delta(self, delta: Json) -> bytes:
        _no_function_call(delta)
        refusal = optional_text(delta, "refusal")
        self._refused = self._refused or bool(refusal)
        out = self._text(optional_text(delta, "content")) + self._text(refusal)
        if delta.get("tool_calls") is not None:
            out += b"".join([self._call(call) for call in listed(delta, "tool_calls")])
        return out

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        out = b"" if self._open == "text" else self._begin("text", {"type": "text", "text": ""})
        return out + self._block_delta({"type": "text_delta", "text": text})

    def _call(self, call: Json) -> bytes:
        index = call.get("index", 0)
        if not isinstance(index, int):
            raise MalformedUpstream("The upstream's tool call has no sensible index.")
        function = part(call, "function") or {}
        out = b""
        if index not in self._begun:
            block: Json = {
                "type": "tool_use",
                "id": text_of(call, "id"),
                "name": text_of(function, "name"),
                "input": {},
            }
            out = self._begin(index, block)
        elif self._open != index:
            raise MalformedUpstream("The upstream's stream goes back to a tool call that it had left.")
        text = optional_text(function, "arguments")
        if text:
            self._fed = True
            out += self._block_delta({"type": "input_json_delta", "partial_json": text})
        return out

    def _begin(self, what: object, block: Json) -> bytes:
        out = self._close()
        self._open = what
        self._fed = False
        if what != "text":
            self._begun.add(what)
        self._blocks += 1
        return out + _sse({"type": "content_block_start", "index": self._blocks - 1, "content_block": block})

    def _block_delta(self, delta: Json) -> bytes:
        return _sse({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _sse({"type": "content_block_stop", "index": self._blocks - 1})

    def _end(self) -> bytes:
        stop = _stop_reason(self._finish, has_calls=bool(self._begun), refused=self._refused)
        out = self._close()
        delta: Json = {"stop_reason": stop, "stop_sequence": None}
        out += _sse({"type": "message_delta", "delta": delta, "usage": _usage(self._usage)})
        out += _sse({"type": "message_stop"})
        self._ended = True
        return out
