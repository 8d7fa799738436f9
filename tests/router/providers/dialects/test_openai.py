import json
from typing import Any

import pytest

from router.errors import InvalidRequest
from router.providers.dialects import MalformedUpstream, NotOffered, wire
from router.providers.dialects import openai as dialect
from router.providers.edits import Policy, applied, apply
from router.providers.scan import DuplicateField, Scan, scan
from router.providers.usage import TOKENS_MAX, Usage
from router.surface import Dialect, Endpoint

CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS = Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.COMPLETIONS, Endpoint.EMBEDDINGS
POLICY = Policy("up-1", "u_9f")


def body(**fields: Any) -> Scan:
    return scan(json.dumps({"model": "gpt-x", **fields}).encode(), dialect.GOVERNED)


def edited(source: Scan, policy: Policy = POLICY, endpoint: Endpoint = CHAT) -> tuple[dict[str, Any], tuple[str, ...]]:
    edits = dialect.plan(endpoint, source, policy)
    return json.loads(apply(source, edits)), applied(edits)


def test_wire_finds_it() -> None:
    assert wire(Dialect.OPENAI).upstream_path(CHAT, "m") == "/chat/completions"
    assert dialect.auth_headers("k") == {"authorization": "Bearer k"}
    assert dialect.pass_headers({"anthropic-version": "2023-06-01", "user-agent": "x", "cookie": "c"}) == {}


def test_peek_reads_what_routing_needs() -> None:
    source = body(
        stream=True,
        max_tokens=5,
        max_completion_tokens=9,
        n=3,
        stream_options={"include_usage": True},
        provider={"zdr": True},
    )
    seen = dialect.peek(CHAT, source, {})
    assert (seen.model, seen.stream, seen.max_output_tokens, seen.include_usage, seen.n) == ("gpt-x", True, 9, True, 3)
    assert seen.provider == {"zdr": True} and not dialect.injects_usage(CHAT, seen)
    bare = dialect.peek(CHAT, body(stream=None), {})
    assert (bare.stream, bare.max_output_tokens, bare.include_usage, bare.provider, bare.n) == (
        False,
        None,
        False,
        None,
        1,
    )
    streaming = dialect.peek(CHAT, body(stream=True), {})
    assert dialect.injects_usage(CHAT, streaming) and not dialect.injects_usage(RESPONSES, streaming)


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        (CHAT, "max_output_tokens"),
        (COMPLETIONS, "max_completion_tokens"),
        (COMPLETIONS, "max_output_tokens"),
        (EMBEDDINGS, "max_tokens"),
        (RESPONSES, "max_tokens"),
        (RESPONSES, "max_completion_tokens"),
    ],
)
def test_a_limit_that_the_endpoint_does_not_honour_is_refused(endpoint: Endpoint, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dialect.peek(endpoint, body(**{name: 1}), {})
    assert (caught.value.param, caught.value.code, caught.value.status) == (name, "unknown_field", 400)
    assert dialect.peek(endpoint, body(**{name: None}), {}).max_output_tokens is None


@pytest.mark.parametrize(
    ("endpoint", "fields", "limit"),
    [
        (CHAT, {"max_tokens": 9, "max_completion_tokens": 5}, 9),
        (CHAT, {"max_completion_tokens": 5}, 5),
        (CHAT, {"max_completion_tokens": 5, "prediction": {"type": "content", "content": "x"}}, None),
        (COMPLETIONS, {"max_tokens": 5}, 5),
        (RESPONSES, {"max_output_tokens": 5}, 5),
    ],
)
def test_the_limit_that_counts(endpoint: Endpoint, fields: dict[str, Any], limit: int | None) -> None:
    assert dialect.peek(endpoint, body(**fields), {}).max_output_tokens == limit


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"stream": "true"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"max_output_tokens": 2**40}, "max_output_tokens"),
        ({"n": 0}, "n"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options"),
        ({"provider": "x"}, "provider"),
    ],
)
def test_wrong_types_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dialect.peek(CHAT, body(**fields), {})
    assert caught.value.param == param


def test_the_provider_field_is_read_strictly() -> None:
    source = scan(b'{"model":"m","provider":{"zdr":true,"\\u007adr":false}}', dialect.GOVERNED)
    with pytest.raises(DuplicateField):
        dialect.peek(CHAT, source, {})


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
@pytest.mark.parametrize("given", [{}, {"store": True}, {"store": None}])
def test_store_is_sent_as_false_unless_the_account_allows_it(endpoint: Endpoint, given: dict[str, Any]) -> None:
    sent, names = edited(body(**given), endpoint=endpoint)
    assert sent["store"] is False and "store" in names
    strict, _ = edited(body(**given), Policy("up-1", None, allow_store=True, zdr=True), endpoint)
    assert strict["store"] is False
    allowed, names = edited(body(**given), Policy("up-1", None, allow_store=True), endpoint)
    assert {k: v for k, v in allowed.items() if k == "store"} == given and "store" not in names


