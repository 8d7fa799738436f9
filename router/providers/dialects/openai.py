"""OpenAI's wire: chat completions, completions, embeddings, responses (platform.openai.com/docs/api-reference).

The base URL ends in the version (`https://api.openai.com/v1`), as for the official client.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from router.errors import InvalidRequest
from router.providers.dialects import base
from router.providers.dialects.base import MalformedUpstream, NotOffered, Peek
from router.providers.edits import Edit, Policy, apply, put, remove
from router.providers.scan import Governed, Scan, scan
from router.providers.usage import Usage
from router.surface import Endpoint

_CONTENT: Final = ("messages", "input", "prompt", "tools", "instructions", "functions", "tool_choice")
# The output limits that each endpoint honours; any other is refused, since it would look like one and bind nobody.
_HONOURED: Final[Mapping[Endpoint, tuple[str, ...]]] = {
    Endpoint.CHAT: ("max_completion_tokens", "max_tokens"),
    Endpoint.COMPLETIONS: ("max_tokens",),
    Endpoint.EMBEDDINGS: (),
    Endpoint.RESPONSES: ("max_output_tokens",),
}
_LIMITS: Final = tuple(dict.fromkeys(name for names in _HONOURED.values() for name in names))
_CHOICES: Final = ("n", "best_of")
_STATE: Final = ("previous_response_id", "conversation", "background", "background_options", "container")
GOVERNED = Governed(
    (
        *("model", "provider", "stream", "stream_options", "store", "metadata", "user", "safety_identifier"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
        *("service_tier", "web_search_options", "prediction", "response_format", "text"),
        *_CONTENT,
        *_LIMITS,
        *_CHOICES,
        *_STATE,
    )
)

_PATHS: Final = {
    Endpoint.CHAT: "/chat/completions",
    Endpoint.COMPLETIONS: "/completions",
    Endpoint.EMBEDDINGS: "/embeddings",
    Endpoint.RESPONSES: "/responses",
}
_STORES: Final = (Endpoint.CHAT, Endpoint.RESPONSES)
_USAGE_ON_ASKING: Final = (Endpoint.CHAT, Endpoint.COMPLETIONS)

# JSON that the provider takes as data: schemas and arguments may use any field name.
OPAQUE: Final = frozenset({"parameters", "schema", "arguments", "metadata", "input_schema", "output_schema"})
_STATE_FIELDS: Final = frozenset(
    {"file_id", "file_ids", "vector_store_ids", "container_id", "comparison_response_id", "skill_id"}
)
_STATE_TYPES: Final = frozenset(
    {"item_reference", "file_search", "code_interpreter", "container_auto", "container_reference", "skill_reference"}
)
_SEARCHES: Final = "web_search"
NESTED: Final = _STATE_FIELDS | {
    *("response_format", "text", "format", "json_schema", "function", "strict"),
    *("type", "audio", "id", "prompt_cache_breakpoint", "cache_control", "ttl", "content", "tools"),
}
_SHORTEST_CACHE: Final = "30m"
_SUSPECT: Final = base.suspicion(
    _STATE_FIELDS
    | _STATE_TYPES
    | {"mcp", "audio", "prompt_cache_breakpoint", "cache_control", _SEARCHES, "image_generation"}
)


_SCHEMAS: Final = base.suspicion({"json_schema", "strict", "function"})


def upstream_path(endpoint: Endpoint, model: str, *, json_array: bool = False) -> str:
    return _PATHS[endpoint]


def auth_headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def pass_headers(client: Mapping[str, str]) -> dict[str, str]:
    return {}


def peek(endpoint: Endpoint, scan: Scan, params: Mapping[str, str]) -> Peek:
    choices = [base.whole_number(scan.value(name), name, least=1) for name in _CHOICES]
    options = base.object_field(scan, "stream_options") or {}
    include_usage = options.get("include_usage")
    if include_usage is not None and not isinstance(include_usage, bool):
        raise InvalidRequest("'stream_options.include_usage' must be true or false.", param="stream_options")
    return Peek(
        model=base.text_field(scan, "model"),
        stream=base.bool_field(scan, "stream"),
        max_output_tokens=_limit(endpoint, scan),
        include_usage=bool(include_usage),
        provider=base.object_field(scan, "provider"),
        n=max((count for count in choices if count is not None), default=1),
    )


def _limit(endpoint: Endpoint, scan: Scan) -> int | None:
    honoured = _HONOURED[endpoint]
    limits = {name: base.whole_number(scan.value(name), name) for name in _LIMITS}
    for name, limit in limits.items():
        if limit is not None and name not in honoured:
            hint = f"; {' or '.join(honoured)} limits its output" if honoured else ""
            raise InvalidRequest(f"'{name}' isn't a field of this endpoint{hint}.", code="unknown_field", param=name)
    # Rejected words of a prediction are output too, past the limit. Of two limits, which one holds differs by provider.
    if scan.value("prediction") is not None:
        return None
    return max((limit for limit in limits.values() if limit is not None), default=None)


def injects_usage(endpoint: Endpoint, peek: Peek) -> bool:
    return peek.stream and not peek.include_usage and endpoint in _USAGE_ON_ASKING


def refuse(endpoint: Endpoint, scan: Scan, *, zdr: bool) -> None:
    for field in _STATE:
        if scan.value(field) not in (None, False):
            raise NotOffered(field, base.STATE)
    if scan.value("service_tier") not in (None, "auto", "default"):
        raise NotOffered("service_tier", base.PRICE)
    if scan.value("web_search_options") is not None:
        raise NotOffered("web_search_options", base.THIRD_PARTY)
    if endpoint is Endpoint.RESPONSES and scan.value("prompt") is not None:
        raise NotOffered("prompt", base.STATE)  # a stored prompt template; elsewhere `prompt` is the text itself
    if _SUSPECT.search(scan.data) is None and not (zdr and _SCHEMAS.search(scan.data)):
        return
    for node in base.objects(scan.tree(NESTED), OPAQUE):
        if zdr:
            base.refuse_schema(node, strict_unless_told=endpoint is Endpoint.RESPONSES)
        for field in _STATE_FIELDS & node.keys():
            if node[field] is not None:
                raise NotOffered(field, base.STATE)
        kind = node.get("type")
        if isinstance(kind, str) and kind in _STATE_TYPES:
            raise NotOffered(kind, base.STATE)
        if kind == "mcp" or (isinstance(kind, str) and kind.startswith(_SEARCHES) and not kind.endswith("_call")):
            raise NotOffered("mcp" if kind == "mcp" else "web_search", base.THIRD_PARTY)
        if kind == "image_generation":
            raise NotOffered("image_generation", base.PRICE)
        audio = node.get("audio")
        if isinstance(audio, dict) and audio.get("id") is not None:  # an earlier answer's audio, kept there
            raise NotOffered("audio.id", base.STATE)
        base.refuse_dearer_cache(node)  # OpenRouter takes Anthropic's marks on this wire
        if zdr:
            base.refuse_long_cache(node, "prompt_cache_breakpoint", _SHORTEST_CACHE)


_MEDIA_FIELDS: Final = frozenset(
    {
        *("image", "images", "image_url", "input_image", "video", "video_url", "input_video", "audio", "input_audio"),
        *("audio_url", "file", "file_url", "file_data", "input_file"),
    }
)
TEXT_TYPES: Final = frozenset(
    {
        *("text", "input_text", "output_text", "refusal", "summary_text", "content", "message", "ephemeral"),
        *("reasoning", "reasoning_text", "reasoning.text", "reasoning.summary", "reasoning.encrypted"),
        *("function", "function_call", "function_call_output", "allowed_tools"),
        *("custom", "custom_tool_call", "custom_tool_call_output", "grammar"),
        *("json_object", "json_schema", "enabled", "disabled"),
        *("object", "array", "string", "number", "integer", "boolean", "null"),  # schemas
    }
)
_DOUBT: Final = base.doubt(_MEDIA_FIELDS, TEXT_TYPES)


def beyond_text(endpoint: Endpoint, scan: Scan) -> bool:
    if _DOUBT.search(scan.data) is None:
        return False
    return base.not_text(scan.tree(NESTED | _MEDIA_FIELDS | {"output"}), OPAQUE, _MEDIA_FIELDS, TEXT_TYPES)


def plan(endpoint: Endpoint, scan: Scan, policy: Policy) -> list[Edit]:
    edits = base.provider_edit(scan, policy)
    if scan.value("model") != policy.upstream_model:
        edits.append(put("model", "model", policy.upstream_model))
    store = base.store_edit(scan, policy, explicit=endpoint in _STORES)
    edits += store
    if (store or policy.aggregator) and endpoint is Endpoint.CHAT and "metadata" in scan:
        edits.append(remove("metadata", "metadata"))
    if endpoint is Endpoint.CHAT:
        edits += _output_limit(scan, policy)
    return edits + _user(scan, policy) + _cache(scan, policy) + _stream_options(scan, policy)


def _output_limit(scan: Scan, policy: Policy) -> list[Edit]:
    """A limit under a name that the provider doesn't know would bind nobody."""
    wanted = policy.output_limit
    if wanted is None:
        return []
    [other] = (name for name in _HONOURED[Endpoint.CHAT] if name != wanted)
    value = scan.value(other)
    if value is None:
        return []
    moved = [put("output-limit", wanted, value)] if scan.value(wanted) is None else []
    return [*moved, remove("output-limit", other)]


