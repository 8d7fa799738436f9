"""Serves the addresses that `router/surface.py` names: a handler repeats neither path nor meaning."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from fastapi import APIRouter

from governance.datamap import DataUse
from governance.vault.purpose import Actor, states
from router.surface import Path

Handler = TypeVar("Handler", bound=Callable[..., Any])


def mount(router: APIRouter, path: Path, method: str, *uses: DataUse, **options: Any) -> Callable[[Handler], Handler]:
    """A decorator: this handler answers the path for that method, and may open personal values for these uses alone,
    as the person who asks. KeyError, at import, where no path is named so."""
    # The function's own name is the operation's title; the page and the OpenAPI document tell its meaning.
    route = router.api_route(path.template, methods=method.split(", "), description=path.meaning[method], **options)

    def answer(handler: Handler) -> Handler:
        stated = states(Actor.PERSON, *uses)(handler)
        route(stated)
        return cast(Handler, stated)

    return answer
