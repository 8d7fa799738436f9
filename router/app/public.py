"""What the web application offers, read from its own routes: `docs/api.md` is generated from it."""

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts


def routes(web: FastAPI) -> list[tuple[str, str, str]]:
    """(method, path, first line of the handler's docstring), by path."""
    found = []
    for route in iter_route_contexts(web.routes):
        handler = route.endpoint
        if route.path is None or handler is None or not handler.__module__.startswith("router.web"):
            continue
        line = (handler.__doc__ or "").strip().split("\n")[0]
        found += [(method, route.path, line) for method in sorted(route.methods or ())]
    return sorted(set(found), key=lambda row: (row[1], row[0]))
