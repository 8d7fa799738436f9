"""Who looks at a page, and pages with what each of them needs: navigation, form token, notice."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from governance.errors import ValueAPIError
from router.accounts.roles import Role
from router.accounts.session import find_session
from router.surface import Path, Portal
from router.web import forms, pages
from router.web.context import web
from router.web.problems import NotSignedIn, foreseen, typed

_PAGES = (
    ("overview", Portal.OVERVIEW, "Overview"),
    ("keys", Portal.KEYS, "API keys"),
    ("data-policy", Portal.DATA_POLICY, "Data policy"),
    ("password", Portal.PASSWORD, "Password"),
)


@dataclass(frozen=True, slots=True, repr=False)
class Visitor:
    """A signed-in person; `token` is their session's."""

    account_id: UUID
    subject_id: UUID
    session_id: UUID
    role: Role
    first_password: bool
    token: str

    @property
    def pages(self) -> tuple[tuple[str, Path, str], ...]:
        """Navigation: (name, address, label)."""
        if self.role is Role.USER:
            return _PAGES
        own = ("status", Portal.STATUS, "Status") if self.role is Role.OPERATOR else ("role", Portal.ROLE, "Role")
        return (*_PAGES, own)


async def visitor(request: Request) -> Visitor | None:
    """The person of the session cookie, if it is good."""
    token = request.cookies.get(forms.session_cookie(web(request)), "")
    found = await find_session(web(request).data, token)
    if found is None:
        return None
    return Visitor(found.account_id, found.subject_id, found.session_id, Role(found.role), found.first_password, token)


async def _required(request: Request) -> Visitor:
    found = await visitor(request)
    if found is None:
        raise NotSignedIn("Sign in first.")
    return found


SignedInVisitor = Annotated[Visitor, Depends(_required)]


def show(
    request: Request,
    template: str,
    person: Visitor | None = None,
    *,
    failed: ValueAPIError | None = None,
    **values: Any,
) -> Response:
    """A page for this browser. `failed` shows what a form ran into, with that error's status."""
    context = web(request)
    if failed is not None and not foreseen(failed):
        raise failed
    token, fresh = forms.make_token(request)
    error = typed(failed) if failed is not None else None
    answer = pages.page(
        template,
        error.status if error is not None else 200,
        person=person,
        error=error,
        form_token=token,
        notice=pages.NOTICES.get(request.query_params.get("done", "")),
        **values,
    )
    if error is not None and error.status in (429, 503):
        answer.headers["retry-after"] = str(max(1, error.retry_after_s or 1))
    if fresh is not None:
        forms.set_cookie(context, answer, forms.browser_cookie(context), fresh, None)
    return answer
