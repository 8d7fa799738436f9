"""`/v1/account/…`: the account as JSON. Sessions travel as `Authorization: Bearer`, never as a cookie, so no other
site can act with them; API keys aren't taken here.
"""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.security import HTTPBearer
from starlette.requests import Request
from starlette.responses import Response

from governance.datamap import DataUse
from governance.errors import NotFound
from router.accounts import account as accounts
from router.accounts import password_change, session, sign_in, sign_up
from router.accounts.api_key import KeyChanges, KeyView
from router.accounts.person import open_email
from router.accounts.session import SignedIn
from router.surface import Account
from router.web import account_shapes as shapes
from router.web import policy, throttle, usage, welcome
from router.web.context import api_keys, client_address, desk, user_agent, web
from router.web.mount import mount
from router.web.problems import NotJson, NotSignedIn

_DAYS_MAX: Final = 90  # how long the usage log rests
_ROWS_MAX: Final = 1000
# Names the header in /openapi.json; what it carries is read by `bearer`.
_BEARER: Final = HTTPBearer(auto_error=False, scheme_name="session", description="The token that sign-in gave.")


async def _json_only(request: Request) -> None:
    kind = request.headers.get("content-type")
    if kind is not None and kind.partition(";")[0].strip().lower() != "application/json":
        raise NotJson("The body must be application/json.")


async def _signed_in(request: Request, _documented: Annotated[object, Depends(_BEARER)]) -> SignedIn:
    found = await session.find_session(web(request).data, bearer(request))
    if found is None:
        raise NotSignedIn("Sign in first: the session token is missing, wrong, expired or signed out.")
    return found