def _user(scan: Scan, policy: Policy) -> list[Edit]:
    named = [field for field in ("user", "safety_identifier") if field in scan]
    if policy.upstream_user is None:
        return [remove("user", field) for field in named]
    return [put("user", field, policy.upstream_user) for field in named or ["user"]]


def _cache(scan: Scan, policy: Policy) -> list[Edit]:
    edits: list[Edit] = []
    if "prompt_cache_key" in scan:
        if policy.zdr or policy.upstream_user is None:
            edits.append(remove("cache-key", "prompt_cache_key"))
        else:
            edits.append(put("cache-key", "prompt_cache_key", policy.upstream_user))
    if not policy.zdr:
        return edits
    # "in_memory" is the shorter of the two, so it stays: without it an account's default may be 24 hours.
    if "prompt_cache_retention" in scan and scan.value("prompt_cache_retention") != "in_memory":
        edits.append(remove("cache-retention", "prompt_cache_retention"))
    options = base.object_field(scan, "prompt_cache_options")
    if options is not None and options.keys() - {"mode"}:
        mode = {"mode": options["mode"]} if "mode" in options else None
        target = "prompt_cache_options"
        edits.append(put("cache-retention", target, mode) if mode else remove("cache-retention", target))
    return edits


_STREAM_OPTIONS: Final = Governed(("include_usage",))