def test_store_elsewhere_only_where_named() -> None:
    assert "store" not in edited(body(), endpoint=EMBEDDINGS)[0]
    assert edited(body(store=True), endpoint=COMPLETIONS)[0]["store"] is False
    assert "store" not in edited(body(store=False))[1]


def test_metadata_goes_only_where_we_turned_store_off() -> None:
    assert "metadata" not in edited(body(metadata={"a": "b"}))[0]
    assert edited(body(metadata={"a": "b"}, store=False))[0]["metadata"] == {"a": "b"}
    assert edited(body(metadata={"a": "b"}), endpoint=RESPONSES)[0]["metadata"] == {"a": "b"}


def test_the_user_is_a_pseudonym_in_every_field_that_names_one() -> None:
    assert edited(body())[0]["user"] == "u_9f"
    sent, _ = edited(body(safety_identifier="ada@example.org"))
    assert sent["safety_identifier"] == "u_9f" and "user" not in sent
    sent, names = edited(body(user="ada", safety_identifier="ada"))
    assert sent["user"] == sent["safety_identifier"] == "u_9f" and names.count("user") == 1
    assert "user" not in edited(body(user="ada"), Policy("up-1", None))[0]


def test_cache_fields() -> None:
    given = {
        "prompt_cache_key": "ada",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit", "ttl": "12h"},
    }
    sent, _ = edited(body(**given))
    assert sent["prompt_cache_key"] == "u_9f" and sent["prompt_cache_retention"] == "24h"
    sent, names = edited(body(**given), Policy("up-1", "u_9f", zdr=True))
    assert (
        "prompt_cache_key" not in sent
        and "prompt_cache_retention" not in sent
        and sent["prompt_cache_options"] == {"mode": "explicit"}
    )
    assert {"cache-key", "cache-retention"} <= set(names)
    sent, _ = edited(
        body(prompt_cache_retention="in_memory", prompt_cache_options={"ttl": "12h"}), Policy("up-1", "u_9f", zdr=True)
    )
    assert sent["prompt_cache_retention"] == "in_memory" and "prompt_cache_options" not in sent


@pytest.mark.parametrize(
    ("given", "wanted", "sent"),
    [
        ({"max_completion_tokens": 5}, "max_tokens", {"max_tokens": 5}),
        ({"max_completion_tokens": 5, "max_tokens": None}, "max_tokens", {"max_tokens": 5}),
        ({"max_completion_tokens": 5, "max_tokens": 4}, "max_tokens", {"max_tokens": 4}),
        ({"max_tokens": 5}, "max_completion_tokens", {"max_completion_tokens": 5}),
        ({"max_tokens": 5}, "max_tokens", {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, None, {"max_completion_tokens": 5}),
    ],
)
def test_the_output_limit_goes_under_the_name_that_is_honoured(
    given: dict[str, Any], wanted: str | None, sent: dict[str, Any]
) -> None:
    out, names = edited(body(**given), Policy("up-1", None, output_limit=wanted))
    assert {name: value for name, value in out.items() if name.startswith("max_")} == sent
    assert ("output-limit" in names) is (given != sent)


def test_an_aggregator_gets_no_metadata() -> None:
    given = {"store": False, "metadata": {"a": "b"}}
    assert "metadata" in edited(body(**given))[0]
    assert "metadata" not in edited(body(**given), Policy("up-1", None, aggregator=True))[0]


def test_provider_is_removed_or_set_for_an_aggregator() -> None:
    assert "provider" not in edited(body(provider={"zdr": True}))[0]
    sent, names = edited(body(provider={"only": ["x"]}), Policy("up-1", None, upstream_provider={"zdr": True}))
    assert sent["provider"] == {"zdr": True} and "provider" in names


def test_include_usage_is_spliced_into_the_callers_options() -> None:
    policy = Policy("gpt-x", None, allow_store=True, include_usage_injected=True)
    data = b'{ "model":"gpt-x","stream_options" : { "include_obfuscation":false ,"include_usage": false}, "x":1.00}'
    source = scan(data, dialect.GOVERNED)
    assert apply(source, dialect.plan(CHAT, source, policy)) == data.replace(
        b'"include_usage": false', b'"include_usage": true'
    )
    for empty in ({}, {"stream_options": None}, {"stream_options": {}}):
        assert edited(body(**empty), policy)[0]["stream_options"] == {"include_usage": True}


def test_only_listed_edits_touch_the_bytes() -> None:
    data = (
        '{\n "temperature": 1.0E0, "model":"gpt-x" , "messages":[{"role":"user","content":"a\\u0062\u2028"}],'
        '"seed":12345678901234567890 }'
    ).encode()
    source = scan(data, dialect.GOVERNED)
    out = apply(source, dialect.plan(CHAT, source, POLICY))
    assert out == data.replace(b'"gpt-x"', b'"up-1"').replace(b"890 }", b'890,"store":false,"user":"u_9f" }')


REFUSED: list[tuple[Endpoint, dict[str, Any], str]] = [
    (RESPONSES, {"previous_response_id": "resp_1"}, "previous_response_id"),
    (RESPONSES, {"conversation": {"id": "c"}}, "conversation"),
    (RESPONSES, {"background": True}, "background"),
    (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "prompt"),
    (RESPONSES, {"container": "c_1"}, "container"),
    (RESPONSES, {"input": [{"type": "item_reference", "id": "i"}]}, "item_reference"),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "file_id"),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "file_id"),
    (
        RESPONSES,
        {"input": [{"type": "additional_tools", "tools": [{"type": "mcp", "server_url": "https://x"}]}]},
        "mcp",
    ),
    (RESPONSES, {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "vector_store_ids"),
    (RESPONSES, {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "code_interpreter"),
    (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "container_reference"}}]}, "container_reference"),
    (RESPONSES, {"tools": [{"type": "mcp", "server_url": "https://x"}]}, "mcp"),
    (RESPONSES, {"prompt_cache_options": {"comparison_response_id": "resp"}}, "comparison_response_id"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "file_id"),
    (CHAT, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, "audio.id"),
]


