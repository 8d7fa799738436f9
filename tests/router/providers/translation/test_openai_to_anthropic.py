import json

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types.chat import ChatCompletion
from pydantic import TypeAdapter

from router.providers.dialects.base import MalformedUpstream
from router.providers.translation import Untranslatable
from router.providers.translation.openai_to_anthropic import JSON_TOOL
from router.surface import Endpoint
from tests.router.providers.translation.samples import (
    ANTHROPIC_USAGE,
    CHAT,
    HISTORY,
    TOOL,
    anthropic_stream,
    ask,
    events,
    named,
    raw,
    run,
    to_anthropic,
)

PARAMS = TypeAdapter(MessageCreateParamsNonStreaming)
PNG = "data:image/png;base64,iVBORw0K"


def sent(**change: object) -> dict[str, object]:
    value = ask(to_anthropic(), {**CHAT, **change})
    PARAMS.validate_python(value)  # the official client's own idea of the request
    return value


def test_the_plainest_request() -> None:
    assert to_anthropic().upstream_endpoint is Endpoint.MESSAGES
    assert sent() == {
        "model": "upstream-model",
        "max_tokens": 777,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "metadata": {"user_id": "va-1"},
    }
    assert "metadata" not in ask(to_anthropic(), CHAT, user=None)
    assert ask(to_anthropic(stream=True), CHAT)["stream"] is True


def test_system_messages_lead_or_stay_where_they_are() -> None:
    value = sent(
        messages=[
            {"role": "system", "content": "One"},
            {"role": "developer", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": "Three"}]},
            {"role": "user", "content": "Hi"},
            {"role": "system", "content": "Later"},
        ]
    )
    assert value["system"] == "One\nTwo\nThree"
    assert value["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "system", "content": [{"type": "text", "text": "Later"}]},
    ]


def test_tools_calls_and_results() -> None:
    value = sent(messages=HISTORY, tools=[TOOL, {"type": "function", "function": {"name": "now", "strict": True}}])
    use = {"type": "tool_use", "name": "weather", "input": {"city": "Paris"}}
    assert value["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"role": "assistant", "content": [{"id": "call_1", **use}, {"id": "call_2", **use}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "sunny"}]},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
                {"type": "text", "text": "Which?"},
            ],
        },
    ]
    assert value["tools"] == [
        {
            "name": "weather",
            "description": "Tells the weather.",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
        {"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": True},
    ]
    assert "tool_choice" not in value


def test_an_empty_tool_result_has_no_content() -> None:
    history = [*HISTORY[:2], {"role": "tool", "tool_call_id": "call_1", "content": ""}]
    blocks = sent(messages=history)["messages"]
    assert isinstance(blocks, list)
    assert blocks[-1]["content"] == [{"type": "tool_result", "tool_use_id": "call_1"}]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None),
        ({"type": "function", "function": {"name": "weather"}}, None, {"type": "tool", "name": "weather"}),
    ],
)
def test_tool_choice(choice: object, parallel: bool | None, expected: object) -> None:
    assert sent(tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel).get("tool_choice") == expected


def test_images() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/x"}},
    ]
    value = sent(messages=[{"role": "user", "content": parts}])
    messages = value["messages"]
    assert isinstance(messages, list)
    assert [block["source"] for block in messages[0]["content"]] == [
        {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"},
        {"type": "url", "url": "https://example.com/x"},
    ]


def test_turns_of_one_role_are_joined_and_a_prefill_is_kept() -> None:
    turns = [("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d")]
    value = sent(messages=[{"role": role, "content": text} for role, text in turns])
    assert value["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
    ]


def test_a_refusal_in_the_history_is_text() -> None:
    value = sent(messages=[*HISTORY[:1], {"role": "assistant", "content": None, "refusal": "No."}, *HISTORY[4:]])
    messages = value["messages"]
    assert isinstance(messages, list)
    assert messages[1] == {"role": "assistant", "content": [{"type": "text", "text": "No."}]}


def test_settings() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False, "description": "Own."}
    value = sent(
        max_completion_tokens=9,
        temperature=0.5,
        top_p=0.9,
        stop=["x", "y"],
        reasoning_effort="high",
        service_tier="default",
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "description": "Why.", "schema": schema, "strict": True},
        },
    )
    assert {k: v for k, v in value.items() if k not in ("model", "messages", "metadata")} == {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["x", "y"],
        "service_tier": "standard_only",
        "output_config": {
            "effort": "high",
            "format": {"type": "json_schema", "schema": {**schema, "description": "Why.\nOwn."}},
        },
    }
    assert sent(stop="x")["stop_sequences"] == ["x"]
    assert sent(temperature=1, top_p=1.0) == sent()


