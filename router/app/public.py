"""What the web application offers, read from its own routes: `docs/api.md` is generated from it."""

from fastapi import FastAPI
from fastapi.routing import APIRoute


def routes(web: FastAPI) -> list[tuple[str, str, str]]:
    """(method, path, first line of the handler's docstring), by path."""
    found = []
    for route in web.routes:
        if isinstance(route, APIRoute):
            line = (route.endpoint.__doc__ or "").strip().split("\n")[0]
            found += [(method, route.path, line) for method in sorted(route.methods or ())]
    return sorted(found, key=lambda row: (row[1], row[0]))
