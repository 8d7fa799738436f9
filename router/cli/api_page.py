"""`docs/api.md`, generated from the public names: surface, edits, constraints, web routes, commands and settings."""

from router.app.public import routes as web_routes
from router.providers.constraints import FIELDS
from router.providers.dialects.anthropic import BETAS
from router.providers.edits import EDITS
from router.settings import Settings
from router.surface import (
    EXIT_MEANING,
    GATEWAY_PATHS,
    HEADER_MEANING,
    MODELS_PATH,
    NOT_OFFERED,
    SERVICE_PATHS,
    Header,
)
from router.web.app import create_routes


def markdown(verbs: dict[str, str]) -> str:
    """The whole page."""
    out = [
        "# API, command line and settings",
        "",
        "Generated from the program's own names (`make docs`); CI fails when it is stale.",
        "",
    ]
    out += ["## Gateway", "", "| path | what | dialect |", "|---|---|---|"]
    for path in (*GATEWAY_PATHS.values(), MODELS_PATH):
        out.append(f"| `{path.method} {path.template}` | {path.meaning} | {', '.join(path.dialects)} |")
    out += [
        "",
        "The key goes into `Authorization: Bearer`, `x-api-key` or `x-goog-api-key` on any of them, never into the URL.",
        "",
    ]
    out += ["### Not offered", "", "These keep content at the provider, so they answer 404 with the reason:", ""]
    out += [f"- `{prefix}`: {why}" for prefix, why in NOT_OFFERED.items()]
    out += ["", "### Which providers may see the data", ""]
    out += [
        "A request's `provider` object takes these fields; each is also a request header",
        f"(`{Header.CONSTRAINT_PREFIX}` and the field with dashes). Account, key and request are merged, the strictest wins:",
        "",
        *(f"- `{name}`" for name in FIELDS),
        "",
        "### Edits to a request's bytes",
        "",
        "A native request reaches its provider byte for byte as it was sent, but for these:",
        "",
        *(f"- **{name}**: {meaning}" for name, meaning in EDITS.items()),
        "",
        "Of a request's head nothing goes on but `anthropic-version` and `anthropic-beta`. A beta must begin with one of these,",
        "or the request is refused: " + ", ".join(f"`{beta}`" for beta in BETAS) + ".",
        "",
        "### Headers",
        "",
        *(f"- `{name}`: {meaning}" for name, meaning in HEADER_MEANING.items()),
        "",
        "## Account API, portal and service",
        "",
        "| path | what |",
        "|---|---|",
    ]
    described = {path.template: path.meaning for path in SERVICE_PATHS}
    for method, template, meaning in web_routes(create_routes()):
        out.append(f"| `{method} {template}` | {described.get(template, meaning)} |")
    out += ["", "## Commands", "", "| command | what |", "|---|---|"]
    out += [f"| `{verb}` | {meaning} |" for verb, meaning in verbs.items()]
    out += ["", "Exit codes: " + "; ".join(f"{code.value}: {meaning}" for code, meaning in EXIT_MEANING.items()), ""]
    out += [
        "## Settings",
        "",
        "In the environment, or in one YAML file (lower case, without the prefix); the environment wins.",
        "",
    ]
    out += ["| setting | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        shown = "" if value in (None, "") else f"`{value}`"
        out.append(f"| `VALUEAPI_{name.upper()}` | {shown} | {field.description or ''} |")
    return "\n".join(out) + "\n"