def _stream_options(body: Scan, policy: Policy) -> list[Edit]:
    if not policy.include_usage_injected:
        return []
    if base.object_field(body, "stream_options") is None:
        return [put("include-usage", "stream_options", {"include_usage": True})]
    inner = scan(body.raw("stream_options") or b"{}", _STREAM_OPTIONS)
    value = msgspec.Raw(apply(inner, [put("include-usage", "include_usage", True)]))
    return [put("include-usage", "stream_options", value)]


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────

_TEXT: Final = frozenset({"content", "text", "refusal", "reasoning_content", "reasoning", "arguments"})


def read_json(endpoint: Endpoint, body: bytes) -> tuple[Usage | None, int]:
    answer = base.parse_object(body)
    usage = base.part(answer, "usage")
    if endpoint is Endpoint.RESPONSES:
        output = base.listed(answer, "output")
        if answer.get("status") == "failed":
            raise MalformedUpstream("The upstream's response failed under a status of success.")
        return _responses_usage(usage), base.text_under(output, _TEXT)
    if endpoint is Endpoint.EMBEDDINGS:
        if not base.listed(answer, "data"):
            raise MalformedUpstream("The upstream's answer has no embedding.")
        return _usage(usage), 0
    choices = base.listed(answer, "choices")
    name, kind = ("message", dict) if endpoint is Endpoint.CHAT else ("text", str)
    if not choices or any(not isinstance(choice.get(name), kind) for choice in choices):
        raise MalformedUpstream("The upstream's answer has no choice.")
    return _usage(usage), base.text_under(choices, _TEXT)


