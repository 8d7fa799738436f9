"""`/healthz`, `/readyz`, `/metrics`, attestations with their keys, `/static/…` and the address `/` itself."""

import hashlib
import ipaddress
import os
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from governance.bodies import attestation, probe_run
from governance.bodies.probe_run import CONTROL
from governance.datamap import DataUse
from router.errors import UnknownRoute
from router.surface import Portal, Service
from router.web.context import client_address, forwarded_for, web
from router.web.mount import mount

router = APIRouter(include_in_schema=False)
_GPC_SINCE = "2026-11-26"
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0b5d5b"/>'
    '<path d="M8 9l8 15 8-15" fill="none" stroke="#fff" stroke-width="3.5" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>'
)


@cache
def stylesheet() -> bytes:
    """The one style sheet, read once."""
    return files("router.web").joinpath("static", "site.css").read_bytes()


@cache
def stylesheet_url() -> str:
    """Its address, which changes with its content, so that it may be cached for long."""
    return f"{Service.STYLESHEET}?v={hashlib.sha256(stylesheet()).hexdigest()[:12]}"


@mount(router, Service.ROOT, "GET, HEAD")
async def root() -> Response:
    return RedirectResponse(str(Portal.OVERVIEW), 303)


@mount(router, Service.STYLESHEET, "GET, HEAD")
async def static_stylesheet() -> Response:
    return Response(stylesheet(), media_type="text/css", headers={"cache-control": "public, max-age=86400"})


@mount(router, Service.ICON, "GET, HEAD")
@mount(router, Service.FAVICON, "GET, HEAD")
async def static_icon() -> Response:
    return Response(_ICON, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})


@mount(router, Service.GPC, "GET, HEAD")
async def gpc() -> Response:
    # Nothing is sold or shared for advertising, with the signal or without.
    return JSONResponse({"gpc": True, "lastUpdate": _GPC_SINCE})


@mount(router, Service.SIGNALS, "GET, HEAD")
async def signals(request: Request) -> Response:
    """Each counts where it was sent once and is exactly `1` (W3C GPC draft, section 3.1; Tracking Preference Expression)."""
    understood = {
        name: request.headers.getlist(header) == ["1"] for name, header in (("gpc", "sec-gpc"), ("do_not_track", "dnt"))
    }
    return JSONResponse(understood, headers={"cache-control": "no-store", "vary": "Sec-GPC, DNT"})


@mount(router, Service.HEALTHZ, "GET, HEAD")
async def healthz() -> Response:
    return JSONResponse({"status": "ok"})


@mount(router, Service.READYZ, "GET, HEAD")
async def readyz(request: Request) -> Response:
    context = web(request)
    reasons = context.ready()
    told = {
        "status": "not ready" if reasons else "ready",
        "reasons": reasons,
        "build": context.about.build,
        "setup": context.about.setup,
        "controls": {CONTROL: context.standing().as_json()},
    }
    return JSONResponse(told, 503, headers={"retry-after": "1"}) if reasons else JSONResponse(told)


@mount(router, Service.ATTESTATION, "GET, HEAD")
async def last_attestation(request: Request) -> Response:
    async with web(request).data.session(DataUse.SECURITY) as session:
        row = await probe_run.newest(session)
    if row is None:
        raise UnknownRoute("No probe has run here yet.", code="no_attestation")
    # An older one is still true of its time, which it names.
    return Response(row.attestation, media_type="application/json", headers={"cache-control": "public, max-age=60"})


@mount(router, Service.JWKS, "GET, HEAD")
async def public_keys(request: Request) -> Response:
    keys = await attestation.key_set(web(request).data)
    cached = {"cache-control": "public, max-age=300"}  # a new key signs before anybody can ask for it
    return JSONResponse(keys, media_type="application/jwk-set+json", headers=cached)


@mount(router, Service.METRICS, "GET, HEAD")
async def metrics(request: Request) -> Response:
    # They tell how much business there is. A forwarding header from a proxy that isn't trusted hides who asks.
    if not _may_read(request):
        raise UnknownRoute("There is no such route.")
    return Response(generate_latest(_all_processes(web(request).metrics)), media_type=CONTENT_TYPE_LATEST)


def _all_processes(own: CollectorRegistry) -> CollectorRegistry:
    """With several workers each leaves its figures in a folder, and whichever is asked adds them up."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return own
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _may_read(request: Request) -> bool:
    address = client_address(request)
    peer = request.client.host if request.client is not None else None
    if "forwarded" in request.headers or (forwarded_for(request) is not None and address == peer):
        return False
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    # An IPv4 client of a socket that listens on `::`, RFC 4291 section 2.5.5.2.
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in ipaddress.ip_network(text) for text in web(request).settings.metrics_networks)
