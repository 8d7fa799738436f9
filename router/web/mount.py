"""Serves the addresses that `router/surface.py` names: a handler repeats neither path nor meaning."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter

from router.surface import Path

Handler = TypeVar("Handler", bound=Callable[..., Any])


def mount(router: APIRouter, path: Path, method: str, **options: Any) -> Callable[[Handler], Handler]:
    """A decorator: this handler answers the path for that method. KeyError, at import, where none is named so."""
    # The function's own name is the operation's title; the page and the OpenAPI document tell its meaning.
    return router.api_route(path.template, methods=method.split(", "), description=path.meaning[method], **options)
