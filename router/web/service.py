"""`/healthz`, `/readyz`, `/metrics`, `/static/…` and the address `/` itself."""

import hashlib
import ipaddress
import os
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from router.errors import UnknownRoute
from router.web.context import client_address, forwarded_for, web

router = APIRouter(include_in_schema=False)
_READ = ["GET", "HEAD"]
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
    return f"/static/site.css?v={hashlib.sha256(stylesheet()).hexdigest()[:12]}"


@router.api_route("/", methods=_READ)
async def root() -> Response:
    """The portal is what a person who came here looks for."""
    return RedirectResponse("/portal/", 303)


@router.api_route("/static/site.css", methods=_READ)
async def static_stylesheet() -> Response:
    """Our style sheet."""
    return Response(stylesheet(), media_type="text/css", headers={"cache-control": "public, max-age=86400"})


@router.api_route("/static/icon.svg", methods=_READ)
@router.api_route("/favicon.ico", methods=_READ)
async def static_icon() -> Response:
    """Our icon."""
    return Response(_ICON, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})


@router.api_route("/healthz", methods=_READ)
async def healthz() -> Response:
    """200 while the process runs."""
    return JSONResponse({"status": "ok"})


@router.api_route("/readyz", methods=_READ)
async def readyz(request: Request) -> Response:
    """200 when the service can serve, else 503 with the reasons, in our own words."""
    reasons = web(request).ready()
    if reasons:
        return JSONResponse({"status": "not ready", "reasons": reasons}, 503, headers={"retry-after": "1"})
    return JSONResponse({"status": "ready", "reasons": []})


@router.api_route("/metrics", methods=_READ)
async def metrics(request: Request) -> Response:
    """Prometheus' text format: counts and times of all processes of this home, nothing of a person.

    They tell how much business there is, so only the addresses of VALUEAPI_METRICS_NETWORKS see them. A forwarding
    header from a proxy that isn't trusted hides who asks, and is refused.
    """
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
