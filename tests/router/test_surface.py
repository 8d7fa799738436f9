"""`docs/api.md` names what is served, and nothing else: the running parts are walked, and the page on disk is read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from fastapi.routing import iter_route_contexts

from router.cli.main import command_line
from router.gateway import routes
from router.providers.constraints import FIELDS, header
from router.surface import GATEWAY_PATHS, JSON_PREFIXES, NOT_OFFERED, Account, Portal, Service, Transparency, paths
from router.web.app import create_routes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()


def named() -> set[tuple[str, str]]:
    """(method, template) of every route that the page names."""
    found = re.findall(r"`((?:GET|HEAD|POST|PUT|PATCH|DELETE)(?:, [A-Z]+)*) (/[^`]*)`", PAGE)
    return {(method, template) for methods, template in found for method in methods.split(", ")}


def served_by_web() -> set[tuple[str, str]]:
    return {
        (method, str(route.path))
        for route in iter_route_contexts(create_routes().routes)
        for method in route.methods or ()
    }


def served_by_gateway() -> set[str]:
    """Templates that the dispatcher knows; the other version's of Google's verbs are on the page in words."""
    google = next(path for path in routes.MODELS if "beta" in path)
    return set(routes.MATCHES) | {f"{google}/{{model}}:{verb}" for verb in routes.VERBS}


def verbs(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every verb of the tree that runs, hidden ones too."""
    for part, inner in sorted(group.commands.items()):
        if getattr(inner, "commands", None):
            yield from verbs(inner, f"{name} {part}")
        else:
            yield f"{name} {part}", inner


def test_the_page_names_every_served_route_and_no_other() -> None:
    gateway = {template for method, template in named() if routes.match(template.replace("{model}", "m")) is not None}
    assert gateway == served_by_gateway()
    assert {(method, template) for method, template in named() if template not in gateway} == served_by_web()


def test_the_gateway_answers_what_the_page_names() -> None:
    for endpoint, path in GATEWAY_PATHS.items():
        found = routes.match(path.at(model="m"))
        assert found is not None and found.endpoint is endpoint
        also = routes.match(path.at(model="m").replace("/v1beta/", "/v1/"))
        assert also is not None and also.endpoint is endpoint
    for prefix in NOT_OFFERED:
        assert f"- `{prefix}`: " in PAGE


def test_no_web_route_lies_where_the_gateway_would_take_it() -> None:
    groups = (Account, Portal, Service, Transparency)
    assert [path for group in groups for path in paths(group) if routes.match(path.template)] == []
    assert all(path.template.startswith(JSON_PREFIXES) for path in paths(Account))


def test_the_page_names_every_verb_and_option_and_no_other() -> None:
    tree = dict(verbs(typer.main.get_command(command_line()), "valueapi"))
    listed = re.findall(r"^- `(valueapi [a-z -]+?)(?: [A-Z_ ]+)?`: ", PAGE, re.MULTILINE)
    assert listed == list(tree)
    options = [name for verb in tree.values() for param in verb.params for name in param.opts if name.startswith("--")]
    shown = PAGE.partition("## Commands")[2].partition("## Settings")[0]
    assert re.findall(r"^  - `(--[a-z-]+)", shown, re.MULTILINE) == options


def test_the_page_gives_every_constraint_in_both_spellings() -> None:
    assert re.findall(r"^\| `([a-z_]+)` \| `(x-[a-z-]+)` \|", PAGE, re.MULTILINE) == [
        (name, header(name)) for name in FIELDS
    ]


def test_no_address_of_the_web_application_is_written_down_twice() -> None:
    """Handlers, templates and mails take addresses from the surface."""
    literal = re.compile(r"""["'}]/(?:portal|static|v1/account|healthz|readyz|metrics|openapi)\b""")
    sources = [
        *(ROOT / "router").rglob("*.py"),
        *(ROOT / "router").rglob("*.html"),
        *(ROOT / "governance").rglob("*.txt"),
    ]
    found = [str(path.relative_to(ROOT)) for path in sources if literal.search(path.read_text())]
    assert found == ["router/surface.py"]
