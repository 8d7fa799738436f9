"""Forms of the portal: read from a body of at most 64 KiB, and only when one of our own pages sent them.

Two checks, both of which must hold (OWASP CSRF Prevention Cheat Sheet): where the request comes from, by
`Sec-Fetch-Site` or else `Origin`; and a token made from what the browser holds in an HttpOnly cookie, which is the
session or, before there is one, a random value of this browser. The token is a hash keyed by a secret of the service,
so a cookie alone doesn't make it, known or planted. Our pages give it to whoever holds the cookie: that nobody plants
one together with its token is for the first check, and for the `__Host-` names that cookies have under TLS. Pages send
no referrer, so browsers send `Origin: null` with a form: that says nothing, and the token decides.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from router.errors import Forbidden, InvalidRequest
from router.web.context import WebContext, web
from router.web.problems import NotForm

FIELD: Final = "form_token"
_FIELDS_MAX: Final = 500
# One key serves them and rate limits: what it is used for begins what is hashed.
_SESSION: Final = b"valueapi/form/session\0"
_BROWSER: Final = b"valueapi/form/browser\0"


class Form:
    """Fields of a submitted form; prints nothing of them."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def text(self, name: str) -> str:
        """The first value of that name, empty where there is none."""
        return next((value for key, value in self._pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        """Every value of that name."""
        return [value for key, value in self._pairs if key == name]

    def ticked(self, name: str) -> bool:
        """Whether a check box was on."""
        return bool(self.text(name))

    def __repr__(self) -> str:
        return "<Form ***>"


def session_cookie(context: WebContext) -> str:
    """Name of the session's cookie. `__Host-`: this host, every path, TLS only (RFC 6265bis section 4.1.3.2)."""
    return "__Host-session" if context.secure else "session"


def browser_cookie(context: WebContext) -> str:
    """Name of the cookie that binds the forms of a browser without a session."""
    return "__Host-browser" if context.secure else "browser"


def set_cookie(context: WebContext, answer: Response, name: str, value: str, max_age_seconds: int | None) -> None:
    """HttpOnly, SameSite=Lax, Secure where the service speaks TLS. None ends with the browser."""
    answer.set_cookie(
        name, value, max_age=max_age_seconds, path="/", secure=context.secure, httponly=True, samesite="lax"
    )


def drop_cookie(context: WebContext, answer: Response, name: str) -> None:
    """Make the browser forget a cookie that `set_cookie` gave it."""
    answer.delete_cookie(name, path="/", secure=context.secure, httponly=True, samesite="lax")


def make_token(request: Request) -> tuple[str, str | None]:
    """The token for a page's forms, and a fresh value for the browser's cookie where it had none yet."""
    token = _expected(request)
    if token is not None:
        return token, None
    fresh = secrets.token_urlsafe(32)
    return _token(web(request), _BROWSER, fresh), fresh


def _expected(request: Request) -> str | None:
    """The token that a form of this browser must carry; None where it holds no cookie of ours."""
    context = web(request)
    session = request.cookies.get(session_cookie(context))
    if session:
        return _token(context, _SESSION, session)
    browser = request.cookies.get(browser_cookie(context))
    return _token(context, _BROWSER, browser) if browser else None


def _token(context: WebContext, label: bytes, cookie: str) -> str:
    digest = hmac.digest(context.cell_secret, label + cookie.encode(errors="replace"), hashlib.sha256)
    return urlsafe_b64encode(digest).decode().rstrip("=")


async def read(request: Request) -> Form:
    """The form, after both checks. Raises Forbidden, NotForm or InvalidRequest, none of which quotes it."""
    context = web(request)
    _check_site(request, context)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise NotForm("A form must be sent as application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict"
        )
    except ValueError:
        raise InvalidRequest("The form can't be read.") from None
    form = Form(pairs)
    expected = _expected(request)
    if expected is None or not secrets.compare_digest(form.text(FIELD).encode(), expected.encode()):
        raise Forbidden(
            "This form has no valid token: it is from an earlier session, or another site sent it. "
            "Go back, load the page again and repeat it.",
            code="form_token",
        )
    return form


def _check_site(request: Request, context: WebContext) -> None:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise Forbidden("Another site sent this form.", code="cross_site")
        return
    origin = request.headers.get("origin")
    if origin is None or origin == "null":
        return
    host = request.headers.get("host", "")
    if urlsplit(origin).netloc.lower() != host.lower() and origin != context.settings.base_url():
        raise Forbidden("Another site sent this form.", code="cross_site")
