"""An aggregator is sent what is on the list; anything else is refused by its name."""

import json
from typing import Any

import pytest

from router.providers.dialects import NotOffered, aggregated, openai
from router.providers.scan import scan


def refuse(**fields: Any) -> None:
    aggregated.refuse(scan(json.dumps({"model": "m", **fields}).encode(), openai.GOVERNED))


def said(part: dict[str, Any]) -> list[Any]:
    return [{"role": "user", "content": [part]}]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"models": ["a/b", "c/d"]}, "models"),
        ({"route": "fallback"}, "route"),
        ({"preset": "x"}, "preset"),
        ({"transforms": ["middle-out"]}, "transforms"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"trace": {"trace_id": "x"}}, "trace"),
        ({"session_id": "x"}, "session_id"),
        ({"debug": {"echo_upstream_body": True}}, "debug"),
        ({"modalities": ["image"]}, "modalities"),
        ({"Plugins": []}, "Plugins"),
        ({"a field of tomorrow": 1}, "field"),  # not a name: it could be content
        ({"tools": [{"type": "openrouter:web_search"}]}, "openrouter:web_search"),
        ({"messages": said({"type": "file", "file": {"file_data": "data:application/pdf;base64,A"}})}, "file"),
        ({"messages": said({"file": {"file_data": "data:application/pdf;base64,A"}})}, "file"),
        ({"messages": said({"type": "video_url", "video_url": {"url": "https://x"}})}, "video_url"),
    ],
)
def test_refused_by_name(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(NotOffered) as caught:
        refuse(**fields)
    assert caught.value.param == name and name in caught.value.message
    # At another spelling of its letters too.
    data = json.dumps({"model": "m", **fields}).encode()
    with pytest.raises(NotOffered):
        aggregated.refuse(
            scan(data.replace(b'"' + name.encode(), b'"\\u%04x' % ord(name[0]) + name[1:].encode()), openai.GOVERNED)
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": "plugins file"}], "temperature": 1, "reasoning": {"effort": "low"}},
        {"messages": said({"type": "image_url", "image_url": {"url": "https://x/y.png"}})},
        {"messages": [{"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.encrypted"}]}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "file": 1}}}]},
        {"plugins": None},
    ],
)
def test_let_through(fields: dict[str, Any]) -> None:
    refuse(**fields)
