import json

import pytest
from anthropic.types import Message
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from router.providers.dialects.base import MalformedUpstream
from router.providers.translation import Untranslatable
from router.surface import Dialect, Endpoint
from tests.router.providers.translation.samples import ask, data, raw, run, to_openai, translation

PARAMS = TypeAdapter(CompletionCreateParamsNonStreaming)
BODY: dict[str, object] = {"model": "shown/model", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
TOOL: dict[str, object] = {"name": "weather", "description": "d", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}}
USER = {"role": "user", "content": "Hi"}


def sent(**change: object) -> dict[str, object]:
    value = ask(to_openai(), {**BODY, **change})
    PARAMS.validate_python(value)
    return value


def test_there_is_no_translation_within_a_dialect_nor_for_others() -> None:
    assert to_openai().upstream_endpoint is Endpoint.CHAT
    for client, upstream in ((Dialect.GOOGLE, Dialect.OPENAI), (Dialect.OPENAI, Dialect.OPENAI)):
        with pytest.raises(AssertionError):
            translation(client, upstream)


def test_the_plainest_request() -> None:
    plain = {
        "model": "upstream-model",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 9,
        "store": False,
        "user": "va-1",
    }
    assert sent() == plain
    assert ask(to_openai(stream=True), BODY) == {**plain, "stream": True, "stream_options": {"include_usage": True}}
    assert "user" not in ask(to_openai(), BODY, user=None)


def test_what_asks_for_nothing_and_what_is_dropped_change_nothing() -> None:
    assert sent() == sent(
        provider={"zdr": True},
        metadata={"user_id": "canary"},
        cache_control={"type": "ephemeral"},
        thinking={"type": "adaptive", "display": "omitted"},
        speed="standard",
        service_tier="auto",
        top_k=None,
        tools=[],
        tool_choice={"type": "auto"},
        stream=False,
        system=[{"type": "text", "text": ""}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": ""},
        ],
    )


def test_messages() -> None:
    image = {"type": "base64", "media_type": "image/png", "data": "AA=="}
    value = sent(
        system=[{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image", "source": image}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "secret", "signature": "x"},
                    {"type": "text", "text": "Let me see.", "citations": None},
                    {**USE, "caller": {"type": "direct"}},
                    {**USE, "id": "toolu_2"},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "is_error": True,
                        "content": [{"type": "text", "text": "down"}],
                    },
                    {"type": "text", "text": "So?"},
                ],
            },
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a/b"}}]},
            {"role": "system", "content": "Later"},
        ],
    )
    assert "secret" not in str(value)
    call = {"type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
    assert value["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "toolu_1", **call}, {"id": "toolu_2", **call}],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: down"},
        {"role": "user", "content": "So?"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]},
        {"role": "system", "content": "Later"},
    ]


def test_empty_tool_results() -> None:
    for extra, content in (({}, ""), ({"is_error": True}, "Error:")):
        result = {"type": "tool_result", "tool_use_id": "toolu_1", **extra}
        assert sent(messages=[{"role": "user", "content": [result]}])["messages"] == [
            {"role": "tool", "tool_call_id": "toolu_1", "content": content}
        ]


def test_settings() -> None:
    value = sent(
        temperature=0.5,
        top_p=0.9,
        stop_sequences=["x"],
        service_tier="standard_only",
        tools=[{**TOOL, "type": "custom", "strict": True, "eager_input_streaming": True, "cache_control": None}],
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    )
    keep = ("temperature", "top_p", "stop", "service_tier", "reasoning_effort", "response_format", "tools")
    assert {name: value[name] for name in keep} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["x"],
        "service_tier": "default",
        "reasoning_effort": "max",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}, "strict": True},
            }
        ],
    }


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, "auto", None),
        ({"type": "any", "disable_parallel_tool_use": True}, "required", False),
        ({"type": "none"}, "none", None),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}, None),
    ],
)
def test_tool_choice(choice: object, expected: object, parallel: object) -> None:
    value = sent(tools=[TOOL], tool_choice=choice)
    assert (value["tool_choice"], value.get("parallel_tool_calls")) == (expected, parallel)


