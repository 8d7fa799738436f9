"""Fields that cost at another price than this router's, or hand content to a further party, aren't offered."""

import json
from typing import Any

import pytest

from router.errors import InvalidRequest
from router.providers.dialects import NotOffered, wire
from router.providers.scan import scan
from router.surface import Dialect, Endpoint

CHAT, RESPONSES, MESSAGES, GENERATE = Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.GENERATE


def refuse(dialect: Dialect, endpoint: Endpoint, fields: dict[str, Any]) -> None:
    spoken = wire(dialect)
    spoken.refuse(endpoint, scan(json.dumps(fields).encode(), spoken.GOVERNED), zdr=False)


@pytest.mark.parametrize(
    ("dialect", "endpoint", "fields"),
    [
        (Dialect.OPENAI, CHAT, {"service_tier": "priority"}),
        (Dialect.OPENAI, CHAT, {"web_search_options": {}}),
        (Dialect.OPENAI, RESPONSES, {"tools": [{"type": "web_search"}]}),
        (Dialect.OPENAI, RESPONSES, {"tools": [{"type": "web_search_preview_2025_03_11"}]}),
        (Dialect.OPENAI, RESPONSES, {"tools": [{"type": "image_generation"}]}),
        (Dialect.ANTHROPIC, MESSAGES, {"service_tier": "priority"}),
        (Dialect.ANTHROPIC, MESSAGES, {"speed": "fast"}),
        (Dialect.ANTHROPIC, MESSAGES, {"inference_geo": "us"}),
        (Dialect.ANTHROPIC, MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        (Dialect.ANTHROPIC, MESSAGES, {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
        (Dialect.ANTHROPIC, MESSAGES, {"context_management": {"edits": [{"type": "compact_20260112"}]}}),
        (Dialect.ANTHROPIC, MESSAGES, {"tools": [{"type": "advisor_20260301", "name": "advisor"}]}),
        (Dialect.GOOGLE, GENERATE, {"tools": [{"googleSearch": {}}]}),
        (Dialect.GOOGLE, GENERATE, {"tools": [{"google_search": {}}]}),
        (Dialect.GOOGLE, GENERATE, {"tools": [{"urlContext": {}}]}),
        (Dialect.GOOGLE, GENERATE, {"tools": [{"googleMaps": {}}]}),
        (Dialect.GOOGLE, GENERATE, {"tools": [{"exaAiSearch": {}}]}),
        (Dialect.GOOGLE, GENERATE, {"tools": [{"parallel_ai_search": {}}]}),
        (Dialect.GOOGLE, GENERATE, {"serviceTier": "priority"}),
        (Dialect.GOOGLE, GENERATE, {"service_tier": "FLEX"}),
        (Dialect.GOOGLE, GENERATE, {"serviceTier": 3}),  # ProtoJSON takes an enum's number too
    ],
)
def test_refused(dialect: Dialect, endpoint: Endpoint, fields: dict[str, Any]) -> None:
    with pytest.raises(NotOffered):
        refuse(dialect, endpoint, fields)


@pytest.mark.parametrize(
    ("dialect", "endpoint", "fields"),
    [
        (Dialect.OPENAI, CHAT, {"service_tier": "default"}),
        (Dialect.OPENAI, RESPONSES, {"input": [{"type": "web_search_call", "id": "ws_1"}]}),
        (Dialect.ANTHROPIC, MESSAGES, {"service_tier": "standard_only", "speed": "standard"}),
        (Dialect.ANTHROPIC, MESSAGES, {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}),
        (Dialect.ANTHROPIC, MESSAGES, {"messages": [{"role": "user", "content": "web_search_2 google_search"}]}),
        (Dialect.GOOGLE, GENERATE, {"contents": [{"parts": [{"text": "googleSearch"}]}]}),
        (Dialect.GOOGLE, GENERATE, {"serviceTier": "standard"}),
        (Dialect.GOOGLE, GENERATE, {"service_tier": "STANDARD"}),
        (Dialect.GOOGLE, GENERATE, {"serviceTier": None}),
    ],
)
def test_let_through(dialect: Dialect, endpoint: Endpoint, fields: dict[str, Any]) -> None:
    refuse(dialect, endpoint, fields)


SCHEMA = {"type": "object", "properties": {"strict": {"type": "boolean"}}}
FORMAT = {"type": "json_schema", "name": "x", "schema": SCHEMA}
STRICT = {"name": "f", "strict": True, "parameters": SCHEMA}
LOOSE = {"type": "function", "name": "f", "parameters": SCHEMA}


@pytest.mark.parametrize(
    ("dialect", "endpoint", "fields"),
    [
        (Dialect.OPENAI, CHAT, {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}),
        (Dialect.OPENAI, CHAT, {"tools": [{"type": "function", "function": STRICT}]}),
        (Dialect.OPENAI, RESPONSES, {"text": {"format": FORMAT}}),
        (Dialect.OPENAI, RESPONSES, {"tools": [{**LOOSE, "strict": True}]}),
        (Dialect.OPENAI, RESPONSES, {"tools": [LOOSE]}),  # strict unless told otherwise there
        (Dialect.OPENAI, RESPONSES, {"tools": [{**LOOSE, "strict": None}]}),
        (Dialect.ANTHROPIC, MESSAGES, {"output_config": {"format": FORMAT}}),
        (Dialect.ANTHROPIC, MESSAGES, {"output_format": FORMAT}),
        (Dialect.ANTHROPIC, MESSAGES, {"tools": [{"name": "f", "strict": True, "input_schema": SCHEMA}]}),
    ],
)
def test_a_schema_is_kept_and_so_refused_under_zero_data_retention(
    dialect: Dialect, endpoint: Endpoint, fields: dict[str, Any]
) -> None:
    spoken = wire(dialect)
    scanned = scan(json.dumps(fields).encode(), spoken.GOVERNED)
    spoken.refuse(endpoint, scanned, zdr=False)
    with pytest.raises(NotOffered, match="retention"):
        spoken.refuse(endpoint, scanned, zdr=True)


JSON_FORMAT = '{"type": "json_schema", "schema": {}}'


@pytest.mark.parametrize(
    ("dialect", "endpoint", "body"),
    [
        (Dialect.OPENAI, CHAT, f'{{"response_format": {JSON_FORMAT}, "response_format": {{"type": "text"}}}}'),
        (Dialect.OPENAI, RESPONSES, f'{{"text": {{"format": {JSON_FORMAT}}}, "text": {{}}}}'),
        (Dialect.OPENAI, RESPONSES, f'{{"text": {{"format": {JSON_FORMAT}, "format": {{}}}}}}'),
        (
            Dialect.OPENAI,
            CHAT,
            '{"tools": [{"type": "function", "function": {"name": "f", "strict": true}, "function": {"name": "f"}}]}',
        ),
        (Dialect.ANTHROPIC, MESSAGES, f'{{"output_format": {JSON_FORMAT}, "output_format": null}}'),
        (Dialect.ANTHROPIC, MESSAGES, f'{{"output_config": {{"format": {JSON_FORMAT}, "format": null}}}}'),
        (
            Dialect.ANTHROPIC,
            MESSAGES,
            '{"context_management": {"edits": [{"type": "compact_20260112"}]}, "context_management": {}}',
        ),
        (
            Dialect.ANTHROPIC,
            MESSAGES,
            '{"context_management": {"edits": [{"type": "compact_20260112"}], "edits": []}}',
        ),
    ],
)
def test_a_parent_that_is_named_twice_hides_nothing(dialect: Dialect, endpoint: Endpoint, body: str) -> None:
    spoken = wire(dialect)
    with pytest.raises(InvalidRequest, match=r"twice|more than once"):
        spoken.refuse(endpoint, scan(body.encode(), spoken.GOVERNED), zdr=True)


@pytest.mark.parametrize(
    ("dialect", "endpoint", "fields"),
    [
        (Dialect.OPENAI, CHAT, {"response_format": {"type": "json_object"}}),
        (Dialect.OPENAI, CHAT, {"tools": [LOOSE | {"function": {"name": "f", "parameters": SCHEMA}}]}),
        (Dialect.OPENAI, RESPONSES, {"tools": [{**LOOSE, "strict": False}]}),
        (Dialect.ANTHROPIC, MESSAGES, {"tools": [{"name": "f", "input_schema": SCHEMA}]}),
    ],
)
def test_what_is_not_compiled_is_not_kept(dialect: Dialect, endpoint: Endpoint, fields: dict[str, Any]) -> None:
    spoken = wire(dialect)
    spoken.refuse(endpoint, scan(json.dumps(fields).encode(), spoken.GOVERNED), zdr=True)
