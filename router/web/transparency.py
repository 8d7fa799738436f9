"""`/transparency/…`: the log's files as they rest, for anybody's tools (c2sp.org/tlog-tiles). Read-only, and nothing else."""

import asyncio
import re
from contextlib import suppress

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from governance.evidence import folder
from router.errors import UnknownRoute
from router.surface import Transparency
from router.web.context import web
from router.web.mount import mount

router = APIRouter(include_in_schema=False)
_LEVEL = "(?:entries|[0-9]|[1-5][0-9]|6[0-3])"
_NUMBER = "(?:x[0-9]{3}/){0,6}[0-9]{3}"
_WIDTH = "(?:[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_TILE = re.compile(rf"{_LEVEL}/{_NUMBER}(?:\.p/{_WIDTH})?")
_FEW_SECONDS = "public, max-age=2"
_FOR_EVER = "public, max-age=31536000, immutable"


@mount(router, Transparency.CHECKPOINT, "GET, HEAD")
async def checkpoint(request: Request) -> Response:
    return await _file(request, "checkpoint", "text/plain; charset=utf-8", _FEW_SECONDS)


@mount(router, Transparency.KEYS, "GET, HEAD")
async def keys(request: Request) -> Response:
    return await _file(request, "keys", "text/plain; charset=utf-8", _FEW_SECONDS)


@mount(router, Transparency.TILE, "GET, HEAD")
async def tile(request: Request, tile: str) -> Response:
    # The address is taken apart by form, so that it can name no other file.
    if not _TILE.fullmatch(tile):
        raise UnknownRoute("There is no such tile.")
    return await _file(request, f"tile/{tile}", "application/octet-stream", _FOR_EVER)


async def _file(request: Request, name: str, media_type: str, caching: str) -> Response:
    path = web(request).settings.log_folder / folder.NAME / name
    with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
        content = await asyncio.to_thread(path.read_bytes)
        return Response(content, media_type=media_type, headers={"cache-control": caching})
    raise UnknownRoute("The transparency log has no such file.")
