"""What the simulator answers: the same for every dialect, deterministic, and quoting the last user message.

A dialect turns its request into a `Prompt` and renders the `Answer`; nothing here knows a wire format.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from router.providers.simulator.schema import example

# A fixed moment (2026-01-01T00:00:00Z): answers never depend on the clock.
CREATED = 1_767_225_600
CACHED_SYSTEM_CHARS = 1024
IMAGE_TOKENS = 85
_CHARS_PER_TOKEN = 4
_HUGE, _NEGATIVE = 10**15, -5

Finish = Literal["stop", "length", "stop_sequence", "tools"]


@dataclass(frozen=True, slots=True, repr=False)
class Tool:
    """A function that the model may call; `schema` is the JSON schema of its arguments."""

    name: str
    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True, repr=False)
class Prompt:
    """A request, stripped of its dialect. `forced` names a tool, or is `*` for any, or `-` for none.

    `referenced` counts the tokens of what it names by an address.
    """

    last_user: str
    system: str = ""
    other_text: str = ""
    images: int = 0
    referenced: int = 0
    turns: int = 1
    tools: tuple[Tool, ...] = ()
    forced: str | None = None
    after_tool_result: bool = False
    json_wanted: bool = False
    json_schema: Mapping[str, object] | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts as a dialect reports them; `input` includes `cached`. Normally integers: faults make them others."""

    input: int | str
    cached: int | str
    output: int | str

    @property
    def total(self) -> int | str:
        return self.input + self.output if isinstance(self.input, int) and isinstance(self.output, int) else self.input

    @property
    def fresh(self) -> int | str:
        """Input without the cached part, as Anthropic counts."""
        return self.input - self.cached if isinstance(self.input, int) and isinstance(self.cached, int) else self.input


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """A tool call with its arguments as JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """Text or tool calls. `pieces` is the text as a stream would bring it; `tokens` None means: report no usage."""

    text: str
    calls: tuple[Call, ...]
    finish: Finish
    stopped_by: str | None
    tokens: Tokens | None
    pieces: tuple[str, ...] = field(default=())


def count_tokens(text: str) -> int:
    """One token for four characters, rounded up."""
    return -(-len(text) // _CHARS_PER_TOKEN)


def input_tokens(prompt: Prompt) -> int:
    """Tokens of all texts, tool schemas and references, and a fixed number for each image."""
    tools = sum(count_tokens(tool.name + json.dumps(tool.schema)) for tool in prompt.tools)
    texts = count_tokens(prompt.system) + count_tokens(prompt.last_user) + count_tokens(prompt.other_text)
    return max(1, texts + tools + IMAGE_TOKENS * prompt.images + prompt.referenced)


def answer(prompt: Prompt, *, usage_fault: str | None = None, huge_chars: int = 0) -> Answer:
    """The answer to a prompt. A system prompt of more than 1,024 characters counts as cached, on every call."""
    calls = _calls(prompt)
    text, stopped_by = "", None
    finish: Finish = "tools"
    if not calls:
        text, finish, stopped_by = _text(prompt, huge_chars)
    output = max(1, count_tokens(text) + sum(count_tokens(call.name + call.arguments) for call in calls))
    cached = count_tokens(prompt.system) if len(prompt.system) > CACHED_SYSTEM_CHARS else 0
    tokens: Tokens | None = Tokens(input_tokens(prompt), cached, output)
    if usage_fault == "no_usage":
        tokens = None
    elif usage_fault == "huge_usage":
        tokens = Tokens(_HUGE, 0, _HUGE)
    elif usage_fault == "negative_usage":
        tokens = Tokens(_NEGATIVE, 0, _NEGATIVE)
    elif usage_fault == "text_usage":
        tokens = Tokens("many", "some", "more")
    return Answer(text, calls, finish, stopped_by, tokens, pieces(text))


def pieces(text: str) -> tuple[str, ...]:
    """At most about a hundred pieces of at least twelve characters."""
    size = max(12, len(text) // 100)
    return tuple(text[at : at + size] for at in range(0, len(text), size))


def _calls(prompt: Prompt) -> tuple[Call, ...]:
    if not prompt.tools or prompt.forced == "-":
        return ()
    lower = prompt.last_user.lower()
    if prompt.forced in (None, "*"):
        wanted: tuple[Tool, ...] = prompt.tools if "use every tool" in lower else prompt.tools[:1]
    else:
        wanted = tuple(tool for tool in prompt.tools if tool.name == prompt.forced)
    asked = "use the tool" in lower or "use every tool" in lower
    # A result was handed in: the model answers in words, unless it is forced to call again.
    if prompt.forced is None and (prompt.after_tool_result or not asked):
        return ()
    return tuple(
        Call(
            id=f"sim_{prompt.turns:03d}_{place}",
            name=tool.name,
            arguments=json.dumps(example(tool.schema, prompt.last_user), ensure_ascii=False),
        )
        for place, tool in enumerate(wanted)
    )


def _text(prompt: Prompt, huge_chars: int) -> tuple[str, Finish, str | None]:
    if prompt.json_schema is not None:
        text = json.dumps(example(prompt.json_schema, prompt.last_user), ensure_ascii=False)
    elif prompt.json_wanted:
        text = json.dumps({"answer": prompt.last_user}, ensure_ascii=False)
    else:
        seen = f" ({prompt.images} image{'s' if prompt.images != 1 else ''} seen)" if prompt.images else ""
        told = "After the tool's result: " if prompt.after_tool_result else ""
        text = f"{told}You said: {prompt.last_user}{seen}"
    if huge_chars:
        text += "x" * huge_chars
    finish: Finish = "stop"
    places = [(text.find(stop), stop) for stop in prompt.stop if stop and stop in text]
    stopped_by = None
    if places:
        at, stopped_by = min(places)
        text, finish = text[:at], "stop_sequence"
    if prompt.max_tokens is not None and count_tokens(text) > prompt.max_tokens:
        text, finish, stopped_by = text[: prompt.max_tokens * _CHARS_PER_TOKEN], "length", None
    return text, finish, stopped_by
