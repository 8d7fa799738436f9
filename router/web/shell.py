"""The outermost layer of the web application, in raw ASGI: request id, headers, no key in the URL, body limit, and the
last resort.

Starlette's last-resort middleware raises again so that the server logs the error with its text; nothing leaves this
layer, so neither the text nor a traceback reaches a log.
"""

from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from governance.bodies import failure
from router.errors import BodyTooLarge, GatewayError
from router.gateway.caller import check_query
from router.gateway.metrics import Counter
from router.gateway.request_name import RequestName
from router.surface import Header
from router.web import problems
from router.web.context import REQUEST_ID

BODY_BYTES_MAX: Final = 64 * 1024
_BODYLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_KEYS: Final = frozenset({"token"})  # what a link in a mail carries, for once
_log = structlog.get_logger("web")

# OWASP Secure Headers; a page of ours loads one style sheet and an icon, and nothing else from anywhere.
_HEADERS: Final = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")  # RFC 6797


class Shell:
    """Wraps an ASGI application; `secure` adds HSTS."""

    def __init__(self, app: ASGIApp, *, secure: bool, metrics: CollectorRegistry) -> None:
        self._app = app
        self._headers = [*_HEADERS, _HSTS] if secure else _HEADERS
        self._requests = Counter(
            "valueapi_web_requests",
            "Requests of account API, portal and service paths, by route template and status.",
            ("method", "route", "status"),
            registry=metrics,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[REQUEST_ID] = name = RequestName().text
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._complete(message.get("headers", []), name)
            await send(message)

        try:
            check_query(scope["query_string"], _NO_KEYS)
            body = b"" if scope["method"] in _BODYLESS else await _read(scope, receive)
            if body is not None:
                await self._app(scope, _replay(body, receive), sending)
        except Exception as error:
            if not isinstance(error, GatewayError):
                met = failure.of(error)
                _log.error("internal error", type=met.type, place=met.place, route=_route(scope), request_id=name)
            answer = problems.respond(problems.typed(error), scope["path"], name)
            failure.empty(error)
            if not status:
                await answer(scope, receive, sending)
        finally:
            self._requests.labels(_method(scope), _route(scope), str(status)).inc()

    def _complete(self, headers: list[tuple[bytes, bytes]], name: str) -> list[tuple[bytes, bytes]]:
        own = [*self._headers, (Header.REQUEST_ID.encode(), name.encode())]
        replaced = {key for key, _ in own}
        kept = [pair for pair in headers if pair[0].lower() not in replaced]
        if not any(key.lower() == b"cache-control" for key, _ in kept):
            own.append((b"cache-control", b"no-store"))
        return kept + own


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, or None where the client left. Raises BodyTooLarge, by Content-Length before a byte is read."""
    for key, value in scope["headers"]:
        if key == b"content-length" and value.isdigit() and int(value) > BODY_BYTES_MAX:
            raise _too_large()
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body may have at most {BODY_BYTES_MAX} bytes here.")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read already, once, then what the server has to say."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _route(scope: Scope) -> str:
    """The route's template; a path could hold anything, so one without a route is none."""
    template: str = getattr(scope.get("route"), "path", "none")
    return template


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"
