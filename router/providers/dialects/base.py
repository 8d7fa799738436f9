"""What every dialect answers, and what the three share.

A dialect is a module of constants and small pure functions; it satisfies `Wire`. It knows the request (which fields
route it, which edits and refusals are due) and the answer (what a 2xx body promises, where the usage stands, when a
stream is complete). It does no I/O and keeps no body.

UpstreamFailed 502 └── MalformedUpstream: a 2xx answer isn't what its dialect promises, or carries an error.
InvalidRequest 400 └── NotOffered: a field that would make the provider read or keep state.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast

import msgspec

from router.errors import InvalidRequest, UpstreamFailed
from router.providers.edits import Edit, Policy
from router.providers.scan import Governed, Scan
from router.providers.usage import TOKENS_MAX, Usage
from router.surface import Endpoint

COUNT_MAX: Final = 2**31 - 1
FREE: Final = Usage(0, 0, 0, estimated=False)  # counting tokens costs nothing at any of the providers


class MalformedUpstream(UpstreamFailed):
    """A 2xx answer or an event of one isn't what its dialect promises. The text quotes nothing of it."""


class NotOffered(InvalidRequest):
    """A field that would make the provider read or keep state. `code` and `param` name it."""

    def __init__(self, field: str, why: str) -> None:
        name = field.rsplit(".", 1)[-1]
        super().__init__(f"'{field}' isn't offered: {why}", code=f"{name}_not_offered", param=field)


# Everyone's requests reach a provider under our one account there: a handle would reach another caller's content.
STATE: Final = "it refers to content kept at the provider, and this router keeps none there."
PRICE: Final = "the provider charges for it apart, or at another price than this router's."
THIRD_PARTY: Final = "it makes the provider send content to a further party, which no data policy covers."
SCHEMA: Final = "providers cache schemas for up to a day, which is retention, and zero data retention is in force."
CACHE: Final = "a cache that outlives the provider's shortest one is retention, and zero data retention is in force."


@dataclass(frozen=True, slots=True, repr=False)
class Peek:
    """The few fields that routing needs. `max_output_tokens` is the caller's limit per choice, of the fields that the
    endpoint honours; `n` counts choices.

    `provider` is the caller's routing preferences, decoded and not yet checked.
    """

    model: str
    stream: bool
    max_output_tokens: int | None
    include_usage: bool
    provider: dict[str, object] | None
    n: int


class StreamReader(Protocol):
    """Follows the events of one stream.

    `usage` is what the provider counted so far, `estimated` while that isn't its last word; `text_bytes` is the
    UTF-8 length of the text seen; `complete` once the dialect's own end came.
    """

    complete: bool
    usage: Usage | None
    text_bytes: int

    def read(self, name: bytes, data: bytes) -> bool:
        """Take one event; True where it holds nothing but the usage that was asked for.

        Raises MalformedUpstream for an error event and for anything that the dialect doesn't promise.
        """
        ...


class Wire(Protocol):
    """What each dialect's module offers."""

    GOVERNED: Governed

    def upstream_path(self, endpoint: Endpoint, model: str, *, json_array: bool = False) -> str:
        """Path and query after the base URL that the dialect's official client would be given."""
        ...

    def auth_headers(self, key: str) -> dict[str, str]:
        """The header that carries our key."""
        ...

    def pass_headers(self, client: Mapping[str, str]) -> dict[str, str]:
        """The only headers beside content type and key that go upstream; `client` has lower-case names.

        Raises InvalidRequest for one that can't be what it should be, or asks for what isn't offered.
        """
        ...

    def peek(self, endpoint: Endpoint, scan: Scan, params: Mapping[str, str]) -> Peek:
        """The routing fields; `params` are the path's (`model` for Google). Raises InvalidRequest, naming the field."""
        ...

    def injects_usage(self, endpoint: Endpoint, peek: Peek) -> bool:
        """Whether the stream must be asked for a usage chunk that the caller didn't ask for."""
        ...

    def refuse(self, endpoint: Endpoint, scan: Scan, *, zdr: bool) -> None:
        """Raises NotOffered where the body would make the provider read or keep state, DuplicateField where unsure."""
        ...

    def beyond_text(self, endpoint: Endpoint, scan: Scan) -> bool:
        """Whether the body may stand for more tokens than it has bytes: a reference, an image, a document, or anything
        that isn't known to be text. Raises DuplicateField where unsure."""
        ...

    def plan(self, endpoint: Endpoint, scan: Scan, policy: Policy) -> list[Edit]:
        """The edits that are due to a body that passed `refuse`; each changes it."""
        ...

    def read_json(self, endpoint: Endpoint, body: bytes) -> tuple[Usage | None, int]:
        """Usage of a whole answer (None: it tells none) and UTF-8 bytes of its text. Raises MalformedUpstream."""
        ...

    def reader(self, endpoint: Endpoint) -> StreamReader:
        """A fresh follower for one stream."""
        ...


