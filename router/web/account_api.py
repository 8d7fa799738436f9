"""`/v1/account/…`: the account as JSON. Sessions travel as `Authorization: Bearer`, never as a cookie, so no other
site can act with them; API keys aren't taken here.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from governance.datamap import DataUse
from governance.errors import NotFound
from router.accounts import account as accounts
from router.accounts import password_change, session, sign_in, sign_up
from router.accounts.api_key import KeyChanges, KeyView
from router.accounts.person import open_email
from router.accounts.session import SignedIn
from router.billing.usage_log import Total, Usage
from router.web import policy, throttle, usage, welcome
from router.web.context import api_keys, client_address, desk, user_agent, web
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


router = APIRouter(prefix="/v1/account", dependencies=[Depends(_json_only)], tags=["account"])
Person = Annotated[SignedIn, Depends(_signed_in)]
Policy = dict[str, Any]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Credentials(_Fields):
    """Address and password; the password's rules are the accounts'."""

    email: str = Field(max_length=254)
    password: str = Field(max_length=1024)


class Token(_Fields):
    """A token from a mail."""

    token: str = Field(max_length=200)


class Address(_Fields):
    """Whom to write to."""

    email: str = Field(max_length=254)


class NewPassword(_Fields):
    """A token from a mail, and the password to set."""

    token: str = Field(max_length=200)
    password: str = Field(max_length=1024)


class KeyFields(_Fields):
    """A key to make; its data policy can only be stricter than the account's."""

    name: str = Field(max_length=200)
    data_policy: Policy | None = None


class KeyChange(_Fields):
    """What to change of a key; `data_policy` null takes its own policy away."""

    name: str | None = Field(None, max_length=200)
    data_policy: Policy | None = None


# Names that a 422 may show.
BODIES: Final = (Credentials, Token, Address, NewPassword, KeyFields, KeyChange)
PARAMETERS: Final = ("days", "limit", "before")


@router.post("/sign-up", status_code=202)
async def post_sign_up(request: Request, body: Credentials) -> dict[str, str]:
    """Start an account. The answer is the same whether the address is known or not; a mail says how to go on."""
    await throttle.sign_up(request, body.email)
    return {"message": await sign_up.sign_up(desk(request), body.email, body.password)}


@router.post("/confirm")
async def post_confirm(request: Request, body: Token) -> dict[str, bool]:
    """Confirm the address with the token of the mail; works once."""
    await throttle.token(request)
    await welcome.confirm(desk(request), body.token, web(request).settings.sign_up_credits_microcredits)
    return {"confirmed": True}


@router.post("/sign-in")
async def post_sign_in(request: Request, body: Credentials) -> dict[str, str]:
    """A session token, to be sent as `Authorization: Bearer`."""
    await throttle.sign_in(request, body.email)
    began = await sign_in.sign_in(
        desk(request), body.email, body.password, ip=client_address(request), user_agent=user_agent(request)
    )
    return {"session_token": began.token, "token_type": "Bearer", "expires_at": _time(began.expires_at)}


@router.post("/sign-out", status_code=204)
async def post_sign_out(request: Request, person: Person) -> Response:
    """End this session."""
    await session.sign_out(web(request).data, bearer(request))
    return Response(status_code=204)


@router.post("/password-reset", status_code=202)
async def post_password_reset(request: Request, body: Address) -> dict[str, str]:
    """Mail a link to choose a new password. The answer is the same whether the address is known or not."""
    await throttle.sign_up(request, body.email)
    return {"message": await password_change.request_reset(desk(request), body.email)}


@router.post("/password-reset/confirm")
async def post_password_reset_confirm(request: Request, body: NewPassword) -> dict[str, bool]:
    """Set a new password with the token of the mail; every session ends."""
    await throttle.token(request)
    await password_change.reset(desk(request), body.token, body.password)
    return {"changed": True}


@router.get("/me")
async def get_me(request: Request, person: Person) -> dict[str, object]:
    """Who is signed in."""
    return {
        "account_id": str(person.account_id),
        "email": await open_email(web(request).data, person.subject_id, DataUse.SERVICE),
        "role": person.role,
        "state": person.subject_state,
        "first_password": person.first_password,
        "session_expires_at": _time(person.expires_at),
    }


