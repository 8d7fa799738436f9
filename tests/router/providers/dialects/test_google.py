import json
from typing import Any

import pytest

from router.errors import InvalidRequest
from router.providers.dialects import MalformedUpstream, NotOffered
from router.providers.dialects import google as dialect
from router.providers.edits import Policy, applied, apply
from router.providers.scan import DuplicateField, Scan, scan
from router.providers.usage import Usage
from router.surface import Endpoint

GENERATE, STREAM, COUNT = Endpoint.GENERATE, Endpoint.STREAM_GENERATE, Endpoint.GOOGLE_COUNT_TOKENS
POLICY = Policy("gemini-up", "u_1")


def body(**fields: Any) -> Scan:
    return scan(json.dumps({"contents": [], **fields}).encode(), dialect.GOVERNED)


def said(*parts: Any) -> list[Any]:
    return [{"role": "user", "parts": list(parts)}]


def test_paths_and_headers() -> None:
    assert dialect.upstream_path(GENERATE, "gemini-x") == "/v1beta/models/gemini-x:generateContent"
    assert dialect.upstream_path(STREAM, "gemini-x") == "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
    assert (
        dialect.upstream_path(STREAM, "models/gemini-x", json_array=True)
        == "/v1beta/models/gemini-x:streamGenerateContent"
    )
    assert dialect.upstream_path(COUNT, "a/b?c") == "/v1beta/models/a%2Fb%3Fc:countTokens"
    assert dialect.auth_headers("k") == {"x-goog-api-key": "k"} and dialect.pass_headers({"cookie": "x"}) == {}


@pytest.mark.parametrize("value", [7, 7.0, "7"])
@pytest.mark.parametrize(
    ("config", "name"), [("generationConfig", "maxOutputTokens"), ("generation_config", "max_output_tokens")]
)
def test_peek_takes_what_protojson_takes(value: Any, config: str, name: str) -> None:
    seen = dialect.peek(STREAM, body(**{config: {name: value, "candidateCount": 2}}), {"model": "gemini-x"})
    assert (seen.model, seen.stream, seen.max_output_tokens, seen.n) == ("gemini-x", True, 7, 2)
    assert not dialect.peek(GENERATE, body(), {"model": "m"}).stream


@pytest.mark.parametrize(
    "config",
    [
        {"maxOutputTokens": -1},
        {"maxOutputTokens": 1e300},
        {"maxOutputTokens": "1e9"},
        {"maxOutputTokens": True},
        {"maxOutputTokens": 1, "max_output_tokens": 9},
        {"candidateCount": 0},
        "x",
    ],
)
def test_wrong_types_are_refused(config: Any) -> None:
    with pytest.raises(InvalidRequest):
        dialect.peek(GENERATE, body(generationConfig=config), {"model": "m"})


def test_edits() -> None:
    source = body(model="models/gemini-x", provider={}, store=True)
    edits = dialect.plan(GENERATE, source, POLICY)
    assert json.loads(apply(source, edits)) == {"contents": [], "store": False} and applied(edits) == (
        "provider",
        "model",
        "store",
    )
    for endpoint in (GENERATE, STREAM):
        assert json.loads(apply(body(), dialect.plan(endpoint, body(), POLICY))) == {"contents": [], "store": False}
    assert dialect.plan(GENERATE, body(), Policy("m", None, allow_store=True)) == []
    assert dialect.plan(COUNT, body(), POLICY) == []


