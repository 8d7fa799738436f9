"""A canary in every part of a request's head: names and values of headers, the key's places, query, path, method."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from router.probe.canaries import Marks
from router.probe.case import Cases, Credential, Headers, Lane, Request
from router.probe.cases import bodies
from router.surface import Dialect

_VALUES = (
    *(
        "user-agent",
        "referer",
        "origin",
        "cookie",
        "accept",
        "accept-language",
        "x-note",
        "x-forwarded-for",
        "forwarded",
    ),
    *("x-request-id", "x-real-ip", "traceparent", "tracestate", "baggage", "idempotency-key", "from", "via", "expect"),
    *(
        "openai-organization",
        "openai-project",
        "openai-beta",
        "anthropic-beta",
        "anthropic-version",
        "x-stainless-lang",
    ),
    *("x-goog-user-project", "x-goog-api-client", "x-valueapi-provider-only", "x-valueapi-provider-zdr", "range"),
)
_KEYS: dict[str, Callable[[str], Headers]] = {
    "bad key": lambda w: ((b"authorization", f"Bearer {w}".encode()),),
    "bad key of our form": lambda w: ((b"authorization", f"Bearer sk-va-{w}".encode()),),
    "bad x-api-key": lambda w: ((b"x-api-key", w.encode()),),
    "bad x-goog-api-key": lambda w: ((b"x-goog-api-key", w.encode()),),
    "basic authorization": lambda w: ((b"authorization", f"Basic {w}".encode()),),
    "two keys": lambda w: ((b"authorization", f"Bearer {w}".encode()), (b"x-api-key", f"sk-{w}".encode())),
    "key without scheme": lambda w: ((b"authorization", w.encode()),),
}


def add(cases: Cases, lane: Lane) -> None:
    """Each with a good body behind it, whose canaries must not rest either."""

    def case(name: str, change: Callable[[Request, Marks], Request], credential: Credential = Credential.GOOD) -> None:
        def build(marks: Marks) -> Request:
            return change(bodies.good(lane, marks), marks)

        cases.add(f"{lane.wire}/{name}", build, lane=lane, credential=credential)

    for header in _VALUES:
        case(f"header {header}", partial(_with_header, header))
    case("name of a header", lambda request, marks: _with(request, (f"x-{marks.metadata('name')}".encode(), b"1")))
    case("content-type parameter", _content_type)
    case("query", lambda request, marks: _query(request, f"q={marks.metadata('query')}"))
    case("name of a query field", lambda request, marks: _query(request, f"{marks.metadata('query')}=1"))
    case("key in the query", lambda request, marks: _query(request, f"key={marks.credential('query')}"), Credential.OWN)
    case("user and password in the target", _absolute)
    case("method", lambda request, marks: replace(request, method=marks.metadata("method").upper().encode()))
    for method in (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD", b"TRACE"):
        case(f"method {method.decode()}", partial(_method, method))
    case("no key", lambda request, marks: request, Credential.OWN)
    for name, headers in _KEYS.items():
        case(name, partial(_with_key, headers), Credential.OWN)
    if lane.wire is Dialect.GOOGLE:
        case("model in the path", partial(_model_in_path, lane))


def _with(request: Request, *headers: tuple[bytes, bytes]) -> Request:
    return replace(request, headers=(*request.headers, *headers))


def _with_header(name: str, request: Request, marks: Marks) -> Request:
    return _with(request, (name.encode(), marks.metadata(f"header {name}").encode()))


def _with_key(headers: Callable[[str], Headers], request: Request, marks: Marks) -> Request:
    return _with(request, *headers(marks.credential("key")))


def _method(method: bytes, request: Request, marks: Marks) -> Request:
    return replace(request, method=method)


def _content_type(request: Request, marks: Marks) -> Request:
    kind = f"application/json; boundary={marks.metadata('boundary')}".encode()
    return replace(request, headers=((b"content-type", kind),))


def _query(request: Request, query: str) -> Request:
    joint = b"&" if b"?" in request.target else b"?"
    return replace(request, target=request.target + joint + query.encode())


def _absolute(request: Request, marks: Marks) -> Request:
    words = f"http://{marks.metadata('user')}:{marks.credential('password')}@gateway.invalid".encode()
    return replace(request, target=words + request.target)


def _model_in_path(lane: Lane, request: Request, marks: Marks) -> Request:
    return replace(request, target=bodies.target(lane, marks.prompt("model")).encode())