@router.get("/keys")
async def get_keys(request: Request, person: Person) -> dict[str, object]:
    """The account's API keys, newest first, revoked ones too."""
    return {"keys": [_key(view) for view in await api_keys(request).list(person.account_id)]}


@router.post("/keys", status_code=201)
async def post_keys(request: Request, person: Person, body: KeyFields) -> dict[str, object]:
    """Create an API key; `secret` is shown this once."""
    own = policy.read(body.data_policy, web(request).catalog) if body.data_policy is not None else None
    made = await api_keys(request).create(person.account_id, person.subject_id, body.name, own)
    return _key(await _view(request, person, made.id)) | {"secret": made.secret}


@router.patch("/keys/{key_id}")
async def patch_key(request: Request, person: Person, key_id: str, body: KeyChange) -> dict[str, object]:
    """Rename a key, or change its data policy."""
    found = key_uuid(key_id)
    changes: KeyChanges = {}
    if body.name is not None:
        changes["name"] = body.name
    if "data_policy" in body.model_fields_set:
        wanted = body.data_policy
        changes["data_policy"] = policy.read(wanted, web(request).catalog) if wanted is not None else None
    await api_keys(request).change(person.account_id, found, changes)
    return _key(await _view(request, person, found))


@router.delete("/keys/{key_id}", status_code=204)
async def delete_key(request: Request, person: Person, key_id: str) -> Response:
    """Revoke a key: it is refused from now on."""
    await api_keys(request).revoke(person.account_id, key_uuid(key_id))
    return Response(status_code=204)


@router.get("/usage")
async def get_usage(
    request: Request,
    person: Person,
    days: Annotated[int, Query(ge=1, le=_DAYS_MAX)] = 30,
    limit: Annotated[int, Query(ge=1, le=_ROWS_MAX)] = 100,
    before: UUID | None = None,
) -> dict[str, object]:
    """Balance, totals by day and model, and single requests, newest first; the next page begins at `next_before`."""
    found = await usage.overview(web(request).data, person.account_id, days=days, limit=limit, before=before)
    return {
        "balance_microcredits": found.balance_microcredits,
        "days": days,
        "totals": [_total(row) for row in found.totals],
        "requests": [_row(row) for row in found.rows],
        "next_before": str(found.rows[-1].id) if found.more else None,
    }


@router.get("/data-policy")
async def get_data_policy(request: Request, person: Person) -> dict[str, object]:
    """Which providers may see this account's data: only what is set, and `allow_store`."""
    return policy.shown(await accounts.account_policy(web(request).data, person.account_id))


@router.put("/data-policy")
async def put_data_policy(request: Request, person: Person, body: Annotated[Policy, Body()]) -> dict[str, object]:
    """Replace the data policy, in the spelling of a request's `provider` object, with `allow_store` beside it."""
    context = web(request)
    stored = policy.read(body, context.catalog)
    await accounts.set_account_policy(context.data, person.account_id, stored, bump=context.changed)
    return policy.shown(stored)


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


def _key(view: KeyView) -> dict[str, object]:
    return {
        "id": str(view.id),
        "name": view.name,
        "prefix": view.prefix,
        "data_policy": view.data_policy,
        "created_at": _time(view.created_at),
        "revoked_at": _time(view.revoked_at) if view.revoked_at else None,
    }


def _total(row: Total) -> dict[str, object]:
    return {
        "day": row.day.isoformat(),
        "model": row.model,
        "requests": row.requests,
        "input_tokens": row.input_tokens,
        "cached_input_tokens": row.cached_input_tokens,
        "output_tokens": row.output_tokens,
        "charge_microcredits": row.charge_microcredits,
    }


def _row(row: Usage) -> dict[str, object]:
    return {
        "id": str(row.id),
        "at": _time(row.at),
        "api_key_id": str(row.api_key_id),
        "endpoint": row.endpoint,
        "model": row.model,
        "provider": row.provider,
        "input_tokens": row.input_tokens,
        "cached_input_tokens": row.cached_input_tokens,
        "output_tokens": row.output_tokens,
        "estimated": row.estimated,
        "charge_microcredits": row.charge_microcredits,
        "latency_ms": row.latency_ms,
        "first_byte_ms": row.first_byte_ms,
        "status": row.status,
        "outcome": row.outcome,
    }


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
