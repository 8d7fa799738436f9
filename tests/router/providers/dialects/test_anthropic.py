import json
from typing import Any

import pytest

from router.errors import InvalidRequest
from router.providers.dialects import MalformedUpstream, NotOffered
from router.providers.dialects import anthropic as dialect
from router.providers.edits import Policy, applied, apply
from router.providers.scan import Scan, scan
from router.providers.usage import Usage
from router.surface import Endpoint

MESSAGES, COUNT = Endpoint.MESSAGES, Endpoint.COUNT_TOKENS


def body(**fields: Any) -> Scan:
    return scan(json.dumps({"model": "claude-x", "max_tokens": 10, **fields}).encode(), dialect.GOVERNED)


def said(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


def test_paths_and_headers() -> None:
    assert dialect.upstream_path(MESSAGES, "m") == "/v1/messages"
    assert dialect.upstream_path(COUNT, "m") == "/v1/messages/count_tokens"
    assert dialect.auth_headers("k") == {"x-api-key": "k"}
    assert dialect.pass_headers({}) == {"anthropic-version": "2023-06-01"}
    assert dialect.pass_headers({"anthropic-version": "2026-10-21", "user-agent": "x"}) == {
        "anthropic-version": "2026-10-21"
    }
    with pytest.raises(InvalidRequest):
        dialect.pass_headers({"anthropic-version": "canary\r\nx: y"})


def test_betas_on_the_published_list_go_on() -> None:
    asked = "interleaved-thinking-2025-05-14, context-1m-2025-08-07,,"
    assert dialect.pass_headers({"anthropic-beta": asked})["anthropic-beta"] == (
        "interleaved-thinking-2025-05-14,context-1m-2025-08-07"
    )
    assert "anthropic-beta" not in dialect.pass_headers({"anthropic-beta": " "})


@pytest.mark.parametrize(
    "beta",
    ["files-api-2025-04-14", "mcp-client-2025-04-04", "skills-2025-10-02", "extended-cache-ttl-2025-04-11", "unknown-1",
     "code-execution-2025-05-22", "fast-mode-2026-02-01"],
)  # fmt: skip
def test_any_other_beta_is_refused_by_name(beta: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dialect.pass_headers({"anthropic-beta": f"interleaved-thinking-2025-05-14,{beta}"})
    assert f"'{beta}'" in caught.value.message and caught.value.code == "beta_not_offered"
    assert (caught.value.status, caught.value.param) == (400, "anthropic-beta")


@pytest.mark.parametrize("beta", ["context-1m-\x00canary", "Canary", "canary@example.org", "canary" * 20])
def test_what_is_no_betas_name_is_refused_unquoted(beta: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dialect.pass_headers({"anthropic-beta": beta})
    assert "canary" not in caught.value.message.lower()


def test_peek() -> None:
    seen = dialect.peek(MESSAGES, body(stream=True), {})
    assert (seen.model, seen.stream, seen.max_output_tokens, seen.n) == ("claude-x", True, 10, 1)
    assert not dialect.injects_usage(MESSAGES, seen)
    for fields in ({"max_tokens": -1}, {"stream": "yes"}, {"model": ["x"]}):
        with pytest.raises(InvalidRequest) as caught:
            dialect.peek(MESSAGES, body(**fields), {})
        assert caught.value.param in fields


def test_edits() -> None:
    source = body(metadata={"user_id": "ada", "extra": 1}, provider={"zdr": True}, stop_sequences=["x"])
    edits = dialect.plan(MESSAGES, source, Policy("claude-up", "u_1"))
    assert json.loads(apply(source, edits)) == {
        "model": "claude-up",
        "max_tokens": 10,
        "metadata": {"user_id": "u_1"},
        "stop_sequences": ["x"],
    }
    assert applied(edits) == ("provider", "model", "user")
    bare = body()
    assert json.loads(apply(bare, dialect.plan(MESSAGES, bare, Policy("claude-x", "u_1"))))["metadata"] == {
        "user_id": "u_1"
    }
    assert "metadata" not in json.loads(apply(source, dialect.plan(MESSAGES, source, Policy("claude-x", None))))
    assert "metadata" not in json.loads(apply(source, dialect.plan(COUNT, source, Policy("claude-x", "u_1"))))
    assert dialect.plan(COUNT, bare, Policy("claude-x", "u_1")) == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"container": "c_1"}, "container"),
        ({"diagnostics": {"previous_message_id": "msg"}}, "diagnostics"),
        ({"user_profile_id": "p"}, "user_profile_id"),
        ({"mcp_servers": [{"type": "url", "url": "https://x"}]}, "mcp_servers"),
        ({"messages": said({"type": "document", "source": {"type": "file", "file_id": "f"}})}, "source.type"),
        ({"messages": said({"type": "image", "source": {"type": "file"}})}, "source.type"),
        ({"messages": said({"type": "container_upload", "file_id": "f"})}, "file_id"),
        (
            {
                "messages": said(
                    {
                        "type": "tool_result",
                        "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}],
                    }
                )
            },
            "source.type",
        ),
        ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, "code_execution"),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, "mcp_toolset"),
    ],
)
def test_provider_side_state_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(NotOffered) as caught:
        dialect.refuse(MESSAGES, body(**fields), zdr=False)
    assert caught.value.param == param and caught.value.status == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        {"tools": [{"name": "t", "input_schema": {}, "cache_control": {"type": "ephemeral", "ttl": "24h"}}]},
        {
            "messages": said(
                {"type": "tool_result", "content": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}]}
            )
        },
    ],
)
def test_a_long_cache_is_refused_at_any_depth(fields: dict[str, Any]) -> None:
    """It costs twice the input, and under zero data retention it would be retention as well."""
    for zdr in (False, True):
        with pytest.raises(NotOffered) as caught:
            dialect.refuse(MESSAGES, body(**fields), zdr=zdr)
        assert caught.value.param == "cache_control.ttl" and caught.value.status == 400
    short = json.loads(json.dumps(fields).replace("1h", "5m").replace("24h", "5m"))
    dialect.refuse(MESSAGES, body(**short), zdr=True)


