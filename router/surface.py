"""Public surface names, once: dialects, routes, headers, exit codes. `docs/api.md` is generated from this file."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Dialect(StrEnum):
    """The wire a caller or an upstream speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"


class Endpoint(StrEnum):
    """What is asked for, independent of the dialect's path."""

    CHAT = "chat"  # POST /v1/chat/completions
    COMPLETIONS = "completions"  # POST /v1/completions
    EMBEDDINGS = "embeddings"  # POST /v1/embeddings
    RESPONSES = "responses"  # POST /v1/responses
    MESSAGES = "messages"  # POST /v1/messages
    COUNT_TOKENS = "count_tokens"  # POST /v1/messages/count_tokens
    GENERATE = "generate"  # POST /{v1,v1beta}/models/M:generateContent
    STREAM_GENERATE = "stream_generate"  # POST /{v1,v1beta}/models/M:streamGenerateContent
    GOOGLE_COUNT_TOKENS = "google_count_tokens"  # POST /{v1,v1beta}/models/M:countTokens


ENDPOINT_DIALECT: dict[Endpoint, Dialect] = {
    Endpoint.CHAT: Dialect.OPENAI,
    Endpoint.COMPLETIONS: Dialect.OPENAI,
    Endpoint.EMBEDDINGS: Dialect.OPENAI,
    Endpoint.RESPONSES: Dialect.OPENAI,
    Endpoint.MESSAGES: Dialect.ANTHROPIC,
    Endpoint.COUNT_TOKENS: Dialect.ANTHROPIC,
    Endpoint.GENERATE: Dialect.GOOGLE,
    Endpoint.STREAM_GENERATE: Dialect.GOOGLE,
    Endpoint.GOOGLE_COUNT_TOKENS: Dialect.GOOGLE,
}


class Header:
    """Response and request headers that are ours."""

    REQUEST_ID = "x-request-id"
    PROVIDER = "x-valueapi-provider"
    DATA_POLICY = "x-valueapi-data-policy"
    EDITS = "x-valueapi-edits"
    CHARGE = "x-valueapi-charge-microcredits"
    CONSTRAINT_PREFIX = "x-valueapi-provider-"


HEADER_MEANING: dict[str, str] = {
    Header.REQUEST_ID: "Ours, never the caller's; quote it when you ask for help.",
    Header.PROVIDER: "The provider that served the answer.",
    Header.DATA_POLICY: "The data policy in force for that provider and credential.",
    Header.EDITS: "Names of the edits made to the request's bytes, from the published list.",
    Header.CHARGE: "What the request cost, in micro-credits (1 Credit = 1,000,000). Not on streams: the head goes first.",
    "x-ratelimit-{limit,remaining,reset}-{requests,tokens}": "What is left of this minute; on the Anthropic wire "
    "`anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}` as well.",
    "retry-after": "Whole seconds; always on 429 and 503.",
    Header.CONSTRAINT_PREFIX + "*": "Request headers for clients that can't add body fields: see the constraints.",
}


class Exit(IntEnum):
    """Exit codes of every CLI verb."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3


EXIT_MEANING: dict[Exit, str] = {
    Exit.OK: "Done, and all is well.",
    Exit.FAILED: "It was checked and isn't well, or it could not be done.",
    Exit.USAGE: "The command or a setting can't be understood.",
    Exit.INCOMPLETE: "Nothing is wrong, but something is still missing.",
}


@dataclass(frozen=True, slots=True)
class Path:
    """A public route: what `docs/api.md` prints and what the dispatcher matches."""

    method: str
    template: str
    meaning: str
    dialects: tuple[Dialect, ...] = ()


GATEWAY_PATHS: dict[Endpoint, Path] = {
    Endpoint.CHAT: Path("POST", "/v1/chat/completions", "Chat completion, streaming or not.", (Dialect.OPENAI,)),
    Endpoint.COMPLETIONS: Path("POST", "/v1/completions", "Text completion, streaming or not.", (Dialect.OPENAI,)),
    Endpoint.EMBEDDINGS: Path("POST", "/v1/embeddings", "Embeddings.", (Dialect.OPENAI,)),
    Endpoint.RESPONSES: Path("POST", "/v1/responses", "Response, streaming or not; never stored.", (Dialect.OPENAI,)),
    Endpoint.MESSAGES: Path("POST", "/v1/messages", "Message, streaming or not.", (Dialect.ANTHROPIC,)),
    Endpoint.COUNT_TOKENS: Path("POST", "/v1/messages/count_tokens", "Count a message's tokens.", (Dialect.ANTHROPIC,)),
    Endpoint.GENERATE: Path("POST", "/v1beta/models/{model}:generateContent", "Generate; /v1 too.", (Dialect.GOOGLE,)),
    Endpoint.STREAM_GENERATE: Path(
        "POST",
        "/v1beta/models/{model}:streamGenerateContent",
        "Stream as JSON array, or `?alt=sse`; /v1 too.",
        (Dialect.GOOGLE,),
    ),
    Endpoint.GOOGLE_COUNT_TOKENS: Path(
        "POST", "/v1beta/models/{model}:countTokens", "Count a prompt's tokens; /v1 too.", (Dialect.GOOGLE,)
    ),
}

MODELS_PATH = Path(
    "GET",
    "/v1/models",
    "Models that the account's data policy allows, each with its providers' data policies; "
    "by `anthropic-version` or `x-goog-api-key` in those shapes, else OpenAI's. `/v1/models/{model}` shows one.",
    tuple(Dialect),
)

SERVICE_PATHS: tuple[Path, ...] = (
    Path("GET", "/healthz", "200 while the process runs."),
    Path("GET", "/readyz", "200 when the service answers; 503 with the reasons while it doesn't."),
    Path("GET", "/metrics", "Prometheus metrics; no personal data or model content in labels."),
)

# Provider-side state that is not offered, by the path's first segments, and why (policy section 3).
NOT_OFFERED: dict[str, str] = {
    "/v1/files": "Files would rest at the provider.",
    "/v1/uploads": "Uploads would rest at the provider.",
    "/v1/batches": "Batches keep prompts and answers at the provider until they are fetched.",
    "/v1/messages/batches": "Batches keep prompts and answers at the provider until they are fetched.",
    "/v1/assistants": "Assistants and threads are kept at the provider.",
    "/v1/threads": "Assistants and threads are kept at the provider.",
    "/v1/conversations": "Conversations are kept at the provider.",
    "/v1/vector_stores": "Vector stores are kept at the provider.",
    "/v1/fine_tuning": "Fine-tuning trains on the data.",
    "/v1/containers": "Containers are kept at the provider.",
    "/v1/realtime": "Realtime sessions can't be governed here yet.",
    "/v1/audio": "Audio isn't offered.",
    "/v1/images": "Image generation isn't offered.",
    "/v1/cachedContents": "Cached contents rest at the provider: a cache is retention.",
    "/v1beta/cachedContents": "Cached contents rest at the provider: a cache is retention.",
    "/v1beta/files": "Files would rest at the provider.",
    "/upload": "Uploads would rest at the provider.",
}
