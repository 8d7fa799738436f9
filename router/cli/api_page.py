"""`docs/api.md`, generated from the public names: surface, edits, constraints, the OpenAPI document, commands and settings."""

from collections.abc import Iterable, Iterator
from typing import Any

from router.cli import api_page_commands, api_page_json
from router.providers.constraints import FIELDS, header
from router.providers.dialects import aggregated
from router.providers.dialects.anthropic import BETAS
from router.providers.edits import EDITS
from router.settings import Settings
from router.surface import (
    DOCUMENTS,
    ENDPOINT_DIALECT,
    EXIT_MEANING,
    GATEWAY_PATHS,
    GOOGLE_MODELS_PATH,
    HEADER_MEANING,
    MODELS_PATH,
    NOT_OFFERED,
    Path,
    Portal,
    Service,
    Transparency,
    paths,
)
from router.web.app import create_routes


def markdown(command: Any) -> str:
    """The whole page; `command` is the root of the command line."""
    out = [
        "# API, command line and settings",
        "",
        "Generated from the program's own names (`make docs`); CI fails when it is stale.",
        "",
        "## Gateway",
        "",
    ]
    out += ["| path | what | dialect |", "|---|---|---|"]
    for endpoint, path in GATEWAY_PATHS.items():
        out += [f"{row} {ENDPOINT_DIALECT[endpoint]} |" for row in _rows([path])]
    out += [f"{row} all |" for row in _rows([MODELS_PATH])] + [f"{row} google |" for row in _rows([GOOGLE_MODELS_PATH])]
    out += [
        "",
        "The key goes into `Authorization: Bearer`, `x-api-key` or `x-goog-api-key` on any of them, never into the URL.",
        "",
    ]
    out += ["### Not offered", "", "These keep content at the provider, so they answer 404 with the reason:", ""]
    out += [f"- `{prefix}`: {why}" for prefix, why in NOT_OFFERED.items()]
    out += ["", "### Which providers may see the data", ""]
    out += [
        "A request's `provider` object takes these fields; clients that can't add one send the header instead. A list in a",
        "body may be one name as text; in a header, names are separated by commas. null or absent is no constraint.",
        "Account, key and request are merged, the strictest wins; an unknown field is refused.",
        "",
        "| field | header | value | meaning |",
        "|---|---|---|---|",
        *(f"| `{name}` | `{header(name)}` | {field.kind} | {field.meaning} |" for name, field in FIELDS.items()),
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
        "### What an aggregator is sent",
        "",
        "Where an aggregator such as OpenRouter would serve it, a request with any other top-level field is refused: its own",
        "choose other models, plugins and further parties, which no constraint binds. These pass:",
        ", ".join(f"`{name}`" for name in aggregated.FIELDS) + ".",
        "Messages may hold text and images, and tools be functions or custom ones.",
        "",
        "### What is set aside",
        "",
        "Before a request is sent, the most that it can cost is set aside, and what it did cost is charged in its place. Input",
        "counts as one token a byte and 1,024 more, at most the model's context window; the whole window where it holds an image,",
        "a document, audio, video, a provider's own tool or anything else that isn't known to be text. Output counts as the",
        "limit in the request: `max_completion_tokens` or `max_tokens` of a chat (the larger of both), `max_tokens` of a text",
        "completion or a message, `max_output_tokens` of a response, `generationConfig.maxOutputTokens`; without one, the model's",
        "own. On the OpenAI wire a limit of another endpoint is refused.",
        "",
        "### Headers",
        "",
        *(f"- `{name}`: {meaning}" for name, meaning in HEADER_MEANING.items()),
        "",
        "## Account API",
        "",
        "JSON in and out. A session's token goes into `Authorization: Bearer`; API keys aren't taken here. Every error is",
        "`application/problem+json` (RFC 9457), the object `Problem` below.",
        "",
        *api_page_json.lines(create_routes().openapi()),
        "## Portal",
        "",
        "| path | what |",
        "|---|---|",
        *_rows(paths(Portal)),
        "",
        "## Service",
        "",
        "| path | what |",
        "|---|---|",
        *_rows(paths(Service)),
        "",
        "## Policies and terms",
        "",
        "For people, and without a key. A series that has no version in force yet answers 404.",
        "",
        "| path | what |",
        "|---|---|",
        *(row for pages in DOCUMENTS.values() for row in _rows(paths(pages))),
        "",
        "## Transparency log",
        "",
        "| path | what |",
        "|---|---|",
        *_rows(paths(Transparency)),
        "",
        "## Commands",
        "",
        *api_page_commands.lines(command),
    ]
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


def _rows(listed: Iterable[Path]) -> Iterator[str]:
    for path in listed:
        yield from (f"| `{method} {path}` | {meaning} |" for method, meaning in path.meaning.items())