def bearer(request: Request) -> str:
    """The session token of `Authorization: Bearer` (RFC 6750 section 2.1), empty where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


router = APIRouter(dependencies=[Depends(_json_only)], tags=["account"])
Person = Annotated[SignedIn, Depends(_signed_in)]
# Names that a 422 may show, beside those of the bodies.
PARAMETERS: Final = ("days", "limit", "before")


@mount(router, Account.SIGN_UP, "POST", DataUse.AUTHENTICATION, DataUse.NOTICES, status_code=202)
async def post_sign_up(request: Request, body: shapes.Address) -> shapes.Told:
    await throttle.sign_up(request, body.email)
    return shapes.Told(message=await sign_up.sign_up(desk(request), body.email))


@mount(router, Account.CONFIRM, "POST", DataUse.AUTHENTICATION)
async def post_confirm(request: Request, body: shapes.NewPassword) -> shapes.Confirmed:
    await throttle.token(request)
    grant = web(request).settings.sign_up_credits_microcredits
    await welcome.confirm(desk(request), body.token, body.password, grant)
    return shapes.Confirmed(confirmed=True)


@mount(router, Account.SIGN_IN, "POST", DataUse.AUTHENTICATION)
async def post_sign_in(request: Request, body: shapes.Credentials) -> shapes.Session:
    await throttle.sign_in(request, body.email)
    began = await sign_in.sign_in(
        desk(request), body.email, body.password, ip=client_address(request), user_agent=user_agent(request)
    )
    return shapes.Session(session_token=began.token, token_type="Bearer", expires_at=began.expires_at)  # noqa: S106  a scheme


@mount(router, Account.SIGN_OUT, "POST", status_code=204)
async def post_sign_out(request: Request, person: Person) -> Response:
    await session.sign_out(web(request).data, bearer(request))
    return Response(status_code=204)


@mount(router, Account.PASSWORD_RESET, "POST", DataUse.AUTHENTICATION, DataUse.NOTICES, status_code=202)
async def post_password_reset(request: Request, body: shapes.Address) -> shapes.Told:
    await throttle.sign_up(request, body.email)
    return shapes.Told(message=await password_change.request_reset(desk(request), body.email))


@mount(router, Account.PASSWORD_RESET_CONFIRM, "POST", DataUse.AUTHENTICATION, DataUse.NOTICES)
async def post_password_reset_confirm(request: Request, body: shapes.NewPassword) -> shapes.Changed:
    await throttle.token(request)
    grant = web(request).settings.sign_up_credits_microcredits
    await welcome.reset(desk(request), body.token, body.password, grant)
    return shapes.Changed(changed=True)


@mount(router, Account.ME, "GET", DataUse.SERVICE)
async def get_me(request: Request, person: Person) -> shapes.Me:
    return shapes.Me(
        account_id=person.account_id,
        email=await open_email(web(request).data, person.subject_id, DataUse.SERVICE),
        role=person.role,
        state=person.subject_state,
        first_password=person.first_password,
        session_expires_at=person.expires_at,
    )


@mount(router, Account.KEYS, "GET", DataUse.SERVICE)
async def get_keys(request: Request, person: Person) -> shapes.Keys:
    return shapes.Keys(
        keys=[shapes.Key.model_validate(view) for view in await api_keys(request).list(person.account_id)]
    )


@mount(router, Account.KEYS, "POST", DataUse.SERVICE, DataUse.NOTICES, status_code=201)
async def post_keys(request: Request, person: Person, body: shapes.KeyFields) -> shapes.NewKey:
    own = policy.read(body.data_policy.root, web(request).catalog) if body.data_policy is not None else None
    made = await api_keys(request).create(person.account_id, person.subject_id, body.name, own)
    view = shapes.Key.model_validate(await _view(request, person, made.id))
    return shapes.NewKey(**view.model_dump(), secret=made.secret)


@mount(router, Account.KEY, "PATCH", DataUse.SERVICE)
async def patch_key(request: Request, person: Person, key_id: str, body: shapes.KeyChange) -> shapes.Key:
    found = key_uuid(key_id)
    changes: KeyChanges = {}
    if body.name is not None:
        changes["name"] = body.name
    if "data_policy" in body.model_fields_set:
        wanted = body.data_policy
        changes["data_policy"] = policy.read(wanted.root, web(request).catalog) if wanted is not None else None
    await api_keys(request).change(person.account_id, found, changes)
    return shapes.Key.model_validate(await _view(request, person, found))


@mount(router, Account.KEY, "DELETE", DataUse.SERVICE, status_code=204)
async def delete_key(request: Request, person: Person, key_id: str) -> Response:
    await api_keys(request).revoke(person.account_id, key_uuid(key_id))
    return Response(status_code=204)


@mount(router, Account.USAGE, "GET")
async def get_usage(
    request: Request,
    person: Person,
    days: Annotated[int, Query(ge=1, le=_DAYS_MAX)] = 30,
    limit: Annotated[int, Query(ge=1, le=_ROWS_MAX)] = 100,
    before: UUID | None = None,
) -> shapes.UsagePage:
    found = await usage.overview(web(request).data, person.account_id, days=days, limit=limit, before=before)
    return shapes.UsagePage(
        balance_microcredits=found.balance_microcredits,
        days=days,
        totals=[shapes.Total.model_validate(row) for row in found.totals],
        requests=[shapes.Usage.model_validate(row) for row in found.rows],
        next_before=found.rows[-1].id if found.more else None,
    )


@mount(router, Account.DATA_POLICY, "GET")
async def get_data_policy(request: Request, person: Person) -> shapes.DataPolicy:
    return shapes.DataPolicy(policy.shown(await accounts.account_policy(web(request).data, person.account_id)))


@mount(router, Account.DATA_POLICY, "PUT")
async def put_data_policy(request: Request, person: Person, body: shapes.DataPolicy) -> shapes.DataPolicy:
    context = web(request)
    stored = policy.read(body.root, context.catalog)
    await accounts.set_account_policy(context.data, person.account_id, stored, bump=context.changed)
    return shapes.DataPolicy(policy.shown(stored))


def key_uuid(text: str) -> UUID:
    """A key's id; what isn't one is no key of this account. Raises NotFound."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such key.") from None


async def _view(request: Request, person: SignedIn, key_id: UUID) -> KeyView:
    for view in await api_keys(request).list(person.account_id):
        if view.id == key_id:
            return view
    raise NotFound("There is no such key.")
