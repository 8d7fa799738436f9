"""The log's files as anybody's tools fetch them, and nothing but those."""

import asyncio
import base64
import http.client
from pathlib import Path

import pytest

from governance.evidence import merkle, note
from governance.evidence.tiles import ENTRIES, hashes_of, tile_path, unbundle
from tests.governance.evidence.made import KEY, make
from tests.router.web.running import Running

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


def log_folder(web: Running) -> Path:
    return web.context.settings.log_folder / "transparency"


async def test_a_stranger_rebuilds_the_tree_from_what_is_served(web: Running) -> None:
    async with web.client() as client:
        assert (await client.get("/transparency/checkpoint")).status_code == 404
        make(log_folder(web), 200, 100)
        answer = await client.get("/transparency/checkpoint")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["cache-control"] == "public, max-age=2"
        signed = note.parse(answer.content)
        assert signed.signed_by([KEY]) == [KEY]
        assert (await client.get("/transparency/keys")).text == f"{KEY}\n"
        leaves: list[bytes] = []
        for number, width in ((0, 256), (1, 44)):
            answer = await client.get("/transparency/" + tile_path(ENTRIES, number, width))
            assert answer.headers["content-type"] == "application/octet-stream"
            assert "immutable" in answer.headers["cache-control"]
            tile = await client.get("/transparency/" + tile_path(0, number, width))
            entries = unbundle(answer.content)
            assert [merkle.leaf_hash(entry) for entry in entries] == hashes_of(tile.content)
            leaves += entries
        root = merkle.root(map(merkle.leaf_hash, leaves))
        assert signed.text.split("\n")[1:3] == ["300", base64.b64encode(root).decode()]
        head = await client.head("/transparency/tile/0/000")
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "8192", b"")


async def test_no_address_leads_to_another_file(web: Running) -> None:
    make(log_folder(web), 300)
    (log_folder(web).parent / "secret").write_text("canary")
    (log_folder(web) / "tile" / "secret").write_text("canary")
    paths = [
        "tile/../origin", "tile/../../secret", "tile/secret", "tile/0/../../lock", "tile/0/%2e%2e/%2e%2e/lock",
        "tile/0/..%2f..%2flock", "tile//etc/passwd", "tile/0//000", "tile/0/000/", "tile/0/000.p", "tile/0/000.p/0",
        "tile/0/000.p/256", "tile/0/0", "tile/00/000", "tile/64/000", "tile/0/x000", "tile/0/001.p/044", "tile/0/000%00",
        "tile/0/%0a000", "tile/entries", "tile/", "tile", "staged", "lock", "origin", "checkpoints/300", "checkpoint/", "",
        "tile/0/%D9%A0%D9%A0%D9%A0",
    ]  # fmt: skip
    for path in paths:
        status, body = await asyncio.to_thread(as_it_is, web, "/transparency/" + path)
        assert status in (400, 404), path
        assert b"canary" not in body and b"root:" not in body
    assert (await asyncio.to_thread(as_it_is, web, "/transparency/tile/0/000"))[0] == 200
    async with web.client() as client:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert (await client.request(method, "/transparency/checkpoint")).status_code in (404, 405)


def as_it_is(web: Running, target: str) -> tuple[int, bytes]:
    """What a client that tidies no address gets."""
    connection = http.client.HTTPConnection(web.base.removeprefix("http://"), timeout=30)
    try:
        connection.putrequest("GET", target)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
