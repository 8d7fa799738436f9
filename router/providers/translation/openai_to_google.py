"""An OpenAI chat request for a Gemini model, and the answer back.

Sources: the Gemini API reference, "generateContent" and "GenerationConfig", as the official Python client 3.6 writes
them; "OpenAI compatibility" (efforts, `extra_content`); "Thought signatures"; "File input methods".

- Leading system and developer messages become `systemInstruction`; a later one is refused. Turns of one role in a row
  are joined, so that a turn's tool results stand together, as the API demands.
- A last assistant message is sent as it is: the answer is the text that follows it.
- Gemini's tool calls may lack an id: a deterministic one is made. A tool result finds its function's name by that id.
- Gemini 3 insists on the thought signature of a call it made. It travels in `extra_content`, as in Google's own OpenAI
  shape; where a client lost it, the documented stand-in is sent.
- An https image becomes `fileData`, which Gemini fetches by itself; its type must be told by the URL's file ending.
- The API takes no end-user identifier, so the pseudonym isn't sent. Thought texts of an answer are left out.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from router.providers.dialects.base import MalformedUpstream, listed, parse_object, part, tokens
from router.providers.translation import openai_request
from router.providers.translation.common import (
    Json,
    as_json_text,
    encode_request,
    refuse,
    text_of,
    upstream_message,
)
from router.providers.translation.openai_answer import ChatUsage, Chunks, call_json, completion
from router.providers.translation.openai_request import Call, ChatRequest, Image, Part, Text, Turn
from router.providers.translation.streaming import EventStream, StreamTranslation
from router.surface import Endpoint

_IMAGES: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
}
_GENERATION = re.compile(r"gemini-(\d+)")
_SKIP_SIGNATURE: Final = "skip_thought_signature_validator"
# "OpenAI compatibility": Gemini 3 and later take levels, 2.5 takes budgets in tokens.
_LEVELS: Final = frozenset({"minimal", "low", "medium", "high"})
_BUDGETS: Final[Mapping[str, int]] = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_FINISH: Final[Mapping[str, str]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
            *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "ESCALATION", "PUP_LIMITED_DISABLED"),
        ),
        "content_filter",
    ),
}


@dataclass(frozen=True, slots=True, repr=False)
class OpenAIToGoogle:
    """One request's translation; `model_shown` is the name that the caller asked for."""

    model_shown: str
    streaming: bool
    include_usage: bool
    upstream_endpoint: Endpoint = field(init=False)

    def __post_init__(self) -> None:
        endpoint = Endpoint.STREAM_GENERATE if self.streaming else Endpoint.GENERATE
        object.__setattr__(self, "upstream_endpoint", endpoint)

    def request(self, body: bytes, *, upstream_model: str, upstream_user: str | None, default_max_tokens: int) -> bytes:
        """The generateContent body; the model stands in the path. Raises Untranslatable.

        `default_max_tokens` isn't used: without a limit of the caller's, Gemini's own applies.
        """
        chat = openai_request.read(body)
        found = _GENERATION.search(upstream_model)
        generation = int(found[1]) if found else 0
        config = _config(chat, generation)
        chat.rest.done()
        if chat.service_tier not in (None, "auto", "default"):
            refuse("service_tier", "only auto and default can be translated: other tiers have other prices")
        out: Json = {"contents": _contents(chat.turns, needs_signature=generation >= 3), "store": False}
        if chat.system:
            out["systemInstruction"] = {"parts": [{"text": text} for text in chat.system]}
        if config:
            out["generationConfig"] = config
        _tools(out, chat)
        return encode_request(out)

    def response(self, body: bytes) -> bytes:
        """The `chat.completion` object. Raises MalformedUpstream."""
        answer = _Answer()
        texts: list[str] = []
        calls: list[Json] = []
        for item in answer.take(parse_object(body), body):
            if isinstance(item, str):
                texts.append(item)
            else:
                calls.append(item)
        return completion(answer.id, self.model_shown, "".join(texts), calls, answer.finish(), answer.usage)

    def stream(self) -> StreamTranslation:
        """A fresh translation of one `alt=sse` stream."""
        return _Stream(Chunks(self.model_shown, include_usage=self.include_usage))

    def error_message(self, body: bytes) -> str | None:
        """The message of an upstream's 4xx body, for the caller alone."""
        return upstream_message(body)


# ── the request ──────────────────────────────────────────────────────────────────────────────────────────────────


