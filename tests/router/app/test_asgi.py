"""The application alone: what is done with a gateway's request counts as the gateway's from its entrance on."""

from types import SimpleNamespace
from typing import Any

import pytest

from governance.vault.purpose import Actor, acting
from router.app.asgi import Application
from router.settings import Settings


async def nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def unsent(message: Any) -> None:
    pass


@pytest.mark.parametrize("path, actor", [("/v1/chat/completions", Actor.GATEWAY), ("/portal/sign-in", None)])
async def test_who_acts_is_known_where_a_request_enters(path: str, actor: Actor | None) -> None:
    """The write watch asks for it: a file that is written before `Gateway.serve` is the request's too."""
    around = acting()  # what the tests run as
    assert around is not Actor.GATEWAY
    seen: list[Actor | None] = []

    async def serve(match: object, scope: object, receive: Any, send: Any) -> None:
        seen.append(acting())

    async def web(scope: object, receive: Any, send: Any) -> None:
        seen.append(acting())

    application = Application(Settings())
    application._service = SimpleNamespace(gateway=SimpleNamespace(serve=serve), web=web)  # type: ignore[assignment]
    scope = {"type": "http", "path": path, "headers": [], "query_string": b"", "client": None}
    await application(scope, nothing, unsent)
    assert seen == [actor or around] and acting() is around
