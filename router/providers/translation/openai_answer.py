"""OpenAI's answers as we write them: `chat.completion` objects and `chat.completion.chunk` events.

Source: the OpenAI API reference, "The chat completion object" and "The chat completion chunk object". A stream begins
with the role, ends with a finish reason, then (only where asked for) the usage chunk, then `[DONE]`.
"""

from dataclasses import dataclass

from governance import clock
from router.providers.translation.common import Json, encode

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class ChatUsage:
    """Tokens as OpenAI counts them: `prompt` includes cached reads and writes, `completion` includes reasoning."""

    prompt: int = 0
    cached: int = 0
    cache_write: int = 0
    completion: int = 0
    reasoning: int = 0

    def json(self) -> Json:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": self.cache_write},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


def call_json(call_id: str, name: str, arguments: str, signature: str | None = None) -> Json:
    """A tool call. Google's own OpenAI shape keeps a Gemini thought signature in `extra_content`, and so do we."""
    call: Json = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    if signature:
        call["extra_content"] = {"google": {"thought_signature": signature}}
    return call


def completion(answer_id: str, model: str, text: str, calls: list[Json], finish_reason: str, usage: ChatUsage) -> bytes:
    """A whole answer. `content` is null where there are only tool calls."""
    message: Json = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    choice: Json = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return encode(
        {
            "id": f"chatcmpl-{answer_id}",
            "object": "chat.completion",
            "created": clock.unix_ms() // 1000,
            "model": model,
            "choices": [choice],
            "usage": usage.json(),
        }
    )


class Chunks:
    """Writes one stream's chunks, all with the same id and time."""

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._model = model
        self._include_usage = include_usage
        self._created = clock.unix_ms() // 1000
        self._id = ""
        self._calls = 0

    @property
    def started(self) -> bool:
        return bool(self._id)

    @property
    def calls(self) -> int:
        """How many tool calls were begun."""
        return self._calls

    def start(self, answer_id: str) -> bytes:
        self._id = f"chatcmpl-{answer_id}"
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def text(self, text: str) -> bytes:
        return self._chunk({"content": text}) if text else b""

    def call(self, call: Json) -> bytes:
        """Begin a tool call; its index is the next one."""
        self._calls += 1
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **call}]})

    def arguments(self, index: int, text: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]}) if text else b""

    def end(self, finish_reason: str, usage: ChatUsage) -> bytes:
        out = self._chunk({}, finish_reason)
        if self._include_usage:
            out += self._event([], usage.json())
        return out + DONE

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> bytes:
        return self._event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}], None)

    def _event(self, choices: list[Json], usage: Json | None) -> bytes:
        chunk: Json = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
        if self._include_usage:  # "All other chunks will also include a usage field, but with a null value."
            chunk["usage"] = usage
        return b"data: " + encode(chunk) + b"\n\n"