def test_a_long_cache_can_t_hide_behind_a_second_name() -> None:
    data = b'{"model":"m","system":[{"cache_control":{"ttl":"1h","ttl":"5m"}}]}'
    with pytest.raises(InvalidRequest):
        dialect.refuse(MESSAGES, scan(data, dialect.GOVERNED), zdr=True)


def test_a_tools_arguments_and_schemas_are_data() -> None:
    source = body(
        tools=[
            {"name": "t", "input_schema": {"properties": {"file_id": {"type": "string"}, "source": {"type": "file"}}}}
        ],
        messages=said(
            {
                "type": "tool_use",
                "id": "1",
                "name": "t",
                "input": {"file_id": "f", "source": {"type": "file"}, "cache_control": {"ttl": "1h"}},
            },
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        ),
        container=None,
        mcp_servers=[],
    )
    dialect.refuse(MESSAGES, source, zdr=True)


def usage_of(endpoint: Endpoint, data: bytes) -> Usage | None:
    return dialect.read_json(endpoint, data)[0]


def message(**fields: Any) -> bytes:
    return json.dumps({"type": "message", "content": [{"type": "text", "text": "hi"}], **fields}).encode()


def test_total_input_holds_cache_reads_and_writes() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 100, "output_tokens": 7}
    assert usage_of(MESSAGES, message(usage=usage)) == Usage(123, 20, 7, False, 100)
    nulls = {"input_tokens": 3, "cache_read_input_tokens": None, "output_tokens": 7}
    assert usage_of(MESSAGES, message(usage=nulls)) == Usage(3, 0, 7, estimated=False)
    tools = [{"type": "tool_use", "input": {"a": "text"}}, {"type": "text", "text": "hi"}]
    assert dialect.read_json(MESSAGES, message(content=tools)) == (None, len('{"a":"text"}') + 2)


def test_counting_is_free_and_checked() -> None:
    assert usage_of(COUNT, b'{"input_tokens":9}') == Usage(0, 0, 0, estimated=False)
    with pytest.raises(MalformedUpstream):
        usage_of(COUNT, b'{"input_tokens":"9"}')


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"{}",
        b'{"type":"error","error":{"message":"canary"}}',
        b'{"type":"completion","content":[]}',
        b'{"type":"message"}',
        b'{"type":"message","content":[],"usage":{"output_tokens":1}}',
        b'{"type":"message","content":[],"usage":{"input_tokens":1e30}}',
        b'{"type":"message","content":[],"usage":{"input_tokens":99999999,"cache_read_input_tokens":99999999}}',
    ],
)
def test_a_200_that_is_not_a_message_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedUpstream) as caught:
        usage_of(MESSAGES, data)
    assert "canary" not in str(caught.value)
