"""What a web request brought along, read out of it late."""

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from router.app.arrived import Arrived

SCOPE = {"client": ("192.0.2.7", 1), "headers": [(b"user-agent", b"an agent")], "path": "/portal/a%20b",
         "query_string": b"token=t%2Fx"}  # fmt: skip


@pytest.mark.parametrize(
    "body, expected",
    [
        (json.dumps({"email": "a@example.org", "policy": {"allow": ["p"]}}).encode(), {"a@example.org", "p", "allow"}),
        (b"name=the+kitchen%27s&x=1", {"the kitchen's", "1"}),
        (b"[" * 100_000, set()),
        (b"\xff", set()),
        (b"", set()),
    ],
)
async def test_head_query_and_body_in_pieces(body: bytes, expected: set[str]) -> None:
    pieces = [body[at : at + 5] for at in range(0, len(body), 5)] or [b""]
    pieces = pieces if len(pieces) < 100 else [body]

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    arrived = Arrived(dict(SCOPE), receive)
    while (await arrived.receive())["more_body"]:
        pass
    assert {"192.0.2.7", "an agent", "t/x", "a b", "portal"} | expected <= set(arrived.texts())
