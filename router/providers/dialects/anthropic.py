"""Anthropic's wire: messages and their token count (docs.anthropic.com/en/api/messages).

The base URL has no version (`https://api.anthropic.com`), as for the official client.
"""

import re
from collections.abc import Mapping
from typing import Final

from router.errors import InvalidRequest
from router.providers.dialects import base
from router.providers.dialects.base import MalformedUpstream, NotOffered, Peek
from router.providers.edits import Edit, Policy, put, remove
from router.providers.scan import Governed, Scan
from router.providers.usage import Usage
from router.surface import Endpoint

_STATE: Final = ("container", "diagnostics", "user_profile_id")
GOVERNED = Governed(
    (
        *("model", "provider", "stream", "max_tokens", "metadata", "cache_control", "store"),
        *("messages", "system", "tools", "tool_choice", "mcp_servers", "output_config", "output_format"),
        "context_management",
        *("service_tier", "speed", "inference_geo"),
        *_STATE,
    )
)

_PATHS: Final = {Endpoint.MESSAGES: "/v1/messages", Endpoint.COUNT_TOKENS: "/v1/messages/count_tokens"}
DEFAULT_VERSION: Final = "2023-06-01"
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# Betas, but for their date, that change the shape or speed of an answer and keep nothing. Published in docs/api.md; any
# other is refused: to leave it out in silence would answer another question than the caller's.
BETAS: Final = (
    *("computer-use-", "output-128k-", "output-300k-", "dev-full-thinking-", "interleaved-thinking-", "context-1m-"),
    *("context-management-", "model-context-window-exceeded-", "thinking-token-count-"),
    *("mid-conversation-tool-changes-", "mid-conversation-output-config-", "mid-conversation-system-clear-at-"),
    *("structured-outputs-", "task-budgets-", "thinking-display-updates-", "thinking-binding-controls-"),
    *("inline-tools-", "prompt-caching-", "pdfs-", "token-counting-", "token-efficient-tools-", "effort-"),
    *("fine-grained-tool-streaming-", "advanced-tool-use-", "claude-code-"),
)
_BETA = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")

# `input` is a tool call's arguments, the others are JSON schemas: data with field names of the caller's choosing.
_OPAQUE: Final = frozenset({"input", "input_schema", "schema", "metadata"})
_NESTED: Final = frozenset(
    {
        "type",
        "file_id",
        "source",
        "cache_control",
        "ttl",
        "content",
        "tools",
        "strict",
        "output_config",
        "output_format",
        "format",
        "context_management",
        "edits",
    }
)
_SEARCHES: Final = ("web_search_2", "web_fetch_2")
_UNCOUNTED: Final = ("compact_2", "advisor_2")
_SUSPECT: Final = base.suspicion({"file", "code_execution_2", "mcp_toolset", "cache_control", *_UNCOUNTED, *_SEARCHES})
_SCHEMAS: Final = base.suspicion({"json_schema", "strict"})


def upstream_path(endpoint: Endpoint, model: str, *, json_array: bool = False) -> str:
    return _PATHS[endpoint]


def auth_headers(key: str) -> dict[str, str]:
    return {"x-api-key": key}


def pass_headers(client: Mapping[str, str]) -> dict[str, str]:
    version = client.get("anthropic-version", DEFAULT_VERSION)
    if not _VERSION.fullmatch(version):
        raise InvalidRequest("'anthropic-version' must be a date.", param="anthropic-version")
    betas = [beta.strip() for beta in client.get("anthropic-beta", "").split(",") if beta.strip()]
    for beta in betas:
        _check_beta(beta)
    return {"anthropic-version": version, **({"anthropic-beta": ",".join(betas)} if betas else {})}


def _check_beta(beta: str) -> None:
    named = f"The beta '{beta}'" if _BETA.fullmatch(beta) else "A beta whose name isn't one"
    if not (beta.startswith(BETAS) and _BETA.fullmatch(beta)):
        raise InvalidRequest(
            f"{named} isn't offered here; the API's documentation lists those that are.",
            code="beta_not_offered",
            param="anthropic-beta",
        )


def peek(endpoint: Endpoint, scan: Scan, params: Mapping[str, str]) -> Peek:
    return Peek(
        model=base.text_field(scan, "model"),
        stream=base.bool_field(scan, "stream"),
        max_output_tokens=base.whole_number(scan.value("max_tokens"), "max_tokens"),
        include_usage=True,  # this wire always tells its usage
        provider=base.object_field(scan, "provider"),
        n=1,
    )


def injects_usage(endpoint: Endpoint, peek: Peek) -> bool:
    return False


