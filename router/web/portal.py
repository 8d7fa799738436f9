"""The portal: pages that a person without JavaScript can use. Every change is a POST that a page of ours sent.

After a change the browser is sent to a page by a fixed address of ours; none is ever taken from a request.
"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from governance.datamap import DataUse
from governance.errors import Rejected, ValueAPIError
from router.accounts import password_change, session, sign_in, sign_up
from router.accounts.sign_in import SignInFailed
from router.errors import InvalidRequest
from router.surface import Path, Portal
from router.web import forms, portal_account, portal_roles, throttle, welcome
from router.web.context import client_address, desk, user_agent, web
from router.web.mount import mount
from router.web.visitor import SignedInVisitor, show, visitor

router = APIRouter(include_in_schema=False)
router.include_router(portal_account.router)
router.include_router(portal_roles.router)
_PASSWORD_WRONG = "Your present password is wrong."  # noqa: S105  a sentence


def _to(address: Path | str) -> Response:
    return RedirectResponse(str(address), 303)


@mount(router, Portal.ROOT, "GET")
async def portal() -> Response:
    return _to(Portal.OVERVIEW)


@mount(router, Portal.SIGN_UP, "GET")
async def sign_up_page(request: Request) -> Response:
    return show(request, "sign_up.html", email="")


@mount(router, Portal.SIGN_UP, "POST", DataUse.AUTHENTICATION, DataUse.NOTICES)
async def post_sign_up(request: Request) -> Response:
    form = await forms.read(request)
    email = form.text("email")
    try:
        await throttle.sign_up(request, email)
        await sign_up.sign_up(desk(request), email)
    except ValueAPIError as error:
        return show(request, "sign_up.html", failed=error, email=email)
    return show(request, "mail_sent.html", again=Portal.SIGN_UP, unsent=_unsent(request))


@mount(router, Portal.CONFIRM, "GET")
async def confirm_page(request: Request) -> Response:
    token = request.query_params.get("token", "")
    if not token:
        raise InvalidRequest("The link is incomplete: copy all of it from the mail.", param="token")
    return show(request, "confirm.html", token=token)


@mount(router, Portal.CONFIRM, "POST", DataUse.AUTHENTICATION)
async def post_confirm(request: Request) -> Response:
    form = await forms.read(request)
    grant = web(request).settings.sign_up_credits_microcredits
    try:
        await throttle.token(request)
        await welcome.confirm(desk(request), form.text("token"), form.text("password"), grant)
    except Rejected as error:
        if error.field != "password":
            raise
        return show(request, "confirm.html", failed=error, token=form.text("token"))
    return _to(f"{Portal.SIGN_IN}?done=confirmed")


@mount(router, Portal.SIGN_IN, "GET")
async def sign_in_page(request: Request) -> Response:
    if await visitor(request) is not None:
        return _to(Portal.OVERVIEW)
    return show(request, "sign_in.html", email="")


@mount(router, Portal.SIGN_IN, "POST", DataUse.AUTHENTICATION)
async def post_sign_in(request: Request) -> Response:
    form = await forms.read(request)
    context, email = web(request), form.text("email")
    try:
        await throttle.sign_in(request, email)
        began = await sign_in.sign_in(
            desk(request),
            email,
            form.text("password"),
            ip=client_address(request),
            user_agent=user_agent(request),
        )
    except ValueAPIError as error:
        return show(request, "sign_in.html", failed=error, email=email)
    name = forms.session_cookie(context)
    if request.cookies.get(name):
        await session.sign_out(context.data, request.cookies[name])
    answer = _to(Portal.OVERVIEW)
    forms.set_cookie(context, answer, name, began.token, context.settings.session_hours * 3600)
    return answer


@mount(router, Portal.SIGN_OUT, "POST")
async def post_sign_out(request: Request) -> Response:
    await forms.read(request)
    context = web(request)
    name = forms.session_cookie(context)
    await session.sign_out(context.data, request.cookies.get(name, ""))
    answer = _to(f"{Portal.SIGN_IN}?done=signed-out")
    forms.drop_cookie(context, answer, name)
    return answer


@mount(router, Portal.PASSWORD_RESET, "GET")
async def reset_page(request: Request) -> Response:
    token = request.query_params.get("token", "")
    if token:
        return show(request, "reset_confirm.html", token=token)
    return show(request, "reset_request.html", email="")


@mount(router, Portal.PASSWORD_RESET, "POST", DataUse.AUTHENTICATION, DataUse.NOTICES)
async def post_reset(request: Request) -> Response:
    form = await forms.read(request)
    email = form.text("email")
    try:
        await throttle.sign_up(request, email)
        await password_change.request_reset(desk(request), email)
    except ValueAPIError as error:
        return show(request, "reset_request.html", failed=error, email=email)
    return show(request, "mail_sent.html", again=Portal.PASSWORD_RESET, unsent=_unsent(request))


@mount(router, Portal.PASSWORD_RESET_CONFIRM, "POST", DataUse.AUTHENTICATION, DataUse.NOTICES)
async def post_reset_confirm(request: Request) -> Response:
    form = await forms.read(request)
    grant = web(request).settings.sign_up_credits_microcredits
    try:
        await throttle.token(request)
        await welcome.reset(desk(request), form.text("token"), form.text("password"), grant)
    except Rejected as error:
        if error.field != "password":
            raise
        return show(request, "reset_confirm.html", failed=error, token=form.text("token"))
    return _to(f"{Portal.SIGN_IN}?done=password-reset")


@mount(router, Portal.PASSWORD, "GET")
async def password_page(request: Request, person: SignedInVisitor) -> Response:
    return show(request, "password.html", person, here="password")


@mount(router, Portal.PASSWORD, "POST", DataUse.AUTHENTICATION, DataUse.NOTICES)
async def post_password(request: Request, person: SignedInVisitor) -> Response:
    form = await forms.read(request)
    try:
        await throttle.password(request, person.subject_id.bytes)
        await password_change.change_password(
            desk(request),
            person.subject_id,
            form.text("current"),
            form.text("password"),
            session_id=person.session_id,
        )
    except SignInFailed:
        wrong = Rejected(_PASSWORD_WRONG, field="current")
        return show(request, "password.html", person, failed=wrong, here="password")
    except ValueAPIError as error:
        return show(request, "password.html", person, failed=error, here="password")
    return _to(f"{Portal.OVERVIEW}?done=password-changed")


def _unsent(request: Request) -> bool:
    """Whether mails stay in the outbox, because no mail service is configured."""
    return web(request).settings.mailgun_key is None