# ── the request ──────────────────────────────────────────────────────────────────────────────────────────────────


def text_field(scan: Scan, name: str) -> str:
    """A required, non-empty string."""
    value = scan.value(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"'{name}' must be a string.", param=name)
    return value


def bool_field(scan: Scan, name: str) -> bool:
    """A boolean; absent and null mean false."""
    value = scan.value(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"'{name}' must be true or false.", param=name)
    return bool(value)


def object_field(scan: Scan, name: str) -> dict[str, object] | None:
    """An object, no field of which is named twice; None where absent or null."""
    value = scan.value(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidRequest(f"'{name}' must be an object.", param=name)
    return value


def whole_number(value: object, name: str, least: int = 0) -> int | None:
    """An integer in [least, COUNT_MAX]; None where absent or null."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= COUNT_MAX:
        raise InvalidRequest(f"'{name}' must be a whole number from {least} to {COUNT_MAX}.", param=name)
    return value


def suspicion(words: Iterable[str]) -> re.Pattern[bytes]:
    """Finds in a body's bytes whether a rule on nested fields can apply at all: a string that begins with one of the
    words, or an escape by which an ASCII letter could be spelled. Most bodies hold neither, and aren't decoded."""
    return re.compile(rb'\\u00[2-7]|"(?:' + b"|".join(re.escape(word.encode()) for word in sorted(words)) + b")")


def doubt(words: Iterable[str], types: Iterable[str] = ()) -> re.Pattern[bytes]:
    """As `suspicion`, for what isn't text: it also finds a `type` that isn't one of the `types`, all of them text's."""
    kinds = "|".join(re.escape(kind) for kind in sorted(types))
    unknown = rf'|"type"\s*+:\s*+"(?!(?:{kinds})")' if kinds else ""
    return re.compile(suspicion(words).pattern + unknown.encode())


def not_text(tree: object, opaque: Collection[str], fields: Collection[str], types: Collection[str]) -> bool:
    """Whether an object in the tree has one of `fields`, or a `type` other than `types`."""
    for node in objects(tree, opaque):
        kind = node.get("type")
        if (isinstance(kind, str) and kind not in types) or any(node.get(field) is not None for field in fields):
            return True
    return False


def objects(tree: object, opaque: Collection[str]) -> Iterator[dict[str, object]]:
    """Every object in the tree, but for what lies under an `opaque` key: JSON that a provider takes as plain data."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack += [v for k, v in node.items() if isinstance(v, dict | list) and k not in opaque]
        elif isinstance(node, list):
            stack += [v for v in node if isinstance(v, dict | list)]


def refuse_long_cache(node: Mapping[str, object], field: str, shortest: str) -> None:
    """Under zero data retention a cache mark may ask for the shortest lifetime and for no other."""
    mark = node.get(field)
    if isinstance(mark, dict) and mark.get("ttl") not in (None, shortest):
        raise NotOffered(f"{field}.ttl", CACHE)


def refuse_schema(node: Mapping[str, object], *, strict_unless_told: bool = False) -> None:
    """Under zero data retention: OpenAI and Anthropic keep the schemas that they compile for longer than the request
    (platform.openai.com/docs/guides/your-data, docs.anthropic.com "Structured outputs": 24 hours)."""
    if node.get("type") == "json_schema":
        raise NotOffered("json_schema", SCHEMA)
    unsaid = strict_unless_told and node.get("type") == "function" and "parameters" in node
    if node.get("strict") is True or (unsaid and node.get("strict") is not False):
        raise NotOffered("strict", SCHEMA)


def refuse_dearer_cache(node: Mapping[str, object]) -> None:
    """Anthropic's marks may ask for five minutes only: an hour's writes cost twice the input, which no price here is."""
    mark = node.get("cache_control")
    if isinstance(mark, dict) and mark.get("ttl") not in (None, "5m"):
        raise NotOffered("cache_control.ttl", PRICE)


def provider_edit(scan: Scan, policy: Policy) -> list[Edit]:
    """Our routing preferences never go on; an aggregator gets the constraint in its own terms."""
    if policy.upstream_provider is not None:
        return [Edit("provider", "set", "provider", dict(policy.upstream_provider))]
    return [Edit("provider", "remove", "provider")] if "provider" in scan else []


def store_edit(scan: Scan, policy: Policy, *, explicit: bool) -> list[Edit]:
    """`store` as false; where the endpoint stores by default (`explicit`) also where the caller didn't name it."""
    if policy.may_store or not (explicit or "store" in scan) or scan.value("store") is False:
        return []
    return [Edit("store", "set", "store", False)]


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────


def parse_object(data: bytes) -> dict[str, object]:
    """A JSON object from upstream. Raises MalformedUpstream, also where it carries an error."""
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        value = _parse_leniently(data)
    if not isinstance(value, dict):
        raise MalformedUpstream("The upstream's answer isn't a JSON object.")
    if value.get("error") is not None:
        raise MalformedUpstream("The upstream answered with an error under a status of success.")
    return cast(dict[str, object], value)


def _parse_leniently(data: bytes) -> object:
    # Half of a surrogate pair, escaped, is what some upstreams stream when a token ends inside an emoji.
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedUpstream("The upstream's answer isn't JSON.") from None


def listed(answer: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """A promised list of objects."""
    value = answer.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedUpstream(f"The upstream's answer has no list '{name}'.")
    return value


def tokens(usage: Mapping[str, object], name: str, *, required: bool = False) -> int:
    """A token count from upstream: an integer in [0, TOKENS_MAX], 0 where absent or null and not required."""
    value = usage.get(name)
    if value is None and not required:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= TOKENS_MAX:
        raise MalformedUpstream(f"The upstream's usage has no sensible '{name}'.")
    return value


def part(value: Mapping[str, object], name: str) -> dict[str, object] | None:
    """An optional object inside an answer; None where absent or null."""
    inner = value.get(name)
    if inner is not None and not isinstance(inner, dict):
        raise MalformedUpstream(f"The upstream's '{name}' isn't an object.")
    return inner


def total(input_tokens: int, cached: int, output_tokens: int, *, written: int = 0, final: bool = True) -> Usage:
    """Bounded usage. More cached or written tokens than input can't be, and would make a charge negative: capped."""
    if max(input_tokens, output_tokens) > TOKENS_MAX:
        raise MalformedUpstream("The upstream's usage is beyond what any model reads.")
    cached = min(cached, input_tokens)
    return Usage(input_tokens, cached, output_tokens, not final, min(written, input_tokens - cached))


def text_size(value: object) -> int:
    """UTF-8 length of a string, or of an object's JSON; 0 for anything else."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        return len(json.dumps(value, separators=(",", ":")))
    return 0


def text_under(tree: object, keys: Collection[str], whole: Collection[str] = ()) -> int:
    """UTF-8 bytes of all strings under `keys`, and of the JSON of all objects under `whole`."""
    size = 0
    for node in objects(tree, whole):
        for key, value in node.items():
            if (key in keys and isinstance(value, str)) or key in whole:
                size += text_size(value)
    return size
