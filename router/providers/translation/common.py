"""What every translation shares: the refusal, the table of what is left out on purpose, and strict reading of JSON.

Untranslatable(InvalidRequest)   400: the request asks for something that the upstream's dialect has no word for

Nothing is dropped in silence: each field is translated, named in `DROPPED` with its reason, or refused. `Fields`
makes that the only easy way, since `done()` refuses whatever nobody took. Messages never quote a value, and never an
unknown field's name, which is the caller's own text; that stands in `param` alone, and only if it looks like a name.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NoReturn, TypeAlias

from router.errors import InvalidRequest
from router.providers.dialects.base import MalformedUpstream

Json: TypeAlias = dict[str, object]

DROPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "provider": "our own routing preferences, read by the router; no upstream knows them",
        "store": "a translated request is never stored by the provider",
        "user": "replaced by the pseudonym made for that provider, where its API takes one",
        "safety_identifier": "replaced like `user`",
        "metadata": "OpenAI's tags what is stored, and nothing is; Anthropic's `user_id` is replaced like `user`",
        "prompt_cache_key": "names one provider's cache; it changes cost and latency, never the answer",
        "prompt_cache_retention": "asks a provider to keep the prompt longer, which a translation never does",
        "prompt_cache_options": "as `prompt_cache_retention`",
        "prompt_cache_breakpoint": "as `prompt_cache_key`, on a content part",
        "cache_control": "Anthropic's cache marks, wherever they stand: they change cost and latency, never the answer",
        "stream_options": "`include_usage` decides what we send you, not what we ask for; there is no obfuscation here",
        "json_schema.name": "labels the schema for OpenAI; the other APIs take the schema alone",
        "anthropic-beta": "the header; those that are published name features of Anthropic's API alone",
        "eager_input_streaming": "how tool input is cut into events; other APIs stream it as it comes",
        "thinking blocks": "`thinking` and `redacted_thinking` in an Anthropic history are sealed for the model that "
        "wrote them. Reasoning in an answer is left out too: the shapes have no common place for it",
    }
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
_MESSAGE_CHARS_MAX: Final = 4096


class Untranslatable(InvalidRequest):
    """400. `param` names the field; the message says what can't be translated and why, never what it held."""

    code = "untranslatable"


def refuse(param: str, why: str) -> NoReturn:
    """Raises Untranslatable for the field at `param`."""
    raise Untranslatable(why, param=param or None)


def encode(value: object) -> bytes:
    """Compact JSON in ASCII: no line separator of any kind can stand in it. ValueError on NaN or infinity."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode_request(body: bytes) -> "Fields":
    """The caller's JSON object. Raises Untranslatable on what isn't one, or names a member twice at any depth."""
    try:
        value = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Untranslatable("the body isn't a JSON object with each member named once") from None
    return Fields(value, "")


def decode_arguments(text: str, param: str) -> Json:
    """A tool call's arguments. Raises Untranslatable unless they are a JSON object."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        refuse(param, "tool call arguments must be a JSON object in text form: the upstream takes objects only")
    return value


def encode_request(value: Json) -> bytes:
    """The upstream's body. Raises Untranslatable for a number that JSON can't hold, such as 1e999."""
    try:
        return encode(value)
    except (ValueError, RecursionError):
        raise Untranslatable("the body holds a number out of range, or is nested too deep") from None


def text_of(value: Mapping[str, object], name: str) -> str:
    """A promised string of an upstream's object. Raises MalformedUpstream."""
    text = value.get(name)
    if not isinstance(text, str):
        raise MalformedUpstream(f"The upstream's answer has no text '{name}'.")
    return text


def optional_text(value: Mapping[str, object], name: str) -> str:
    """A string of an upstream's object; empty where absent or null. Raises MalformedUpstream for another type."""
    return "" if value.get(name) is None else text_of(value, name)


def as_json_text(value: Mapping[str, object]) -> str:
    """An object of the upstream's answer as JSON text. Raises MalformedUpstream for a number out of range."""
    try:
        return encode(value).decode("ascii")
    except (ValueError, RecursionError):
        raise MalformedUpstream("The upstream's answer holds a number that isn't one, or is nested too deep.") from None


def upstream_message(body: bytes) -> str | None:
    """The human message of an error body of any of the dialects, cut to 4096 characters; None where there is none.

    It is the upstream's text and may echo the prompt: for the caller alone, never for a log or an exception.
    """
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value:
        value = value[0]  # streamGenerateContent without alt=sse
    error = value.get("error") if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message[:_MESSAGE_CHARS_MAX] if isinstance(message, str) and message else None


class Fields:
    """One object of the request while it is read. Every reader takes the member away; null counts as absent."""

    __slots__ = ("_rest", "path")

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            refuse(path, "this must be a JSON object")
        self._rest: Json = dict(value)
        self.path = path

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str) -> object:
        return self._rest.pop(key, None)

    def text(self, key: str) -> str | None:
        value = self.take(key)
        if value is not None and not isinstance(value, str):
            refuse(self.at(key), "this must be a string")
        return value

    def required_text(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            refuse(self.at(key), "this field is required")
        return value

    def number(self, key: str, low: float, high: float, whose: str) -> float | None:
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            refuse(self.at(key), f"{whose} takes a number from {low:g} to {high:g} here")
        return value

    def count(self, key: str) -> int | None:
        value = self.take(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            refuse(self.at(key), "this must be a whole number of at least 1")
        return value

    def flag(self, key: str) -> bool | None:
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            refuse(self.at(key), "this must be true or false")
        return value

    def items(self, key: str) -> list[object] | None:
        value = self.take(key)
        if value is not None and not isinstance(value, list):
            refuse(self.at(key), "this must be a list")
        return value

    def texts(self, key: str) -> list[str]:
        value = self.items(key) or []
        for item in value:
            if not isinstance(item, str):
                refuse(self.at(key), "this must be a list of strings")
        return [str(item) for item in value]

    def fields(self, key: str) -> "Fields | None":
        value = self.take(key)
        return None if value is None else Fields(value, self.at(key))

    def mapping(self, key: str) -> Json | None:
        """A free-form object, such as a JSON schema, kept whole."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            refuse(self.at(key), "this must be a JSON object")
        return value

    def neutral(self, key: str, *values: object, why: str) -> None:
        """The field may hold only `values`, which ask for nothing beyond what the upstream does anyway."""
        value = self.take(key)
        if value is not None and not any(type(value) is type(v) and value == v for v in values):
            refuse(self.at(key), why)

    def drop(self, *keys: str) -> None:
        """Leave fields out, each for the reason in DROPPED."""
        for key in keys:
            if key not in DROPPED:
                raise RuntimeError("an omission isn't published")
            self._rest.pop(key, None)

    def done(self) -> None:
        """Refuse what nobody took. A null asks for nothing and passes."""
        for key, value in self._rest.items():
            if value is not None:
                refuse(self.at(key) if _NAME.match(key) else self.path, "the upstream's API has no such field")


def _unique(pairs: list[tuple[str, object]]) -> Json:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _no_constant(_name: str) -> NoReturn:
    raise ValueError
