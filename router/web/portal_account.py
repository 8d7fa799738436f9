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
from router.surface import GATEWAY_PATHS, Endpoint, Portal
from router.web import forms, policy, usage
from router.web.account_api import key_uuid
from router.web.context import api_keys, web
from router.web.mount import mount
from router.web.visitor import SignedInVisitor, Visitor, show

router = APIRouter(include_in_schema=False)
_DAYS = 30
_RECENT = 10


@mount(router, Portal.OVERVIEW, "GET", DataUse.SERVICE)
async def overview(request: Request, person: SignedInVisitor) -> Response:
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


@mount(router, Portal.KEYS, "GET", DataUse.SERVICE)
async def keys_page(request: Request, person: SignedInVisitor) -> Response:
    return await _keys(request, person, "", None)


@mount(router, Portal.KEYS, "POST", DataUse.SERVICE, DataUse.NOTICES)
async def post_keys(request: Request, person: SignedInVisitor) -> Response:
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
        address=f"{web(request).settings.base_url()}{GATEWAY_PATHS[Endpoint.CHAT]}",
        model=_example_model(web(request).catalog),
    )


@mount(router, Portal.KEY, "GET", DataUse.SERVICE)
async def rename_page(request: Request, person: SignedInVisitor, key_id: str) -> Response:
    return show(request, "key_rename.html", person, here="keys", key=await _live_key(request, person, key_id))


@mount(router, Portal.KEY, "POST", DataUse.SERVICE)
async def post_rename(request: Request, person: SignedInVisitor, key_id: str) -> Response:
    form = await forms.read(request)
    key = await _live_key(request, person, key_id)
    try:
        await api_keys(request).change(person.account_id, key.id, {"name": form.text("name")})
    except ValueAPIError as error:
        return show(request, "key_rename.html", person, failed=error, here="keys", key=key)
    return RedirectResponse(f"{Portal.KEYS}?done=key-renamed", 303)


@mount(router, Portal.KEY_REVOKE, "GET", DataUse.SERVICE)
async def revoke_page(request: Request, person: SignedInVisitor, key_id: str) -> Response:
    return show(request, "key_revoke.html", person, here="keys", key=await _live_key(request, person, key_id))


@mount(router, Portal.KEY_REVOKE, "POST", DataUse.SERVICE)
async def post_revoke(request: Request, person: SignedInVisitor, key_id: str) -> Response:
    await forms.read(request)
    await api_keys(request).revoke(person.account_id, key_uuid(key_id))
    return RedirectResponse(f"{Portal.KEYS}?done=key-revoked", 303)


@mount(router, Portal.DATA_POLICY, "GET")
async def data_policy_page(request: Request, person: SignedInVisitor) -> Response:
    return await _data_policy(request, person, None)


@mount(router, Portal.DATA_POLICY, "POST")
async def post_data_policy(request: Request, person: SignedInVisitor) -> Response:
    context = web(request)
    form = await forms.read(request)
    try:
        stored = policy.read(policy.from_form(form), context.catalog)
        await accounts.set_account_policy(context.data, person.account_id, stored, bump=context.changed)
    except ValueAPIError as error:
        return await _data_policy(request, person, error)
    return RedirectResponse(f"{Portal.DATA_POLICY}?done=data-policy-saved", 303)


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
    for model in catalog.models:
        if any(Endpoint.CHAT in route.endpoints for route in model.routes):
            return model.id
    return catalog.models[0].id if catalog.models else "MODEL"
