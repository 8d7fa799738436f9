"""Errors of the web application: problem+json (RFC 9457) for the API, a page for people; never what was sent.

FastAPI's own 422 repeats its input, and its 404 and 405 have another shape: all of them are replaced here. An error
that nobody foresaw is answered with our words; the shell logs its type and place.
"""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from governance.errors import Conflict, KeyUnavailable, NotFound, Rejected, UseRefused, Withheld
from router.errors import (
    BodyTooLarge,
    Forbidden,
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    Unavailable,
    UnknownRoute,
    encode,
    headers,
    problem,
)
from router.surface import DOCUMENTS, Portal
from router.web.context import request_id
from router.web.pages import error_page

_PROBLEM = b"application/problem+json"

# pydantic's error types, in words of ours; its own messages and contexts can quote the input.
_WORDS = {
    "missing": "is required",
    "string_type": "must be text",
    "string_too_long": "is too long",
    "string_too_short": "is too short",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
    "uuid_parsing": "must be an id",
    "uuid_type": "must be an id",
    "dict_type": "must be an object",
    "bool_type": "must be true or false",
    "extra_forbidden": "has a field that isn't known",
}


_FORESEEN = (GatewayError, Rejected, NotFound, Conflict, UseRefused, KeyUnavailable, Withheld)


class Unprocessable(GatewayError):
    """The JSON was read, and a field can't be used."""

    status = 422
    code = "invalid_fields"


class Conflicting(GatewayError):
    status = 409
    code = "conflict"


class NotSignedIn(GatewayError):
    status = 401
    code = "not_signed_in"


class NotJson(GatewayError):
    status = 415
    code = "unsupported_media_type"


class NotForm(NotJson):
    """What a page sends must be a form."""


class Gone(GatewayError):
    """The subject's key is destroyed: there is nothing left to show."""

    status = 410
    code = "erased"


def foreseen(error: Exception) -> bool:
    """Whether the error is an answer; anything else is our own fault and has to be logged."""
    return isinstance(error, _FORESEEN)


def typed(error: Exception) -> GatewayError:
    """The wire error for anything that was raised; a stranger becomes a 500 that says nothing of it."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, HTTPException):
        return _http(error.status_code)
    if isinstance(error, Rejected):
        return Unprocessable(str(error), param=error.field)
    if isinstance(error, NotFound):
        return UnknownRoute("There is no such thing in this account.")
    if isinstance(error, Conflict):
        return Conflicting(str(error))
    if isinstance(error, UseRefused):
        return Forbidden("The data may not be used for this.", code="use_refused")
    if isinstance(error, Withheld):
        return Unavailable("This can't be stored at the moment. Try again in a minute.", retry_after_s=60)
    if isinstance(error, KeyUnavailable):
        return Gone("The data of this account can no longer be read.")
    return GatewayError("Something went wrong on our side. It was recorded without your data.")


def _http(status: int) -> GatewayError:
    if status == 404:
        return UnknownRoute("There is no such route.")
    if status == 405:
        return MethodNotAllowed("This route doesn't take that method.")
    if status == 413:
        return BodyTooLarge("The body is larger than this route takes.")
    return InvalidRequest("The request can't be read.") if 400 <= status < 500 else GatewayError("It didn't work.")


def respond(
    error: GatewayError, path: str, request_id: str, fields: Sequence[tuple[str, str]] = (), allow: str | None = None
) -> Response:
    """The answer for an error: a page where people look (the portal, policies and terms), problem+json everywhere else.

    `fields`: (name, what is wrong).
    """
    raw = headers(error, request_id, _PROBLEM)
    if allow is not None:
        raw.append((b"allow", allow.encode()))
    if _for_people(path):
        if isinstance(error, NotSignedIn):
            return RedirectResponse(str(Portal.SIGN_IN), 303)
        answer: Response = error_page(error, request_id)
        raw = [pair for pair in raw if pair[0] not in (b"content-type", b"www-authenticate")]
        answer.raw_headers.extend(raw)
        return answer
    body = problem(error, request_id)
    if fields:
        # Extension members, RFC 9457 section 3.2.
        body["errors"] = [{"field": name, "detail": words} for name, words in fields]
    answer = Response(encode(body), error.status)
    answer.raw_headers.extend(raw)
    return answer


def _for_people(path: str) -> bool:
    pages = (str(Portal.ROOT), *(str(document.IN_FORCE) for document in DOCUMENTS.values()))
    return any(path == page or path.startswith(f"{page}/") for page in pages)


def fields_of(error: RequestValidationError, known: frozenset[str]) -> list[tuple[str, str]]:
    """Where validation failed and why. Only names that we declared are shown: an unknown name is input as well."""
    out: list[tuple[str, str]] = []
    for entry in error.errors():
        names = [part for part in entry["loc"] if isinstance(part, str) and part in known]
        field = names[-1] if names else str(entry["loc"][0]) if entry["loc"] else "body"
        words = _WORDS.get(entry["type"], "can't be used")
        if (field, words) not in out:
            out.append((field, words))
    return out


def install(app: FastAPI, models: Sequence[type[BaseModel]], parameters: Sequence[str]) -> None:
    """Replace FastAPI's and Starlette's handlers. `models` and `parameters` declare the names that may be shown."""
    known = frozenset(name for model in models for name in model.model_fields) | frozenset(parameters)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        where = request.url.path
        if any(entry["type"] == "json_invalid" for entry in error.errors()):
            return respond(InvalidRequest("The body isn't JSON."), where, request_id(request.scope))
        fields = fields_of(error, known)
        sentence = "; ".join(f"`{name}` {words}" for name, words in fields) + "."
        refusal = Unprocessable(sentence, param=fields[0][0] if fields else None)
        return respond(refusal, where, request_id(request.scope), fields)

    async def raised(request: Request, error: Exception) -> Response:
        allow = (error.headers or {}).get("Allow") if isinstance(error, HTTPException) else None
        return respond(typed(error), request.url.path, request_id(request.scope), allow=allow)

    app.add_exception_handler(RequestValidationError, invalid)
    for kind in (HTTPException, *_FORESEEN):
        app.add_exception_handler(kind, raised)
    # Starlette's last resort: it answers by this handler, then raises again, to the shell, which logs it.
    app.add_exception_handler(Exception, raised)