@pytest.mark.parametrize(("endpoint", "fields", "param"), REFUSED)
def test_provider_side_state_is_refused_by_name(endpoint: Endpoint, fields: dict[str, Any], param: str) -> None:
    for zdr in (False, True):
        with pytest.raises(NotOffered) as caught:
            dialect.refuse(endpoint, body(**fields), zdr=zdr)
        assert caught.value.status == 400 and caught.value.param == param
        assert param.rsplit(".", 1)[-1] in caught.value.code and param in caught.value.message


@pytest.mark.parametrize(
    "part",
    [
        '{"type":"file","file":{"file_id":"f","file_id":null}}',
        '{"type":"item_reference","type":"message"}',
        '{"file_id":null,"f\\u0069le_id":"f"}',
    ],
)
def test_a_reference_can_t_hide_behind_a_second_spelling(part: str) -> None:
    source = scan(f'{{"model":"m","messages":[{{"content":[{part}]}}]}}'.encode(), dialect.GOVERNED)
    with pytest.raises(InvalidRequest):
        dialect.refuse(CHAT, source, zdr=False)


def test_an_escaped_reference_is_seen() -> None:
    source = scan(b'{"model":"m","messages":[{"content":[{"f\\u0069le_id":"f"}]}]}', dialect.GOVERNED)
    with pytest.raises(NotOffered):
        dialect.refuse(CHAT, source, zdr=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:,x", "filename": "f"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": "file_id item_reference mcp"}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"properties": {"file_id": {"type": "string"}}}},
                }
            ]
        },
        {"tools": [{"type": "function", "parameters": {"type": "mcp", "file_id": "x"}}]},
        {"background": False, "previous_response_id": None, "file": {"file_id": None}, "n": 4, "service_tier": "auto"},
        {"audio": {"voice": "alloy", "format": "wav"}, "modalities": ["text", "audio"]},
    ],
)
def test_what_keeps_nothing_there_goes_through(fields: dict[str, Any]) -> None:
    dialect.refuse(CHAT, body(**fields), zdr=True)
    sent, _ = edited(body(**fields), Policy("up-1", None, zdr=True))
    assert {k: v for k, v in sent.items() if k in fields} == fields


def test_a_long_cache_mark_is_refused_under_zdr_alone() -> None:
    def marked(ttl: str) -> Scan:
        return body(
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": ttl}}
                    ],
                }
            ]
        )

    dialect.refuse(CHAT, marked("12h"), zdr=False)
    dialect.refuse(CHAT, marked("30m"), zdr=True)
    with pytest.raises(NotOffered) as caught:
        dialect.refuse(CHAT, marked("12h"), zdr=True)
    assert caught.value.param == "prompt_cache_breakpoint.ttl"


