"""Public surface names, once: dialects, routes, headers, exit codes. `docs/api.md` is generated from this file.

The gateway's dispatcher, the web application, templates and mails take their addresses from here. The verbs of the
command line are not listed: the tree in `router/cli/main.py` is their one place, and the page is made by walking it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from policies.version import SERIES


class Dialect(StrEnum):
    """The wire a caller or an upstream speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"


class Endpoint(StrEnum):
    """What is asked for, independent of the dialect's path."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    GENERATE = "generate"
    STREAM_GENERATE = "stream_generate"
    GOOGLE_COUNT_TOKENS = "google_count_tokens"


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
    STORED = "x-valueapi-stored"
    PROBE = "x-valueapi-probe"
    PROVIDER_RETENTION = "x-valueapi-provider-retention"
    CONSTRAINT_PREFIX = "x-valueapi-provider-"


HEADER_MEANING: dict[str, str] = {
    Header.REQUEST_ID: "Ours, never the caller's; quote it when you ask for help.",
    Header.PROVIDER: "The provider that served the answer.",
    Header.DATA_POLICY: "The data policy in force for that provider and credential.",
    Header.EDITS: "Names of the edits made to the request's bytes, from the published list.",
    Header.CHARGE: "What the request cost, in micro-credits (1 Credit = 1,000,000). Not on streams: the head goes first.",
    Header.STORED: "`none` while the last probe of this very program found no content at rest, is fresh, and no incident is "
    "open; `unverified` otherwise. On every answer of the gateway, errors too.",
    Header.PROBE: "With `none`: the id of the probe that shows it; `/v1/privacy/attestation` has what it saw.",
    Header.PROVIDER_RETENTION: "How long the provider that answered keeps content, caches included: `none`, an ISO 8601 "
    "duration, or `unknown`, as also where the account lets providers store.",
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
    Exit.USAGE: "The command or a setting can't be understood; of a probe: the run is void, it says nothing.",
    Exit.INCOMPLETE: "Nothing is wrong, but something is still missing.",
}


@dataclass(frozen=True, slots=True)
class Path:
    """A public address. `meaning` says by method (`GET`, or `GET, HEAD` for two alike) what it does."""

    template: str
    meaning: Mapping[str, str]

    def __str__(self) -> str:
        """The address as links name it; only `at` fills a template."""
        return self.template

    def at(self, **values: object) -> str:
        """The address with its template filled."""
        return self.template.format(**values)


def paths(group: object) -> list[Path]:
    """All that a group below names, in its order."""
    return [value for value in vars(group).values() if isinstance(value, Path)]


MODELS_PATH = Path(
    "/v1/models",
    {
        "GET": "Models that the account's data policy allows, each with its providers' data policies; "
        "by `anthropic-version` or `x-goog-api-key` in those shapes, else OpenAI's. `/v1/models/{model}` shows one."
    },
)
GOOGLE_MODELS_PATH = Path("/v1beta/models", {"GET": "The same in Google's shape. `/v1beta/models/{model}` shows one."})
_GOOGLE_MODEL = f"{GOOGLE_MODELS_PATH}/{{model}}"

GATEWAY_PATHS: dict[Endpoint, Path] = {
    Endpoint.CHAT: Path("/v1/chat/completions", {"POST": "Chat completion, streaming or not."}),
    Endpoint.COMPLETIONS: Path("/v1/completions", {"POST": "Text completion, streaming or not."}),
    Endpoint.EMBEDDINGS: Path("/v1/embeddings", {"POST": "Embeddings."}),
    Endpoint.RESPONSES: Path("/v1/responses", {"POST": "Response, streaming or not; never stored."}),
    Endpoint.MESSAGES: Path("/v1/messages", {"POST": "Message, streaming or not."}),
    Endpoint.COUNT_TOKENS: Path("/v1/messages/count_tokens", {"POST": "Count a message's tokens."}),
    Endpoint.GENERATE: Path(f"{_GOOGLE_MODEL}:generateContent", {"POST": "Generate; /v1 too."}),
    Endpoint.STREAM_GENERATE: Path(
        f"{_GOOGLE_MODEL}:streamGenerateContent", {"POST": "Stream as JSON array, or `?alt=sse`; /v1 too."}
    ),
    Endpoint.GOOGLE_COUNT_TOKENS: Path(f"{_GOOGLE_MODEL}:countTokens", {"POST": "Count a prompt's tokens; /v1 too."}),
}

# Whatever else lies below these is the gateway's too, and is refused in this dialect; the first that fits counts.
GATEWAY_PREFIXES: dict[str, Dialect] = {
    "/v1/messages/": Dialect.ANTHROPIC,
    "/v1/": Dialect.OPENAI,
    "/v1beta/": Dialect.GOOGLE,
    "/upload/": Dialect.GOOGLE,
}
_ACCOUNT = "/v1/account"
# But for these, which are the web application's and answer problem+json.
JSON_PREFIXES = (f"{_ACCOUNT}/", "/v1/privacy/", "/v1/receipts/")


class Account:
    """The account as JSON. `docs/api.md` has each one's fields from the OpenAPI document."""

    SIGN_UP = Path(
        f"{_ACCOUNT}/sign-up",
        {
            "POST": "Start an account. The answer is the same whether the address is known or not; a mail says how to go on."
        },
    )
    CONFIRM = Path(
        f"{_ACCOUNT}/confirm",
        {"POST": "Confirm the address with the token of the mail, and set the password; works once."},
    )
    SIGN_IN = Path(f"{_ACCOUNT}/sign-in", {"POST": "A session token, to be sent as `Authorization: Bearer`."})
    SIGN_OUT = Path(f"{_ACCOUNT}/sign-out", {"POST": "End this session."})
    PASSWORD_RESET = Path(
        f"{_ACCOUNT}/password-reset",
        {"POST": "Mail a link to choose a new password. The answer is the same whether the address is known or not."},
    )
    PASSWORD_RESET_CONFIRM = Path(
        f"{_ACCOUNT}/password-reset/confirm",
        {"POST": "Set a new password with the token of the mail; every session ends."},
    )
    ME = Path(f"{_ACCOUNT}/me", {"GET": "Who is signed in."})
    KEYS = Path(
        f"{_ACCOUNT}/keys",
        {
            "GET": "The account's API keys, newest first, revoked ones too.",
            "POST": "Create an API key; `secret` is shown this once.",
        },
    )
    KEY = Path(
        f"{_ACCOUNT}/keys/{{key_id}}",
        {"PATCH": "Rename a key, or change its data policy.", "DELETE": "Revoke a key: it is refused from now on."},
    )
    USAGE = Path(
        f"{_ACCOUNT}/usage",
        {
            "GET": "Balance, totals by day and model, and single requests, newest first; "
            "the next page begins at `next_before`."
        },
    )
    DATA_POLICY = Path(
        f"{_ACCOUNT}/data-policy",
        {
            "GET": "Which providers may see this account's data: only what is set, and `allow_store`.",
            "PUT": "Replace the data policy, in the spelling of a request's `provider` object, with `allow_store` beside it.",
        },
    )


