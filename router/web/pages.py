"""Pages from packaged templates, everything escaped. No page loads a script, and none needs one."""

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from router.errors import GatewayError
from router.surface import DOCUMENTS, Portal, Service
from router.web.service import stylesheet_url

TEMPLATES: Final = Path(__file__).parent / "templates"
_CREDIT: Final = 1_000_000
# What a page says after something was done; addresses carry the name alone, so none can be made to say anything else.
NOTICES: Final = {
    "signed-out": "You are signed out.",
    "confirmed": "Your address is confirmed. You can sign in now.",
    "password-reset": "Your password is changed and every earlier session has ended. Sign in with the new one.",
    "password-changed": "Your password is changed. Other sessions have ended.",
    "key-renamed": "The key has its new name.",
    "key-revoked": "The key is revoked. Requests with it are refused from now on.",
    "data-policy-saved": "Your data policy is saved and holds from now on.",
}
_TITLES: Final[dict[int | str, str]] = {
    "api_key_in_url": "A key in the address",
    400: "That didn't work",
    401: "Please sign in",
    403: "Not allowed",
    404: "Nothing here",
    405: "Nothing here",
    409: "That doesn't fit",
    410: "No longer there",
    413: "Too large",
    422: "Please look again",
    429: "A moment, please",
}


def credits(microcredits: int) -> str:
    """Exact: 1_500_000 is `1.50`, 1 is `0.000001`."""
    whole, part = divmod(abs(microcredits), _CREDIT)
    shown = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if microcredits < 0 else ''}{whole:,}.{shown}"


def moment(value: datetime) -> Markup:
    """A UTC time for people and programs."""
    return Markup('<time datetime="{}">{} UTC</time>').format(value.isoformat(), value.strftime("%Y-%m-%d %H:%M"))


@cache
def _environment() -> Environment:
    # StrictUndefined: a misspelt name fails in the tests instead of showing nothing.
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"portal": Portal, "service": Service, "documents": DOCUMENTS}
    made.filters |= {"credits": credits, "moment": moment, "number": lambda value: f"{value:,}"}
    return made


def page(template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """A rendered template. `person` (None when nobody is signed in), `notice` and `error` are known to each."""
    shown = {"person": None, "notice": None, "error": None, "here": "", "form_token": ""} | values
    text = _environment().get_template(template).render(stylesheet=stylesheet_url(), **shown)
    return HTMLResponse(text, status)


def error_page(error: GatewayError, request_id: str) -> HTMLResponse:
    """A page for an error that no form can show."""
    title = _TITLES.get(error.code) or _TITLES.get(error.status, "Something went wrong")
    return page("error.html", error.status, title=title, message=error.message, request_id=request_id)
