"""Google's Gemini wire: generateContent, streamGenerateContent, countTokens (ai.google.dev/api/generate-content).

The base URL has no version (`https://generativelanguage.googleapis.com`), as for the official client. Its JSON is
ProtoJSON, which takes each field in lowerCamelCase and in its snake_case spelling (protobuf.dev, ProtoJSON format).
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from router.errors import InvalidRequest
from router.providers.dialects import base
from router.providers.dialects.base import MalformedUpstream, NotOffered, Peek
from router.providers.edits import Edit, Policy, apply, put, remove
from router.providers.scan import Governed, Scan, scan
from router.providers.usage import Usage
from router.surface import Endpoint

_ALIASES: Final = {
    "cached_content": "cachedContent",
    "generation_config": "generationConfig",
    "generate_content_request": "generateContentRequest",
    "continuation_token": "continuationToken",
    "system_instruction": "systemInstruction",
    "tool_config": "toolConfig",
    "service_tier": "serviceTier",
}
GOVERNED = Governed(("model", "provider", "store", "contents", "tools"), _ALIASES)

_METHODS: Final = {
    Endpoint.GENERATE: "generateContent",
    Endpoint.STREAM_GENERATE: "streamGenerateContent",
    Endpoint.GOOGLE_COUNT_TOKENS: "countTokens",
}
_STORES: Final = (Endpoint.GENERATE, Endpoint.STREAM_GENERATE)

# A function's arguments, its result and schemas: data with field names of the caller's choosing.
_OPAQUE: Final = frozenset(
    {
        *("args", "response", "parameters", "parametersJsonSchema", "parameters_json_schema"),
        *("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema", "labels"),
    }
)
_STATE_FIELDS: Final = frozenset(
    {
        *("cachedContent", "cached_content", "continuationToken", "continuation_token"),
        *("fileSearch", "file_search", "retrieval"),
    }
)
_THIRD_PARTY_FIELDS: Final = frozenset(
    {
        *("mcpServers", "mcp_servers", "googleSearch", "google_search", "googleMaps", "google_maps"),
        *("googleSearchRetrieval", "google_search_retrieval", "urlContext", "url_context"),
        *("enterpriseWebSearch", "enterprise_web_search", "parallelAiSearch", "parallel_ai_search"),
        *("exaAiSearch", "exa_ai_search"),
    }
)
_STANDARD_TIERS: Final = frozenset({"standard", "default", "unspecified"})
_URI_FIELDS: Final = frozenset({"fileUri", "file_uri"})
_PAIRS: Final = (("fileData", "file_data"), ("fileUri", "file_uri"), ("functionResponse", "function_response"))
_NESTED: Final = (
    _STATE_FIELDS | _THIRD_PARTY_FIELDS | {"parts", "tools"} | {spelling for pair in _PAIRS for spelling in pair}
)
_SUSPECT: Final = base.suspicion(_NESTED - {"parts", "tools"} | _URI_FIELDS)


def upstream_path(endpoint: Endpoint, model: str, *, json_array: bool = False) -> str:
    query = "?alt=sse" if endpoint is Endpoint.STREAM_GENERATE and not json_array else ""
    return f"/v1beta/models/{quote(model.removeprefix('models/'), safe='')}:{_METHODS[endpoint]}{query}"


def auth_headers(key: str) -> dict[str, str]:
    return {"x-goog-api-key": key}


def pass_headers(client: Mapping[str, str]) -> dict[str, str]:
    return {}


def peek(endpoint: Endpoint, scan: Scan, params: Mapping[str, str]) -> Peek:
    config = base.object_field(scan, "generationConfig") or {}
    return Peek(
        model=params["model"],
        stream=endpoint is Endpoint.STREAM_GENERATE,
        max_output_tokens=_number(config, "maxOutputTokens", "max_output_tokens", least=0),
        include_usage=True,  # this wire always tells its usage
        provider=base.object_field(scan, "provider"),
        n=_number(config, "candidateCount", "candidate_count", least=1) or 1,
    )


def _number(config: Mapping[str, object], name: str, alias: str, least: int) -> int | None:
    if name in config and alias in config:
        raise InvalidRequest(f"The field '{name}' is named twice.", code="duplicate_field", param=name)
    return base.whole_number(_int32(config.get(name, config.get(alias))), name, least)


def _int32(value: object) -> object:
    """ProtoJSON takes an int32 as a number, with a zero fraction too, or as a string of digits."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) < 16 and value.isascii() and value.isdigit():
        return int(value)
    return value


def injects_usage(endpoint: Endpoint, peek: Peek) -> bool:
    return False


def refuse(endpoint: Endpoint, scan: Scan, *, zdr: bool) -> None:
    tier = scan.value("serviceTier")
    if tier is not None and not (isinstance(tier, str) and tier.lower() in _STANDARD_TIERS):
        raise NotOffered("serviceTier", base.PRICE)
    if _SUSPECT.search(scan.data) is None:
        return
    for node in base.objects(scan.tree(_NESTED), _OPAQUE):
        for field in _STATE_FIELDS & node.keys():
            if node[field] is not None:
                raise NotOffered(field, base.STATE)
        for field in _THIRD_PARTY_FIELDS & node.keys():
            if node[field] not in (None, []):
                raise NotOffered(field, base.THIRD_PARTY)
        for field in _URI_FIELDS & node.keys():
            if node[field] is not None and not _is_public(node[field]):
                raise NotOffered(field, base.STATE)
        for pair in _PAIRS:
            if pair[0] in node and pair[1] in node:
                raise InvalidRequest(f"The field '{pair[0]}' is named twice.", code="duplicate_field", param=pair[0])