def refuse(endpoint: Endpoint, scan: Scan, *, zdr: bool) -> None:
    for field in _STATE:
        if scan.value(field) is not None:
            raise NotOffered(field, base.STATE)
    if scan.value("service_tier") not in (None, "auto", "standard_only"):
        raise NotOffered("service_tier", base.PRICE)
    for field in ("speed", "inference_geo"):
        if scan.value(field) not in (None, "standard"):
            raise NotOffered(field, base.PRICE)
    if scan.value("mcp_servers") not in (None, []):
        raise NotOffered("mcp_servers", base.THIRD_PARTY)
    if _SUSPECT.search(scan.data) is None and not (zdr and _SCHEMAS.search(scan.data)):
        return
    for node in base.objects(scan.tree(_NESTED), _OPAQUE):
        if zdr:
            base.refuse_schema(node)
        kind = node.get("type")
        if node.get("file_id") is not None:
            raise NotOffered("file_id", base.STATE)
        source = node.get("source")
        if isinstance(source, dict) and source.get("type") == "file":
            raise NotOffered("source.type", base.STATE)
        # The tool's container lives on for days; the blocks that report its results are history and harmless.
        if isinstance(kind, str) and kind.startswith("code_execution_2"):
            raise NotOffered("code_execution", base.STATE)
        if isinstance(kind, str) and kind.startswith(_SEARCHES):
            raise NotOffered(kind.rpartition("_")[0], base.THIRD_PARTY)
        # Another reading of the conversation, or another model's, that the top-level usage leaves out.
        if isinstance(kind, str) and kind.startswith(_UNCOUNTED):
            raise NotOffered(kind.rpartition("_")[0], base.PRICE)
        if kind == "mcp_toolset":
            raise NotOffered("mcp_toolset", base.THIRD_PARTY)
        base.refuse_dearer_cache(node)


# Anthropic's own tools aren't among them: their descriptions, which it adds, are as long as it likes.
_TEXT_TYPES: Final = frozenset(
    {
        *("text", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result", "ephemeral"),
        *("custom", "auto", "any", "tool", "none", "enabled", "disabled", "adaptive", "json_schema"),
        *("char_location", "page_location", "content_block_location", "search_result_location"),
        *("object", "array", "string", "number", "integer", "boolean", "null"),  # schemas
    }
)
_DOUBT: Final = base.doubt({"image", "document", "source"}, _TEXT_TYPES)


def beyond_text(endpoint: Endpoint, scan: Scan) -> bool:
    if _DOUBT.search(scan.data) is None:
        return False
    return base.not_text(scan.tree(_NESTED), _OPAQUE, (), _TEXT_TYPES)


def plan(endpoint: Endpoint, scan: Scan, policy: Policy) -> list[Edit]:
    edits = base.provider_edit(scan, policy)
    if scan.value("model") != policy.upstream_model:
        edits.append(put("model", "model", policy.upstream_model))
    edits += base.store_edit(scan, policy, explicit=False)
    if endpoint is Endpoint.MESSAGES and policy.upstream_user is not None:
        edits.append(put("user", "metadata", {"user_id": policy.upstream_user}))
    elif "metadata" in scan:
        edits.append(remove("user", "metadata"))
    return edits


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────

_TEXT: Final = frozenset({"text", "thinking", "partial_json"})


def read_json(endpoint: Endpoint, body: bytes) -> tuple[Usage | None, int]:
    answer = base.parse_object(body)
    if endpoint is Endpoint.COUNT_TOKENS:
        base.tokens(answer, "input_tokens", required=True)
        return base.FREE, 0
    content = base.listed(answer, "content")
    if answer.get("type") != "message":
        raise MalformedUpstream("The upstream's answer isn't a message.")
    usage = base.part(answer, "usage")
    return None if usage is None else _usage(usage, final=True), base.text_under(content, _TEXT, {"input"})


def _usage(usage: Mapping[str, object], *, final: bool) -> Usage:
    """`input_tokens` leaves out what was read from and written to the cache; ours holds all three."""
    cached = base.tokens(usage, "cache_read_input_tokens")
    written = base.tokens(usage, "cache_creation_input_tokens")
    fresh = base.tokens(usage, "input_tokens", required=True)
    output = base.tokens(usage, "output_tokens")
    return base.total(fresh + cached + written, cached, output, written=written, final=final)


class MessagesReader:
    """`message_start` tells the input, each `message_delta` the totals so far, `message_stop` ends the stream."""

    def __init__(self) -> None:
        self.complete = False
        self.usage: Usage | None = None
        self.text_bytes = 0
        self._counts: dict[str, object] = {}

    def read(self, name: bytes, data: bytes) -> bool:
        event = base.parse_object(data)
        kind = event.get("type")
        if not isinstance(kind, str):
            raise MalformedUpstream("The upstream sent an event without a type.")
        if kind == "error" or name == b"error":
            raise MalformedUpstream("The upstream's stream carries an error.")
        if kind == "content_block_delta":
            self.text_bytes += base.text_under(base.part(event, "delta") or {}, _TEXT)
        elif kind == "message_start":
            self._count(base.part(base.part(event, "message") or {}, "usage"), final=False)
        elif kind == "message_delta":
            self._count(base.part(event, "usage"), final=True)
        elif kind == "message_stop":
            self.complete = True
        return False

    def _count(self, usage: Mapping[str, object] | None, *, final: bool) -> None:
        if usage is None:
            return
        # A delta repeats only what it knows, with running totals; null means that the start's figure stands.
        self._counts.update({key: value for key, value in usage.items() if value is not None})
        if "input_tokens" in self._counts:
            self.usage = _usage(self._counts, final=final)


def reader(endpoint: Endpoint) -> base.StreamReader:
    return MessagesReader()