_PORTAL = "/portal"


class Portal:
    """Pages for people; a POST is a form that one of these pages sent."""

    ROOT = Path(_PORTAL, {"GET": "To the overview."})
    OVERVIEW = Path(f"{_PORTAL}/", {"GET": "Balance, usage of 30 days by model, last requests."})
    SIGN_UP = Path(
        f"{_PORTAL}/sign-up",
        {"GET": "Create an account.", "POST": "The same page follows whether the address is known or not."},
    )
    CONFIRM = Path(
        f"{_PORTAL}/confirm",
        {
            "GET": "Asks for a password: what opens links in mails to look for harm must not use them up.",
            "POST": "Confirms the address, and sets the password.",
        },
    )
    SIGN_IN = Path(
        f"{_PORTAL}/sign-in",
        {"GET": "Sign in.", "POST": "Begins a session under a new id; one that this browser had before ends."},
    )
    SIGN_OUT = Path(f"{_PORTAL}/sign-out", {"POST": "Ends the session, here and in the database."})
    PASSWORD_RESET = Path(
        f"{_PORTAL}/password-reset",
        {
            "GET": "With the token of a mail, asks for the new password; without, for the address.",
            "POST": "The same page follows whether the address is known or not.",
        },
    )
    PASSWORD_RESET_CONFIRM = Path(
        f"{_PORTAL}/password-reset/confirm", {"POST": "Sets the password; every session ends."}
    )
    PASSWORD = Path(
        f"{_PORTAL}/password",
        {"GET": "Change the password.", "POST": "Changes the password; other sessions end."},
    )
    KEYS = Path(
        f"{_PORTAL}/keys",
        {
            "GET": "The account's keys, and a form for a new one.",
            "POST": "Creates a key and shows its secret, this once.",
        },
    )
    KEY = Path(f"{_PORTAL}/keys/{{key_id}}", {"GET": "Rename a key.", "POST": "Renames a key."})
    KEY_REVOKE = Path(
        f"{_PORTAL}/keys/{{key_id}}/revoke", {"GET": "Asks before a key is revoked.", "POST": "Revokes a key."}
    )
    DATA_POLICY = Path(
        f"{_PORTAL}/data-policy",
        {
            "GET": "Which providers may see the account's data, and what that leaves.",
            "POST": "Replaces the account's data policy.",
        },
    )
    ROLE = Path(f"{_PORTAL}/role", {"GET": "Which role a person holds, and what it may see."})
    STATUS = Path(
        f"{_PORTAL}/status", {"GET": "Readiness, and every provider with its state and data policy; for operators."}
    )