def _config(chat: ChatRequest, generation: int) -> Json:
    config: Json = {
        "temperature": chat.temperature,
        "topP": chat.top_p,
        "maxOutputTokens": chat.max_tokens,
        "stopSequences": chat.stop or None,
        "seed": _seed(chat),
        "frequencyPenalty": chat.rest.number("frequency_penalty", -2, 2, "OpenAI's API"),
        "presencePenalty": chat.rest.number("presence_penalty", -2, 2, "OpenAI's API"),
    }
    if chat.json_mode or chat.json_schema is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = chat.json_schema
    if chat.effort is not None:
        config["thinkingConfig"] = _thinking(chat.effort, generation)
    return {name: value for name, value in config.items() if value is not None}


def _seed(chat: ChatRequest) -> int | None:
    value = chat.rest.take("seed")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
        refuse("seed", "the Gemini API takes a seed of 32 bits")
    return value


def _thinking(effort: str, generation: int) -> Json:
    if generation >= 3 and effort in _LEVELS:
        return {"thinkingLevel": effort}
    if generation == 2 and effort in _BUDGETS:
        return {"thinkingBudget": _BUDGETS[effort]}
    refuse("reasoning_effort", "Google documents no counterpart of this effort for this model")


def _tools(out: Json, chat: ChatRequest) -> None:
    if not chat.tools:
        return
    if chat.parallel is False:
        refuse("parallel_tool_calls", "the Gemini API can't be limited to one call at a time")
    declarations: list[Json] = []
    for tool in chat.tools:
        one: Json = {"name": tool.name, "parametersJsonSchema": tool.parameters}
        if tool.description is not None:
            one["description"] = tool.description
        declarations.append(one)
    out["tools"] = [{"functionDeclarations": declarations}]
    config: Json = {}
    choice = chat.choice
    if choice is not None and choice.mode == "none":
        config = {"mode": "NONE"}
    elif choice is not None and choice.mode == "required":
        config = {"mode": "ANY"}
    elif any(tool.strict for tool in chat.tools) or (choice is not None and choice.names):
        # VALIDATED is AUTO that holds calls to their schemas, and the only AUTO that takes a list of names.
        config = {"mode": "VALIDATED"}
    elif choice is not None:
        config = {"mode": "AUTO"}
    if choice is not None and choice.names:
        config["allowedFunctionNames"] = choice.names
    if config:
        out["toolConfig"] = {"functionCallingConfig": config}


def _contents(turns: list[Turn], *, needs_signature: bool) -> list[Json]:
    names: dict[str, str] = {}
    contents: list[tuple[str, list[Json]]] = []
    for turn in turns:
        if turn.role == "system":
            refuse(turn.path, "the Gemini API takes system messages only before all others")
        if turn.role == "tool":
            parts = [_result(turn, names)]
        else:
            parts = [_part(item) for item in turn.parts]
            names.update({item.id: item.name for item in turn.parts if isinstance(item, Call)})
        if contents and contents[-1][0] == turn.role:
            contents[-1][1].extend(parts)
        else:
            contents.append((turn.role, parts))
    if needs_signature:
        for _role, parts in contents:
            _stand_in(parts)
    return [{"role": "model" if role == "assistant" else "user", "parts": parts} for role, parts in contents]


def _stand_in(parts: list[Json]) -> None:
    """Of calls made together only the first carries a signature; if it was lost, validation is skipped for it."""
    first = next((item for item in parts if "functionCall" in item), None)
    if first is not None:
        first.setdefault("thoughtSignature", _SKIP_SIGNATURE)


def _result(turn: Turn, names: Mapping[str, str]) -> Json:
    name = names.get(turn.call_id)
    if name is None:
        refuse(f"{turn.path}.tool_call_id", "no earlier tool call has this id, and the Gemini API needs its name")
    output = "\n".join(item.text for item in turn.parts if isinstance(item, Text))
    return {"functionResponse": {"id": turn.call_id, "name": name, "response": {"output": output}}}


def _part(item: Part) -> Json:
    if isinstance(item, Text):
        return {"text": item.text}
    if isinstance(item, Image):
        return _image(item)
    call: Json = {"functionCall": {"id": item.id, "name": item.name, "args": item.arguments}}
    if item.signature is not None:
        call["thoughtSignature"] = item.signature
    return call


