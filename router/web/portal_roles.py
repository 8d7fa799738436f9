"""Pages of roles: the operator's status, and for the others what their role may see here now."""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from router.accounts.roles import Role
from router.errors import Forbidden
from router.providers.catalog import Provider
from router.surface import Portal
from router.web.context import web
from router.web.mount import mount
from router.web.visitor import SignedInVisitor, show

router = APIRouter(include_in_schema=False)

_ACCOUNT: Final = "Your own account: balance, usage, API keys and data policy."
_ROLES: Final = {
    Role.LEGAL: ("Legal", "You answer for the text of the policies and for what they promise."),
    Role.AUDITOR: ("Auditor", "You check that what was promised was kept, and change nothing."),
    Role.PRIVACY_OFFICER: ("Privacy officer", "You answer for the rights of the people whose data is here."),
}
_SEES: Final = (
    _ACCOUNT,
    "No other account, and of no account what was asked or answered: that is kept nowhere.",
)


@mount(router, Portal.ROLE, "GET")
async def role_page(request: Request, person: SignedInVisitor) -> Response:
    if person.role not in _ROLES:
        raise Forbidden("This page is for legal people, auditors and privacy officers.", code="role")
    title, meaning = _ROLES[person.role]
    return show(request, "role.html", person, here="role", title=title, meaning=meaning, sees=_SEES)


@mount(router, Portal.STATUS, "GET")
async def status_page(request: Request, person: SignedInVisitor) -> Response:
    if person.role is not Role.OPERATOR:
        raise Forbidden("This page is for operators.", code="role")
    context = web(request)
    return show(
        request,
        "status.html",
        person,
        here="status",
        reasons=context.ready(),
        providers=[_provider(provider) for provider in context.catalog.providers],
        models=len(context.catalog.models),
    )


def _provider(provider: Provider) -> dict[str, object]:
    own = provider.data_policy
    if own.retention_days is None:
        keeps = "unknown"
    else:
        keeps = f"{own.retention_days} days" if own.retention_days else "nothing"
    return {
        "id": provider.id,
        "inactive": provider.inactive,
        "known": own.known,
        "note": provider.policy_note,
        "trains": "unknown" if own.trains is None else "yes" if own.trains else "no",
        "keeps": keeps,
        "zdr": "yes" if own.keeps_nothing else "no",
        "region": ", ".join(own.regions) or "unknown",
        "seat": own.headquarters or "unknown",
        "certified": "unknown" if own.certifications is None else ", ".join(own.certifications) or "none",
        "checked": own.checked.isoformat() if own.checked else "never",
    }