def content(*blocks: object, role: str = "user") -> dict[str, object]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_k": 5}, "top_k"),
        ({"temperature": 1.5}, "temperature"),
        ({"stop_sequences": list("abcde")}, "stop_sequences"),
        ({"service_tier": "batch"}, "service_tier"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, "thinking.display"),
        ({"output_config": {"effort": "extreme"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"task_budget": 5}}, "output_config.task_budget"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"context_management": {}}, "context_management"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"speed": "fast"}, "speed"),
        ({"unknown_thing": 1}, "unknown_thing"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{**TOOL, "allowed_callers": ["code_execution_20250825"]}]}, "tools[0].allowed_callers"),
        ({"tools": [{**TOOL, "input_examples": [{}]}]}, "tools[0].input_examples"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}, "tools": [TOOL]}, "tool_choice"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{**USER, "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [USER, {"role": "assistant", "content": "The answer is ("}]}, "messages[1]"),
        (content(), "messages[0].content"),
        (content(role="assistant"), "messages[0].content"),
        (content({"type": "document", "source": {}}), "messages[0].content[0].type"),
        (content({"type": "text", "text": "x", "citations": [{}]}), "messages[0].content[0].citations"),
        (content({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages[0].content[0].source.type"),
        (
            content({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {}}]}),
            "messages[0].content[0].content[0].type",
        ),
        (
            content({"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "t"}),
            "messages[0].content[1]",
        ),
        (content({"type": "server_tool_use"}, role="assistant"), "messages[0].content[0].type"),
        (content({**USE, "caller": {"type": "code_execution"}}, role="assistant"), "messages[0].content[0].caller"),
    ],
)
def test_refusals_name_the_field(change: dict[str, object], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        sent(**change)
    assert caught.value.param == param


def test_a_number_beyond_json_in_a_tool_input_is_the_callers_fault() -> None:
    body = raw({**BODY, "messages": [{"role": "assistant", "content": [{**USE, "input": {"n": 5.5}}]}]})
    with pytest.raises(Untranslatable):
        to_openai().request(
            body.replace(b"5.5", b"1e999"), upstream_model="m", upstream_user=None, default_max_tokens=1
        )


def answer(finish: object = "stop", usage: object = None, **message: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return raw({"id": "c1", "object": "chat.completion", "choices": [choice], "usage": usage})


def test_the_answer() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    usage = {
        "prompt_tokens": 45,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    body = answer("tool_calls", usage, content="Hello", reasoning_content="secret", tool_calls=[call])
    out = to_openai().response(body)
    assert b"secret" not in out
    message = Message.model_validate_json(out, strict=True)
    assert (message.id, message.model, message.stop_reason) == ("msg_c1", "shown/model", "tool_use")
    text, use = message.content
    assert text.type == "text"
    assert text.text == "Hello"
    assert use.type == "tool_use"
    assert (use.id, use.input) == ("call_1", {"city": "Paris"})
    counted = message.usage
    assert (counted.input_tokens, counted.cache_read_input_tokens, counted.cache_creation_input_tokens) == (10, 30, 5)
    assert counted.output_tokens == 20
    assert counted.output_tokens_details is not None
    assert counted.output_tokens_details.thinking_tokens == 7


@pytest.mark.parametrize(
    ("finish", "message", "stop"),
    [
        ("stop", {"content": "x"}, "end_turn"),
        ("length", {"content": "x"}, "max_tokens"),
        ("content_filter", {"content": ""}, "refusal"),
        ("stop", {"content": None, "refusal": "No."}, "refusal"),
        ("stop", {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": ""}}]}, "tool_use"),
    ],
)
def test_stop_reasons(finish: str, message: dict[str, object], stop: str) -> None:
    assert Message.model_validate_json(to_openai().response(answer(finish, **message))).stop_reason == stop


def test_cached_tokens_under_other_names_and_beyond_the_prompt() -> None:
    for usage, expected in (
        ({"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}, (6, 4)),
        ({"prompt_tokens": 10, "completion_tokens": 1, "cached_tokens": 40}, (0, 10)),
    ):
        counted = json.loads(to_openai().response(answer(usage=usage)))["usage"]
        assert (counted["input_tokens"], counted["cache_read_input_tokens"]) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        raw({"error": {"message": "x"}}),
        raw({"id": "c", "choices": []}),
        raw({"id": "c", "choices": [{"message": {}, "finish_reason": "stop"}] * 2}),
        answer("function_call"),
        answer(None),
        answer(content=5),
        answer(function_call={"name": "f", "arguments": "{}"}),
        answer(tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "f"}}]),
        answer(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{"}}]),
        answer(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "[]"}}]),
        answer(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": '{"a":NaN}'}}]),
        answer(usage={"prompt_tokens": -1}),
    ],
)
def test_what_openais_api_doesnt_promise(body: bytes) -> None:
    with pytest.raises(MalformedUpstream):
        to_openai().response(body)


def chunk(delta: dict[str, object], finish: object = None) -> dict[str, object]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(index: object, **more: object) -> dict[str, object]:
    return chunk({"tool_calls": [{"index": index, "id": "i", "function": {"name": "f", "arguments": "{}"}, **more}]})


@pytest.mark.parametrize(
    "stream",
    [
        data(done=True),
        data(chunk({"content": "x"}), done=True),
        data({"error": {"message": "x"}}),
        b"event: error\n" + data(chunk({})),
        data(chunk({"function_call": {"name": "f"}})),
        data(call("0")),
        data(call(0, function={"arguments": "{}"})),
        data(call(0), call(1), call(0)),
        data({"id": "c", "choices": [{}, {}]}),
        b"<html>\n\n",
    ],
)
def test_streams_that_openais_api_doesnt_promise_raise(stream: bytes) -> None:
    with pytest.raises(MalformedUpstream):
        to_openai().stream().feed(stream)


def test_a_stream_without_usage_says_zero_and_a_refusal_says_so() -> None:
    out = run(to_openai(), [data(chunk({"refusal": "No."}), chunk({}, "stop"), done=True)])
    assert b'"stop_reason":"refusal"' in out
    assert b'"output_tokens":0' in out