class Service:
    """What operators, their tools and browsers ask for."""

    ROOT = Path("/", {"GET, HEAD": "To the portal."})
    HEALTHZ = Path("/healthz", {"GET, HEAD": "200 while the process runs."})
    READYZ = Path(
        "/readyz",
        {
            "GET, HEAD": "200 when the service answers; 503 with the reasons, in our words, while it doesn't. Names the "
            "program's digest, and how the last probe ended."
        },
    )
    ATTESTATION = Path(
        "/v1/privacy/attestation",
        {"GET, HEAD": "What the newest probe of bodies at rest saw: an in-toto statement, signed, in a DSSE envelope."},
    )
    JWKS = Path("/.well-known/jwks.json", {"GET, HEAD": "The public keys of attestations, old ones too, as a JWK set."})
    GPC = Path(
        "/.well-known/gpc.json", {"GET, HEAD": "That Global Privacy Control is honoured (W3C draft, section 3.3)."}
    )
    SIGNALS = Path(
        "/v1/privacy/signals",
        {
            "GET, HEAD": "What was understood of this request's privacy signals: Global Privacy Control and Do-Not-Track."
        },
    )
    METRICS = Path(
        "/metrics",
        {
            "GET, HEAD": "Prometheus metrics of all processes, for the networks of VALUEAPI_METRICS_NETWORKS; "
            "no personal data or model content in labels."
        },
    )
    OPENAPI = Path("/openapi.json", {"GET, HEAD": "The account API as an OpenAPI document."})
    STYLESHEET = Path("/static/site.css", {"GET, HEAD": "Our style sheet."})
    ICON = Path("/static/icon.svg", {"GET, HEAD": "Our icon."})
    FAVICON = Path("/favicon.ico", {"GET, HEAD": "Our icon."})


class Transparency:
    """The transparency log as static files (c2sp.org/tlog-tiles), for anybody."""

    CHECKPOINT = Path("/transparency/checkpoint", {"GET, HEAD": "The newest checkpoint, a signed note."})
    KEYS = Path(
        "/transparency/keys", {"GET, HEAD": "The keys that checkpoints are signed with, one a line, the newest last."}
    )
    TILE = Path(
        "/transparency/tile/{tile:path}",
        {"GET, HEAD": "Hash tiles `<L>/<N>[.p/<W>]` and entry bundles `entries/<N>[.p/<W>]`; they never change."},
    )


@dataclass(frozen=True)
class DocumentPages:
    """A series of a policy's versions, for anybody; each version keeps its address for good."""

    IN_FORCE: Path
    HISTORY: Path
    FEED: Path
    VERSION: Path
    CHANGES: Path


def _pages(series: str, what: str) -> DocumentPages:
    base = f"/{series}"
    return DocumentPages(
        Path(base, {"GET, HEAD": f"The {what} in force."}),
        Path(f"{base}/history", {"GET, HEAD": f"Every version of the {what}, with its digest."}),
        Path(f"{base}/feed.atom", {"GET, HEAD": f"Versions of the {what} as an Atom feed (RFC 4287)."}),
        Path(
            f"{base}/{{version}}", {"GET, HEAD": f"That version of the {what}; each sentence has an anchor, as `#2.5`."}
        ),
        Path(
            f"{base}/{{version}}/changes/{{since}}",
            {"GET, HEAD": "What changed since an earlier version, as a redline."},
        ),
    )


DOCUMENTS: dict[str, DocumentPages] = {series: _pages(series, title.lower()) for series, title in SERIES.items()}

_RESPONSES, _CHAT = GATEWAY_PATHS[Endpoint.RESPONSES], GATEWAY_PATHS[Endpoint.CHAT]

# Provider-side state that is not offered, by the path's first segments, and why (policy section 3). With a slash at the
# end it is what lies below them alone.
NOT_OFFERED: dict[str, str] = {
    f"{_RESPONSES}/": f"What has an id to ask for is kept at the provider; only POST {_RESPONSES} is offered.",
    f"{_CHAT}/": f"What has an id to ask for is kept at the provider; only POST {_CHAT} is offered.",
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