def _usage(usage: Mapping[str, object] | None) -> Usage | None:
    """Completions' usage. DeepSeek and Moonshot tell cached tokens under names of their own."""
    if usage is None:
        return None
    details = base.part(usage, "prompt_tokens_details") or {}
    cached = max(
        base.tokens(details, "cached_tokens"),
        base.tokens(usage, "prompt_cache_hit_tokens"),
        base.tokens(usage, "cached_tokens"),
    )
    prompt = base.tokens(usage, "prompt_tokens", required=True)
    written = base.tokens(details, "cache_write_tokens")
    return base.total(prompt, cached, base.tokens(usage, "completion_tokens"), written=written)


def _responses_usage(usage: Mapping[str, object] | None) -> Usage | None:
    if usage is None:
        return None
    details = base.part(usage, "input_tokens_details") or {}
    return base.total(
        base.tokens(usage, "input_tokens", required=True),
        base.tokens(details, "cached_tokens"),
        base.tokens(usage, "output_tokens", required=True),
        written=base.tokens(details, "cache_write_tokens"),
    )


class ChatReader:
    """`data:` chunks until `[DONE]`; the usage chunk has an empty list of choices."""

    def __init__(self) -> None:
        self.complete = False
        self.usage: Usage | None = None
        self.text_bytes = 0

    def read(self, name: bytes, data: bytes) -> bool:
        if data.strip() == b"[DONE]":
            self.complete = True
            return False
        chunk = base.parse_object(data)
        if name == b"error":
            raise MalformedUpstream("The upstream's stream carries an error.")
        choices = base.listed(chunk, "choices")
        usage = base.part(chunk, "usage")
        if usage is not None:
            self.usage = _usage(usage)
        self.text_bytes += base.text_under(choices, _TEXT)
        return not choices and usage is not None


class ResponsesReader:
    """Typed events until `response.completed` or `response.incomplete`, which hold the whole response."""

    def __init__(self) -> None:
        self.complete = False
        self.usage: Usage | None = None
        self.text_bytes = 0

    def read(self, name: bytes, data: bytes) -> bool:
        if data.strip() == b"[DONE]" and self.complete:  # some compatible upstreams end every stream so
            return False
        event = base.parse_object(data)
        kind = event.get("type")
        if not isinstance(kind, str):
            raise MalformedUpstream("The upstream sent an event without a type.")
        if kind in ("error", "response.failed") or name in (b"error", b"response.failed"):
            raise MalformedUpstream("The upstream's stream carries an error.")
        if kind in ("response.completed", "response.incomplete"):
            response = base.part(event, "response")
            if response is None or response.get("error") is not None:
                raise MalformedUpstream("The upstream ended without a response.")
            self.usage = _responses_usage(base.part(response, "usage"))
            self.complete = True
        elif kind.endswith(".delta") and not kind.startswith("response.audio.delta"):
            self.text_bytes += base.text_size(event.get("delta"))
        return False


def reader(endpoint: Endpoint) -> base.StreamReader:
    return ResponsesReader() if endpoint is Endpoint.RESPONSES else ChatReader()