def _is_public(uri: object) -> bool:
    """Whether it is an address on the web; the Files API's addresses and bare names of its files aren't."""
    try:
        parts = urlsplit(uri if isinstance(uri, str) else "")
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and "generativelanguage" not in host


_TEXT_PARTS: Final = frozenset(
    {
        *("text", "thought", "thoughtSignature", "thought_signature", "functionCall", "function_call"),
        *("functionResponse", "function_response", "executableCode", "executable_code"),
        *("codeExecutionResult", "code_execution_result"),
    }
)
_TEXT_TOOLS: Final = frozenset({"functionDeclarations", "function_declarations"})
_DOUBT: Final = base.doubt(
    {
        *("inline", "file", "blob", "data", "mime", "uri", "url", "media", "image", "audio", "video", "speech"),
        *(
            "document",
            "spreadsheet",
            "part_",
            "partM",
            "code_execution",
            "codeExecution",
            "computer",
            "tool_",
            "toolCall",
        ),
        *("toolResponse", "retrieval", "google", "enterprise", "parallel", "exa", "mcp"),
    }
)
_MEDIA_NESTED: Final = _NESTED | _TEXT_PARTS | _TEXT_TOOLS | {"inlineData", "inline_data"}


def beyond_text(endpoint: Endpoint, scan: Scan) -> bool:
    if _DOUBT.search(scan.data) is None:
        return False
    for node in base.objects(scan.tree(_MEDIA_NESTED), _OPAQUE):
        for field, known in (("parts", _TEXT_PARTS), ("tools", _TEXT_TOOLS)):
            listed = node.get(field)
            # Google's parser takes a lone object for a list of one.
            for item in listed if isinstance(listed, list) else [listed]:
                if isinstance(item, dict) and not item.keys() <= known:
                    return True
    return False


def plan(endpoint: Endpoint, scan: Scan, policy: Policy) -> list[Edit]:
    edits = base.provider_edit(scan, policy)
    if "model" in scan:  # the path names the model; a copy of our name for it would contradict it
        edits.append(remove("model", "model"))
    edits += _counted_model(scan, policy)
    # New projects log prompts and answers unless a request says otherwise (ai.google.dev, "Logs and datasets").
    return edits + base.store_edit(scan, policy, explicit=endpoint in _STORES)


_REQUEST: Final = Governed(("model", "store"))


def _counted_model(body: Scan, policy: Policy) -> list[Edit]:
    """`countTokens` may wrap a whole request, which names its model again."""
    field = "generateContentRequest"
    if base.object_field(body, field) is None:
        return []
    inner = scan(body.raw(field) or b"{}", _REQUEST)
    model = f"models/{policy.upstream_model.removeprefix('models/')}"
    if "model" not in inner or inner.value("model") == model:
        return []
    return [put("model", field, msgspec.Raw(apply(inner, [put("model", "model", model)])))]


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────

_TEXT: Final = frozenset({"text", "code", "output"})


def read_json(endpoint: Endpoint, body: bytes) -> tuple[Usage | None, int]:
    answer = base.parse_object(body)
    if endpoint is Endpoint.GOOGLE_COUNT_TOKENS:
        base.tokens(answer, "totalTokens", required=True)
        return base.FREE, 0
    candidates = _candidates(answer)
    if not candidates and not _blocked(answer):
        raise MalformedUpstream("The upstream's answer has no candidate.")
    usage = base.part(answer, "usageMetadata")
    return None if usage is None else _usage(usage, final=True), base.text_under(candidates, _TEXT, {"args"})


def _candidates(answer: Mapping[str, object]) -> list[dict[str, object]]:
    return base.listed(answer, "candidates") if answer.get("candidates") is not None else []


def _blocked(answer: Mapping[str, object]) -> bool:
    """A prompt that the provider's filter blocked has no candidates, and says why."""
    return (base.part(answer, "promptFeedback") or {}).get("blockReason") is not None


def _usage(usage: Mapping[str, object], *, final: bool) -> Usage:
    return base.total(
        base.tokens(usage, "promptTokenCount") + base.tokens(usage, "toolUsePromptTokenCount"),
        base.tokens(usage, "cachedContentTokenCount"),
        base.tokens(usage, "candidatesTokenCount") + base.tokens(usage, "thoughtsTokenCount"),
        final=final,
    )


class GenerateReader:
    """Whole answers in pieces: complete when every candidate that began has its finish reason."""

    def __init__(self) -> None:
        self.complete = False
        self.usage: Usage | None = None
        self.text_bytes = 0
        self._open: set[object] = set()
        self._finished: set[object] = set()

    def read(self, name: bytes, data: bytes) -> bool:
        chunk = base.parse_object(data)
        if name == b"error":
            raise MalformedUpstream("The upstream's stream carries an error.")
        candidates = _candidates(chunk)
        usage = base.part(chunk, "usageMetadata")
        blocked = _blocked(chunk)
        if not candidates and not blocked and usage is None and "promptFeedback" not in chunk:
            raise MalformedUpstream("The upstream sent a chunk without a candidate.")
        for candidate in candidates:
            index = base.tokens(candidate, "index")  # ProtoJSON leaves a zero out
            self._open.add(index)
            if candidate.get("finishReason") not in (None, "FINISH_REASON_UNSPECIFIED"):
                self._finished.add(index)
        self.complete = blocked or self.complete or (bool(self._finished) and self._open <= self._finished)
        self.text_bytes += base.text_under(candidates, _TEXT, {"args"})
        if usage is not None:
            self.usage = _usage(usage, final=self.complete)
        return False


def reader(endpoint: Endpoint) -> base.StreamReader:
    return GenerateReader()