def test_json_mode_is_a_forced_tool_and_comes_back_as_text() -> None:
    value = sent(response_format={"type": "json_object"})
    assert value["tool_choice"] == {"type": "tool", "name": JSON_TOOL, "disable_parallel_tool_use": True}
    block = {"type": "tool_use", "id": "t", "name": JSON_TOOL, "input": {"a": "ü"}}
    answer = {"id": "m", "content": [block], "stop_reason": "tool_use", "usage": ANTHROPIC_USAGE}
    choice = ChatCompletion.model_validate_json(to_anthropic().response(raw(answer))).choices[0]
    assert (json.loads(choice.message.content or ""), choice.finish_reason) == ({"a": "ü"}, "stop")
    assert choice.message.tool_calls is None
    start = {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}}
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'},
    }
    for deltas, expected in (([delta], '{"a":1}'), ([], "{}")):
        stream = named(
            {"type": "message_start", "message": {"id": "m", "usage": ANTHROPIC_USAGE}},
            start,
            *deltas,
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        )
        choices = [e["choices"][0] for e in events(run(to_anthropic(include_usage=False), [stream])) if "choices" in e]  # type: ignore[index]
        assert "".join(c["delta"].get("content") or "" for c in choices) == expected
        assert choices[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": 1.5}, "temperature"),
        ({"seed": 1}, "seed"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort"),
        ({"reasoning_effort": "none"}, "reasoning_effort"),
        ({"response_format": {"type": "json_object"}, "tools": [TOOL]}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": JSON_TOOL}}]}, "tools"),
        (
            {
                "tools": [TOOL],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "weather"}}],
                    },
                },
            },
            "tool_choice",
        ),
    ],
)
def test_what_the_messages_api_lacks(change: dict[str, object], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        sent(**change)
    assert caught.value.param == param


def test_zero_penalties_ask_for_nothing() -> None:
    assert sent(frequency_penalty=0, presence_penalty=0.0) == sent()


def answer(*content: object, stop: object = "end_turn", **more: object) -> bytes:
    return raw({"id": "msg_1", "type": "message", "content": list(content), "stop_reason": stop, **more})


def test_the_answer() -> None:
    body = answer(
        {"type": "thinking", "thinking": "secret", "signature": "x"},
        {"type": "text", "text": "Hel"},
        {"type": "text", "text": "lo"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
        stop="tool_use",
        usage={**ANTHROPIC_USAGE, "output_tokens": 20, "output_tokens_details": {"thinking_tokens": 7}},
    )
    out = to_anthropic().response(body)
    assert b"secret" not in out
    chat = ChatCompletion.model_validate_json(out, strict=True)
    assert (chat.id, chat.model, chat.choices[0].message.content) == ("chatcmpl-msg_1", "shown/model", "Hello")
    calls = chat.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert (calls[0].id, json.loads(calls[0].function.arguments)) == ("toolu_1", {"city": "Paris"})
    usage = chat.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (45, 20, 65)
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens_details.cache_write_tokens) == (30, 5)
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 7


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_stop_reasons(stop: str, finish: str) -> None:
    chat = ChatCompletion.model_validate_json(to_anthropic().response(answer(stop=stop)))
    assert (chat.choices[0].finish_reason, chat.choices[0].message.content) == (finish, "")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        raw({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
        answer(stop="pause_turn"),
        answer(stop=None),
        answer({"type": "server_tool_use", "id": "x"}),
        answer({"type": "text"}),
        answer({"type": "tool_use", "id": "x", "name": "y", "input": []}),
        answer(usage={"input_tokens": -1}),
        answer({"type": "text", "text": "x"}).replace(b'"msg_1"', b"5"),
    ],
)
def test_what_the_messages_api_doesnt_promise(body: bytes) -> None:
    with pytest.raises(MalformedUpstream):
        to_anthropic().response(body)


def test_the_usage_chunk_comes_only_where_asked_for() -> None:
    asked = events(run(to_anthropic(), [anthropic_stream()]))
    assert asked[-2]["choices"] == []
    assert all(event["usage"] is None for event in asked[:-2])
    unasked = run(to_anthropic(include_usage=False), [anthropic_stream()])
    assert b"usage" not in unasked
    assert [e.get("choices") for e in events(unasked)] == [e.get("choices") for e in asked if e.get("choices") != []]


@pytest.mark.parametrize(
    "stream",
    [
        named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        named({"type": "message_start", "message": {"id": "m"}}, {"type": "message_start", "message": {"id": "m"}}),
        named({"type": "message_start", "message": {"id": "m"}}, {"type": "message_stop"}),
        named({"type": "message_start", "message": {"id": "m"}}, {"type": "error", "error": {"message": "x"}}),
        named(
            {"type": "message_start", "message": {"id": "m"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        ),
        named(
            {"type": "message_start", "message": {"id": "m"}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "x"}},
        ),
        named(
            {"type": "message_start", "message": {"id": "m"}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}},
        ),
    ],
)
def test_streams_out_of_order_raise(stream: bytes) -> None:
    with pytest.raises(MalformedUpstream):
        to_anthropic().stream().feed(stream)
