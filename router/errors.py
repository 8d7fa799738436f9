"""Typed gateway errors, and the only place where an error becomes a wire shape.

GatewayError(ValueAPIError)
├── InvalidRequest        400  malformed, contradictory, or something that can't be translated
├── InvalidKey            401
├── TooFewCredits         402
├── Forbidden             403  ├── NoProviderAllowed   403  fails closed: every provider excluded, and by which rule
├── UnknownModel          404  ├── UnknownRoute        404  ├── MethodNotAllowed 405
├── RequestTimedOut       408  the caller's body dripped or stopped
├── BodyTooLarge          413
├── RateLimited           429  always with retry-after
├── UpstreamFailed        502  answered with what its dialect doesn't promise, or refused our key
├── Unavailable           503  always with retry-after
└── UpstreamTimedOut      504

Messages are ours: no upstream text, no body, no header value, no personal data.
OpenAI shape: platform.openai.com/docs/guides/error-codes; Anthropic: docs.anthropic.com/en/api/errors;
Google: google.rpc.Status as cloud.google.com/apis/design/errors; elsewhere RFC 9457 problem+json.
"""

import json
from collections.abc import Mapping

from governance.errors import ValueAPIError
from router.surface import Dialect, Header


class GatewayError(ValueAPIError):
    """An error with everything that a wire shape needs. `param` names a field, never its value."""

    status = 500
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.retry_after_s = retry_after_s
        self.detail = detail


class InvalidRequest(GatewayError):
    status = 400
    code = "invalid_request"


class InvalidKey(GatewayError):
    status = 401
    code = "invalid_api_key"


class TooFewCredits(GatewayError):
    status = 402
    code = "insufficient_credits"


class Forbidden(GatewayError):
    status = 403
    code = "forbidden"


class NoProviderAllowed(Forbidden):
    """`detail` maps each provider to the rule that excluded it."""

    code = "no_provider_allowed"


class UnknownModel(GatewayError):
    status = 404
    code = "model_not_found"


class UnknownRoute(GatewayError):
    status = 404
    code = "not_found"


class MethodNotAllowed(GatewayError):
    status = 405
    code = "method_not_allowed"


class RequestTimedOut(GatewayError):
    status = 408
    code = "request_timeout"


class BodyTooLarge(GatewayError):
    status = 413
    code = "request_too_large"


class RateLimited(GatewayError):
    status = 429
    code = "rate_limit_exceeded"


class UpstreamFailed(GatewayError):
    status = 502
    code = "upstream_error"


class Unavailable(GatewayError):
    status = 503
    code = "unavailable"


class UpstreamTimedOut(GatewayError):
    status = 504
    code = "upstream_timeout"


_OPENAI_TYPE = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPE = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TITLE = {
    400: "Bad request",
    401: "Not signed in",
    402: "Too few Credits",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timed out",
    409: "Conflict",
    413: "Too large",
    422: "Unprocessable",
    429: "Too many requests",
    502: "Upstream failed",
    503: "Unavailable",
    504: "Upstream timed out",
}

Headers = list[tuple[bytes, bytes]]


def shape(error: GatewayError, dialect: Dialect, request_id: str) -> dict[str, object]:
    """The error as the dialect's JSON object; also the payload of a stream's error event."""
    if dialect is Dialect.OPENAI:
        body: dict[str, object] = {
            "message": error.message,
            "type": _OPENAI_TYPE.get(error.status, "server_error"),
            "param": error.param,
            "code": error.code,
        }
        if error.detail:
            body["providers"] = dict(error.detail)
        return {"error": body, "request_id": request_id}
    if dialect is Dialect.ANTHROPIC:
        body = {"type": _ANTHROPIC_TYPE.get(error.status, "api_error"), "message": error.message, "code": error.code}
        if error.detail:
            body["providers"] = dict(error.detail)
        return {"type": "error", "error": body, "request_id": request_id}
    info: dict[str, object] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.code.upper(),
        "domain": "valueapi",
        "metadata": {"request_id": request_id, **(error.detail or {})},
    }
    return {
        "error": {
            "code": error.status,
            "message": error.message,
            "status": _GOOGLE_STATUS.get(error.status, "INTERNAL"),
            "details": [info],
        }
    }


def problem(error: GatewayError, request_id: str) -> dict[str, object]:
    """RFC 9457 problem details. `type` is `about:blank`-like: the code is the machine-readable part."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": _TITLE.get(error.status, "Error"),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if error.param:
        body["param"] = error.param
    return body


def encode(value: object) -> bytes:
    """Compact JSON in ASCII, so that no line separator of any kind can break an event stream."""
    return json.dumps(value, separators=(",", ":")).encode()


def headers(error: GatewayError, request_id: str, content_type: bytes) -> Headers:
    """Headers of an error answer; 429 and 503 always carry retry-after (RFC 9110 section 10.2.3)."""
    out: Headers = [(b"content-type", content_type), (Header.REQUEST_ID.encode(), request_id.encode())]
    retry = error.retry_after_s
    if error.status in (429, 503):
        retry = max(1, retry or 1)
    if retry is not None:
        out.append((b"retry-after", str(retry).encode()))
    if error.status == 401:
        out.append((b"www-authenticate", b"Bearer"))
    return out


def render(error: GatewayError, dialect: Dialect | None, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body in the caller's own protocol; None is problem+json."""
    if dialect is None:
        body = encode(problem(error, request_id))
        kind = b"application/problem+json"
    else:
        body = encode(shape(error, dialect, request_id))
        kind = b"application/json"
    return error.status, headers(error, request_id, kind), body


def stream_event(error: GatewayError, dialect: Dialect, request_id: str) -> bytes:
    """The error as the last server-sent event of a stream that already began.

    OpenAI clients raise on a `data:` object with `error`; Anthropic's on `event: error`; Google's on an `error` object.
    """
    payload = encode(shape(error, dialect, request_id))
    if dialect is Dialect.ANTHROPIC:
        return b"event: error\ndata: " + payload + b"\n\n"
    return b"data: " + payload + b"\n\n"
