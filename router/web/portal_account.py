"""Pages of the account: overview, API keys, data policy."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from governance.datamap import DataUse
from governance.errors import NotFound, ValueAPIError
from router.accounts import account as accounts
from router.accounts.api_key import KeyView
from router.accounts.person import open_email
from router.providers.catalog import Catalog
from router.surface import Endpoint
from router.web import forms, policy, usage
from router.web.account_api import key_uuid
from router.web.context import api_keys, web
from router.web.visitor import SignedInVisitor, Visitor, show

router = APIRouter(include_in_schema=False)
_DAYS = 30
_RECENT = 10


@router.get("/portal/")
async def overview(request: Request, person: SignedInVisitor) -> Response:
    """Balance, usage of 30 days by model, last requests."""
    found = await usage.overview(web(request).data, person.account_id, days=_DAYS, limit=_RECENT, before=None)
    models = usage.by_model(found.totals)
    return show(
        request,
        "dashboard.html",
        person,
        here="overview",
        email=await open_email(web(request).data, person.subject_id, DataUse.SERVICE),
        balance=found.balance_microcredits,
        spent=sum(row.charge_microcredits for row in models),
        requests=sum(row.requests for row in models),
        models=models,
        recent=found.rows,
    )


@router.get("/portal/keys")
async def keys_page(request: Request, person: SignedInVisitor) -> Response:
    """The account's keys, and a form for a new one."""
    return await _keys(request, person, "", None)


@router.post("/portal/keys")
async def post_keys(request: Request, person: SignedInVisitor) -> Response:
    """Creates a key and shows its secret, this once."""
    form = await forms.read(request)
    name = form.text("name")
    try:
        made = await api_keys(request).create(person.account_id, person.subject_id, name)
    except ValueAPIError as error:
        return await _keys(request, person, name, error)
    return show(
        request,
        "key_created.html",
        person,
        here="keys",
        key=await _live_key(request, person, str(made.id)),
        secret=made.secret,
        base_url=web(request).settings.base_url(),
        model=_example_model(web(request).catalog),
    )


@router.get("/portal/keys/{key_id}")
async def rename_page(request: Request, person: SignedInVisitor, key_id: str) -> Response:
    """Rename a key."""
    return show(request, "key_rename.html", person, here="keys", key=await _live_key(request, person, key_id))


@router.post("/portal/keys/{key_id}")
async def post_rename(request: Request, person: SignedInVisitor, key_id: str) -> Response:
    """Renames a key."""
    form = await forms.read(request)
    key = await _live_key(request, person, key_id)
    try:
        await api_keys(request).change(person.account_id, key.id, {"name": form.text("name")})
    except ValueAPIError as error:
        return show(request, "key_rename.html", person, failed=error, here="keys", key=key)
    return RedirectResponse("/portal/keys?done=key-renamed", 303)


@router.get("/portal/keys/{key_id}/revoke")
async def revoke_page(request: Request, person: SignedInVisitor, key_id: str) -> Response:
    """Asks before a key is revoked."""
    return show(request, "key_revoke.html", person, here="keys", key=await _live_key(request, person, key_id))


@router.post("/portal/keys/{key_id}/revoke")
async def post_revoke(request: Request, person: SignedInVisitor, key_id: str) -> Response:
    """Revokes a key."""
    await forms.read(request)
    await api_keys(request).revoke(person.account_id, key_uuid(key_id))
    return RedirectResponse("/portal/keys?done=key-revoked", 303)


@router.get("/portal/data-policy")
async def data_policy_page(request: Request, person: SignedInVisitor) -> Response:
    """Which providers may see the account's data, and what that leaves."""
    return await _data_policy(request, person, None)


@router.post("/portal/data-policy")
async def post_data_policy(request: Request, person: SignedInVisitor) -> Response:
    """Replaces the account's data policy."""
    context = web(request)
    form = await forms.read(request)
    try:
        stored = policy.read(policy.from_form(form), context.catalog)
        await accounts.set_account_policy(context.data, person.account_id, stored, bump=context.changed)
    except ValueAPIError as error:
        return await _data_policy(request, person, error)
    return RedirectResponse("/portal/data-policy?done=data-policy-saved", 303)


async def _keys(request: Request, person: Visitor, name: str, failed: ValueAPIError | None) -> Response:
    found = await api_keys(request).list(person.account_id)
    return show(request, "keys.html", person, failed=failed, here="keys", keys=found, name=name)


async def _data_policy(request: Request, person: Visitor, failed: ValueAPIError | None) -> Response:
    catalog = web(request).catalog
    # What is saved is shown, also after a refusal: nothing on the page claims what doesn't hold.
    own, store = policy.split(await accounts.account_policy(web(request).data, person.account_id))
    return show(
        request,
        "data_policy.html",
        person,
        failed=failed,
        here="data-policy",
        policy=own,
        allow_store=store,
        options=policy.options(catalog, own),
        models=policy.allowed(catalog, own),
    )


async def _live_key(request: Request, person: Visitor, key_id: str) -> KeyView:
    wanted = key_uuid(key_id)
    for view in await api_keys(request).list(person.account_id):
        if view.id == wanted and view.revoked_at is None:
            return view
    raise NotFound("There is no such key.")


def _example_model(catalog: Catalog) -> str:
    """A model that the shown command works with: the first with a chat endpoint, else any."""
    for model in catalog.models:
        if any(Endpoint.CHAT in route.endpoints for route in model.routes):
            return model.id
    return catalog.models[0].id if catalog.models else "MODEL"
