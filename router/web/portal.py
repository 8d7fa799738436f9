"""The portal: pages that a person without JavaScript can use. Every change is a POST that a page of ours sent.

After a change the browser is sent to a page by a fixed address of ours; none is ever taken from a request.
"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from governance.errors import Rejected, ValueAPIError
from router.accounts import password_change, session, sign_in, sign_up
from router.accounts.sign_in import SignInFailed
from router.errors import InvalidRequest
from router.web import forms, portal_account, portal_roles, throttle, welcome
from router.web.context import client_address, desk, user_agent, web
from router.web.visitor import SignedInVisitor, show, visitor

router = APIRouter(include_in_schema=False)
router.include_router(portal_account.router)
router.include_router(portal_roles.router)
_PASSWORD_WRONG = "Your present password is wrong."  # noqa: S105  a sentence


def _to(address: str) -> Response:
    return RedirectResponse(address, 303)


@router.get("/portal")
async def portal() -> Response:
    """To the overview."""
    return _to("/portal/")


@router.get("/portal/sign-up")
async def sign_up_page(request: Request) -> Response:
    """Create an account."""
    return show(request, "sign_up.html", email="")


@router.post("/portal/sign-up")
async def post_sign_up(request: Request) -> Response:
    """The same page follows whether the address is known or not."""
    form = await forms.read(request)
    email = form.text("email")
    try:
        await throttle.sign_up(request, email)
        await sign_up.sign_up(desk(request), email, form.text("password"))
    except ValueAPIError as error:
        return show(request, "sign_up.html", failed=error, email=email)
    return show(request, "mail_sent.html", again="/portal/sign-up", unsent=_unsent(request))


@router.get("/portal/confirm")
async def confirm_page(request: Request) -> Response:
    """Shows a button: what opens links in mails to look for harm must not use them up."""
    token = request.query_params.get("token", "")
    if not token:
        raise InvalidRequest("The link is incomplete: copy all of it from the mail.", param="token")
    return show(request, "confirm.html", token=token)


@router.post("/portal/confirm")
async def post_confirm(request: Request) -> Response:
    """Confirms the address."""
    form = await forms.read(request)
    await throttle.token(request)
    await welcome.confirm(desk(request), form.text("token"), web(request).settings.sign_up_credits_microcredits)
    return _to("/portal/sign-in?done=confirmed")


@router.get("/portal/sign-in")
async def sign_in_page(request: Request) -> Response:
    """Sign in."""
    if await visitor(request) is not None:
        return _to("/portal/")
    return show(request, "sign_in.html", email="")


@router.post("/portal/sign-in")
async def post_sign_in(request: Request) -> Response:
    """Begins a session under a new id; one that this browser had before ends."""
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
    answer = _to("/portal/")
    forms.set_cookie(context, answer, name, began.token, context.settings.session_hours * 3600)
    return answer


@router.post("/portal/sign-out")
async def post_sign_out(request: Request) -> Response:
    """Ends the session, here and in the database."""
    await forms.read(request)
    context = web(request)
    name = forms.session_cookie(context)
    await session.sign_out(context.data, request.cookies.get(name, ""))
    answer = _to("/portal/sign-in?done=signed-out")
    forms.drop_cookie(context, answer, name)
    return answer


@router.get("/portal/password-reset")
async def reset_page(request: Request) -> Response:
    """With the token of a mail, asks for the new password; without, for the address."""
    token = request.query_params.get("token", "")
    if token:
        return show(request, "reset_confirm.html", token=token)
    return show(request, "reset_request.html", email="")


@router.post("/portal/password-reset")
async def post_reset(request: Request) -> Response:
    """The same page follows whether the address is known or not."""
    form = await forms.read(request)
    email = form.text("email")
    try:
        await throttle.sign_up(request, email)
        await password_change.request_reset(desk(request), email)
    except ValueAPIError as error:
        return show(request, "reset_request.html", failed=error, email=email)
    return show(request, "mail_sent.html", again="/portal/password-reset", unsent=_unsent(request))


@router.post("/portal/password-reset/confirm")
async def post_reset_confirm(request: Request) -> Response:
    """Sets the password; every session ends."""
    form = await forms.read(request)
    try:
        await throttle.token(request)
        await password_change.reset(desk(request), form.text("token"), form.text("password"))
    except Rejected as error:
        if error.field != "password":
            raise
        return show(request, "reset_confirm.html", failed=error, token=form.text("token"))
    return _to("/portal/sign-in?done=password-reset")


@router.get("/portal/password")
async def password_page(request: Request, person: SignedInVisitor) -> Response:
    """Change the password."""
    return show(request, "password.html", person, here="password")


@router.post("/portal/password")
async def post_password(request: Request, person: SignedInVisitor) -> Response:
    """Changes the password; other sessions end."""
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
    return _to("/portal/?done=password-changed")


def _unsent(request: Request) -> bool:
    """Whether mails stay in the outbox, because no mail service is configured."""
    return web(request).settings.mailgun_key is None