def test_a_wrapped_request_names_the_providers_model_too() -> None:
    data = b'{ "generate_content_request" : { "model":"models/gemini-x", "contents":[ 1.0 ]} }'
    source = scan(data, dialect.GOVERNED)
    assert apply(source, dialect.plan(COUNT, source, POLICY)) == data.replace(b"gemini-x", b"gemini-up")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"cached_content": "cachedContents/1"}, "cached_content"),
        ({"generateContentRequest": {"cachedContent": "cachedContents/1"}}, "cachedContent"),
        ({"continuationToken": "t"}, "continuationToken"),
        ({"tools": [{"fileSearch": {"fileSearchStoreNames": ["s"]}}]}, "fileSearch"),
        ({"tools": [{"retrieval": {}}]}, "retrieval"),
        ({"tools": [{"mcp_servers": [{"url": "https://x"}]}]}, "mcp_servers"),
        (
            {"contents": said({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}})},
            "fileUri",
        ),
        (
            {
                "contents": said(
                    {"file_data": {"file_uri": "https://GENERATIVELANGUAGE.googleapis.com./v1beta/files/a"}}
                )
            },
            "file_uri",
        ),
        ({"contents": said({"fileData": {"fileUri": "files/a"}})}, "fileUri"),
        ({"contents": said({"fileData": {"fileUri": "gs://bucket/a"}})}, "fileUri"),
        ({"contents": said({"fileData": {"fileUri": "https://[bad"}})}, "fileUri"),
        (
            {
                "contents": said(
                    {"functionResponse": {"name": "f", "response": {}, "parts": [{"fileData": {"fileUri": "files/a"}}]}}
                )
            },
            "fileUri",
        ),
    ],
)
def test_provider_side_state_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(NotOffered) as caught:
        dialect.refuse(GENERATE, body(**fields), zdr=False)
    assert caught.value.param == param and caught.value.status == 400


def test_two_spellings_of_one_field_are_refused() -> None:
    both = {"fileData": {"fileUri": "https://x/a"}, "file_data": {"fileUri": "https://x/b"}}
    with pytest.raises(InvalidRequest) as caught:
        dialect.refuse(GENERATE, body(contents=said(both)), zdr=False)
    assert caught.value.code == "duplicate_field"
    with pytest.raises(DuplicateField):
        scan(b'{"generationConfig":{},"generation_config":{}}', dialect.GOVERNED)


def test_the_web_and_a_functions_data_go_through() -> None:
    fields = {
        "contents": said(
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}},
            {"functionCall": {"name": "f", "args": {"cachedContent": "x", "fileUri": "files/a"}}},
            {"functionResponse": {"name": "f", "response": {"fileUri": "files/a"}}},
        ),
        "tools": [
            {"functionDeclarations": [{"name": "f", "parameters": {"properties": {"retrieval": {}}}}]},
        ],
        "cachedContent": None,
    }
    dialect.refuse(GENERATE, body(**fields), zdr=True)


CANDIDATES = [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]


def usage_of(endpoint: Endpoint, data: bytes) -> Usage | None:
    return dialect.read_json(endpoint, data)[0]


def answer(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_thoughts_are_output_and_cached_is_part_of_the_prompt() -> None:
    usage = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7,
        "toolUsePromptTokenCount": 2,
    }
    assert usage_of(GENERATE, answer(candidates=CANDIDATES, usageMetadata=usage)) == Usage(12, 4, 12, estimated=False)
    assert dialect.read_json(GENERATE, answer(candidates=CANDIDATES)) == (None, 2)
    blocked = answer(promptFeedback={"blockReason": "SAFETY"}, usageMetadata={"promptTokenCount": 3})
    assert usage_of(GENERATE, blocked) == Usage(3, 0, 0, estimated=False)
    assert usage_of(COUNT, b'{"totalTokens":3}') == Usage(0, 0, 0, estimated=False)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"candidates":[]}',
        b'{"promptFeedback":{}}',
        b'{"error":{"code":500,"message":"canary"}}',
        b'{"candidates":[{}],"usageMetadata":{"promptTokenCount":-5}}',
        b'{"candidates":"canary"}',
    ],
)
def test_a_200_that_is_not_the_dialects_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedUpstream) as caught:
        usage_of(GENERATE, data)
    assert "canary" not in str(caught.value)
    with pytest.raises(MalformedUpstream):
        usage_of(COUNT, data)