def _image(image: Image) -> Json:
    if image.url is None:
        if image.media_type not in _IMAGES.values():
            refuse(image.path, "the Gemini API takes PNG, JPEG, WebP, HEIC and HEIF images")
        return {"inlineData": {"mimeType": image.media_type, "data": image.data}}
    try:
        path = urlsplit(image.url).path
    except ValueError:
        refuse(image.path, "this isn't a URL")
    media_type = _IMAGES.get(path.rpartition(".")[2].lower())
    if media_type is None:
        refuse(image.path, "the Gemini API needs the image's type, and this URL's ending tells none: send a data URL")
    return {"fileData": {"mimeType": media_type, "fileUri": image.url}}


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────


class _Answer:
    """What one answer, or all events of one stream, say so far. `id` is empty before the first."""

    def __init__(self) -> None:
        self.id = ""
        self.usage = ChatUsage()
        self.done = False
        self._reason = ""
        self._calls = 0

    def take(self, answer: Json, raw: bytes) -> list[str | Json]:
        """Texts and tool calls of one response object, in order. Raises MalformedUpstream."""
        if not self.id:
            given = answer.get("responseId")
            self.id = given if isinstance(given, str) and given else hashlib.sha256(raw).hexdigest()[:24]
        usage = part(answer, "usageMetadata")
        if usage is not None:
            self.usage = _usage(usage)
        feedback = part(answer, "promptFeedback")
        if feedback is not None and feedback.get("blockReason") not in (None, "BLOCKED_REASON_UNSPECIFIED"):
            self.done, self._reason = True, "SAFETY"
        if answer.get("candidates") is None:
            return []
        candidates = listed(answer, "candidates")
        if len(candidates) > 1:
            raise MalformedUpstream("The upstream gave more answers than the one that was asked for.")
        return [item for candidate in candidates for item in self._candidate(candidate)]

    def finish(self) -> str:
        """OpenAI's finish reason. Raises MalformedUpstream where the answer didn't end, or ended in failure."""
        finish = _FINISH.get(self._reason)
        if not self.done or finish is None:
            raise MalformedUpstream("The upstream's answer ended in failure, or not at all.")
        return "tool_calls" if finish == "stop" and self._calls else finish

    def _candidate(self, candidate: Json) -> list[str | Json]:
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED":
            self.done, self._reason = True, reason
        content = part(candidate, "content") or {}
        parts = listed(content, "parts") if content.get("parts") is not None else []
        return [item for one in parts if (item := self._part(one))]

    def _part(self, one: Json) -> str | Json:
        call = part(one, "functionCall")
        if call is not None:
            return self._call(call, one.get("thoughtSignature"))
        if one.keys() - {"text", "thought", "thoughtSignature", "partMetadata"}:
            raise MalformedUpstream("The upstream's answer has a part of a kind that wasn't asked for.")
        return text_of(one, "text") if "text" in one and not one.get("thought") else ""

    def _call(self, call: Json, signature: object) -> Json:
        name, arguments = text_of(call, "name"), as_json_text(part(call, "args") or {})
        call_id = call.get("id")
        if not isinstance(call_id, str) or not call_id:
            seed = json.dumps([self.id, self._calls, name, arguments])
            call_id = "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24]
        self._calls += 1
        return call_json(call_id, name, arguments, signature if isinstance(signature, str) else None)


def _usage(usage: Mapping[str, object]) -> ChatUsage:
    """`promptTokenCount` includes cached tokens; thoughts and candidates are counted apart, and both are output."""
    thoughts = tokens(usage, "thoughtsTokenCount")
    return ChatUsage(
        prompt=tokens(usage, "promptTokenCount") + tokens(usage, "toolUsePromptTokenCount"),
        cached=tokens(usage, "cachedContentTokenCount"),
        completion=tokens(usage, "candidatesTokenCount") + thoughts,
        reasoning=thoughts,
    )


class _Stream(EventStream):
    """Each event is a whole response object; the stream ends with the connection."""

    def __init__(self, chunks: Chunks) -> None:
        super().__init__()
        self._chunks = chunks
        self._answer = _Answer()

    def _event(self, name: bytes, data: bytes) -> bytes:
        items = self._answer.take(parse_object(data), data)  # raises on an `error` object
        out = b"" if self._chunks.started else self._chunks.start(self._answer.id)
        return out + b"".join(
            [self._chunks.text(item) if isinstance(item, str) else self._chunks.call(item) for item in items]
        )

    def _last(self) -> bytes:
        finish = self._answer.finish()
        self._ended = True
        return self._chunks.end(finish, self._answer.usage)