def test_an_hours_cache_for_an_aggregators_anthropic_models_is_refused() -> None:
    def marked(mark: dict[str, str]) -> Scan:
        return body(messages=[{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": mark}]}])

    dialect.refuse(CHAT, marked({"type": "ephemeral"}), zdr=False)
    dialect.refuse(CHAT, marked({"type": "ephemeral", "ttl": "5m"}), zdr=False)
    for source in (marked({"type": "ephemeral", "ttl": "1h"}), body(cache_control={"type": "ephemeral", "ttl": "1h"})):
        with pytest.raises(NotOffered) as caught:
            dialect.refuse(CHAT, source, zdr=False)
        assert caught.value.param == "cache_control.ttl"


def test_prompt_is_text_for_completions() -> None:
    dialect.refuse(COMPLETIONS, body(prompt="hello"), zdr=True)


def usage_of(endpoint: Endpoint, data: bytes) -> Usage | None:
    return dialect.read_json(endpoint, data)[0]


def answer(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


MESSAGE = [{"index": 0, "message": {"role": "assistant", "content": "h\u00e9llo"}}]


def test_usage_of_each_endpoint() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 6},
    }
    assert usage_of(CHAT, answer(choices=MESSAGE, usage=usage)) == Usage(10, 6, 4, estimated=False)
    assert usage_of(COMPLETIONS, answer(choices=[{"text": "x"}], usage=usage)) == Usage(10, 6, 4, estimated=False)
    assert usage_of(
        EMBEDDINGS, answer(data=[{"embedding": "AAA="}], usage={"prompt_tokens": 7, "total_tokens": 7})
    ) == Usage(7, 0, 0, estimated=False)
    reported = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3, "total_tokens": 12}
    assert usage_of(RESPONSES, answer(output=[], status="completed", error=None, usage=reported)) == Usage(
        9, 2, 3, estimated=False
    )
    hit = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 8, "prompt_tokens_details": None}
    assert usage_of(CHAT, answer(choices=MESSAGE, usage=hit)) == Usage(10, 8, 1, estimated=False)
    assert dialect.read_json(CHAT, answer(choices=MESSAGE, usage=None)) == (None, 6)
    written = usage | {"prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 3}}
    assert usage_of(CHAT, answer(choices=MESSAGE, usage=written)) == Usage(10, 6, 4, False, 3)
    too_many = usage | {"prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 30}}
    assert usage_of(CHAT, answer(choices=MESSAGE, usage=too_many)) == Usage(10, 6, 4, False, 4)
    reported["input_tokens_details"] = {"cached_tokens": 2, "cache_write_tokens": 5}
    assert usage_of(RESPONSES, answer(output=[], status="completed", usage=reported)) == (Usage(9, 2, 3, False, 5))


@pytest.mark.parametrize("bad", [1e30, -5, "12", True, 1.5, TOKENS_MAX + 1, [], None])
def test_hostile_usage_is_refused(bad: Any) -> None:
    with pytest.raises(MalformedUpstream):
        usage_of(CHAT, answer(choices=MESSAGE, usage={"prompt_tokens": bad, "completion_tokens": 1}))
    if bad is not None:
        for usage in (
            {"prompt_tokens": 1, "completion_tokens": bad},
            {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": bad}},
        ):
            with pytest.raises(MalformedUpstream):
                usage_of(CHAT, answer(choices=MESSAGE, usage=usage))


def test_more_cached_than_input_never_makes_a_charge_negative() -> None:
    usage = usage_of(
        CHAT, answer(choices=MESSAGE, usage={"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 9})
    )
    assert usage == Usage(1, 1, 1, estimated=False)


@pytest.mark.parametrize(
    ("endpoint", "data"),
    [
        (CHAT, b"<html>canary</html>"),
        (CHAT, b""),
        (CHAT, b"[]"),
        (CHAT, b"{}"),
        (CHAT, b'{"choices":[]}'),
        (CHAT, b'{"choices":{}}'),
        (CHAT, b'{"choices":[1]}'),
        (CHAT, b'{"choices":[{"text":"x"}]}'),
        (CHAT, b'{"error":{"message":"canary"}}'),
        (CHAT, b'{"choices":[{"message":{}}],"error":"canary"}'),
        (CHAT, b'{"choices":[{"message":{}}],"usage":"canary"}'),
        (CHAT, b"[" * 100000),
        (COMPLETIONS, b'{"choices":[{"message":{}}]}'),
        (EMBEDDINGS, b'{"data":[]}'),
        (RESPONSES, b'{"choices":[]}'),
        (RESPONSES, b'{"output":[],"status":"failed"}'),
        (RESPONSES, b'{"output":[],"status":"failed","error":{"message":"canary"}}'),
    ],
)
def test_a_200_that_is_not_the_dialects_is_refused_without_a_quote(endpoint: Endpoint, data: bytes) -> None:
    with pytest.raises(MalformedUpstream) as caught:
        usage_of(endpoint, data)
    assert caught.value.status == 502 and "canary" not in str(caught.value) and caught.value.__cause__ is None


def test_half_of_a_surrogate_pair_is_still_an_answer() -> None:
    usage, size = dialect.read_json(CHAT, b'{"choices":[{"message":{"content":"\\ud83d"}}]}')
    assert usage is None and size == 3
