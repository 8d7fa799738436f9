import json
from typing import Any

import pytest
from google.genai import types
from openai.types.chat import ChatCompletion

from router.providers.dialects.base import MalformedUpstream
from router.providers.translation import Untranslatable
from router.surface import Endpoint
from tests.router.providers.translation.samples import (
    CALL,
    CHAT,
    HISTORY,
    TOOL,
    ask,
    data,
    google_stream,
    raw,
    run,
    to_google,
)

STRICT = {"type": "function", "function": {"name": "now", "strict": True}}


def sent(model: str = "gemini-2.5-flash", **change: Any) -> dict[str, object]:
    value = ask(to_google(), {**CHAT, **change}, model=model)
    # The official client's own idea of the request's pieces, unknown names forbidden.
    assert isinstance(value["contents"], list)
    for content in value["contents"]:
        types.Content.model_validate(content, extra="forbid")
    types.GenerationConfig.model_validate(value.get("generationConfig", {}), extra="forbid")
    for tool in value.get("tools", []):  # type: ignore[attr-defined]
        types.Tool.model_validate(tool, extra="forbid")
    types.ToolConfig.model_validate(value.get("toolConfig", {}), extra="forbid")
    assert value.keys() <= {"contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "store"}
    return value


def test_the_plainest_request() -> None:
    assert to_google().upstream_endpoint is Endpoint.GENERATE
    assert to_google(stream=True).upstream_endpoint is Endpoint.STREAM_GENERATE
    assert sent() == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "store": False}


def test_system_messages() -> None:
    value = sent(messages=[{"role": "system", "content": "One"}, {"role": "developer", "content": "Two"}, *HISTORY[:1]])
    assert value["systemInstruction"] == {"parts": [{"text": "One"}, {"text": "Two"}]}
    with pytest.raises(Untranslatable) as caught:
        sent(messages=[*HISTORY[:1], {"role": "system", "content": "Later"}])
    assert caught.value.param == "messages[1]"


def test_tools_calls_and_results() -> None:
    value = sent(messages=HISTORY, tools=[TOOL])
    call = {"name": "weather", "args": {"city": "Paris"}}
    assert value["contents"] == [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"id": "call_1", **call}}, {"functionCall": {"id": "call_2", **call}}],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "call_1", "name": "weather", "response": {"output": "sunny"}}},
                {"functionResponse": {"id": "call_2", "name": "weather", "response": {"output": "rain"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "Which?"}]},
    ]
    assert value["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "weather",
                    "parametersJsonSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
                    "description": "Tells the weather.",
                }
            ]
        }
    ]


def test_thought_signatures_travel_or_are_stood_in_for() -> None:
    lost = sent("gemini-3-pro", messages=HISTORY)["contents"]
    assert isinstance(lost, list)
    assert [p.get("thoughtSignature") for p in lost[1]["parts"]] == ["skip_thought_signature_validator", None]
    kept = {**CALL, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    history = [HISTORY[0], {"role": "assistant", "tool_calls": [kept]}, HISTORY[2]]
    for model in ("gemini-3-pro", "gemini-2.5-pro"):
        contents = sent(model, messages=history)["contents"]
        assert isinstance(contents, list)
        assert contents[1]["parts"][0]["thoughtSignature"] == "c2ln"
    assert "thoughtSignature" not in str(sent(messages=HISTORY))


@pytest.mark.parametrize(
    ("tools", "choice", "expected"),
    [
        ([TOOL], None, None),
        ([TOOL], "auto", {"mode": "AUTO"}),
        ([TOOL], "none", {"mode": "NONE"}),
        ([TOOL], "required", {"mode": "ANY"}),
        ([TOOL, STRICT], None, {"mode": "VALIDATED"}),
        (
            [TOOL],
            {"type": "function", "function": {"name": "weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["weather"]},
        ),
        (
            [TOOL, STRICT],
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "now"}}]},
            },
            {"mode": "VALIDATED", "allowedFunctionNames": ["now"]},
        ),
    ],
)
def test_tool_choice(tools: object, choice: object, expected: object) -> None:
    value = sent(tools=tools, tool_choice=choice)
    assert value.get("toolConfig") == (None if expected is None else {"functionCallingConfig": expected})


def test_images() -> None:
    urls = ["data:image/png;base64,iVBORw0K", "https://example.com/x.JPG?sig=1"]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    contents = sent(messages=[{"role": "user", "content": parts}])["contents"]
    assert contents == [
        {
            "role": "user",
            "parts": [
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0K"}},
                {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/x.JPG?sig=1"}},
            ],
        }
    ]


def test_settings() -> None:
    schema = {"type": "object"}
    value = sent(
        max_tokens=9,
        temperature=2,
        top_p=0.9,
        stop="x",
        seed=5,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
    )
    assert value["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 2,
        "topP": 0.9,
        "stopSequences": ["x"],
        "seed": 5,
        "frequencyPenalty": 0.5,
        "presencePenalty": -0.5,
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    assert sent(response_format={"type": "json_object"})["generationConfig"] == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1024}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576}),
        ("models/gemini-3-pro", "high", {"thinkingLevel": "high"}),
        ("gemini-3-flash", "minimal", {"thinkingLevel": "minimal"}),
        ("gemini-2.5-pro", "max", None),
        ("gemini-3-pro", "none", None),
        ("gemma-4", "low", None),
    ],
)
def test_reasoning_effort(model: str, effort: str, expected: object) -> None:
    if expected is None:
        with pytest.raises(Untranslatable) as caught:
            sent(model, reasoning_effort=effort)
        assert caught.value.param == "reasoning_effort"
    else:
        assert sent(model, reasoning_effort=effort)["generationConfig"] == {"thinkingConfig": expected}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"parallel_tool_calls": False, "tools": [TOOL]}, "parallel_tool_calls"),
        ({"seed": 2**31}, "seed"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"messages": [*HISTORY[:2], {**HISTORY[2], "tool_call_id": "other"}]}, "messages[2].tool_call_id"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://[/b.png"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_what_the_gemini_api_lacks(change: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        sent(**change)
    assert caught.value.param == param


def answer(*parts: object, finish: object = "STOP", **more: object) -> bytes:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}
    return raw({"candidates": [candidate], "responseId": "r1", **more})


def test_the_answer() -> None:
    usage = {
        "promptTokenCount": 40,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 30,
        "candidatesTokenCount": 13,
        "thoughtsTokenCount": 7,
    }
    body = answer(
        {"text": "secret", "thought": True},
        {"text": "Hello"},
        {"functionCall": {"name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2ln"},
        usageMetadata=usage,
    )
    types.GenerateContentResponse.model_validate_json(body)
    out = to_google().response(body)
    assert b"secret" not in out
    chat = ChatCompletion.model_validate_json(out)
    message = chat.choices[0].message
    assert (chat.id, chat.model, message.content) == ("chatcmpl-r1", "shown/model", "Hello")
    assert chat.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call = message.tool_calls[0].model_dump()
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    assert call["id"].startswith("call_")
    assert to_google().response(body).count(call["id"].encode()) == 1  # the same id every time
    assert chat.usage is not None
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens, chat.usage.total_tokens) == (45, 20, 65)
    assert chat.usage.completion_tokens_details is not None
    assert chat.usage.completion_tokens_details.reasoning_tokens == 7
    # What the client sends back goes upstream with its id and signature.
    turn = message.model_dump(exclude_none=True)
    contents = sent("gemini-3-pro", messages=[*HISTORY[:1], turn, {**HISTORY[2], "tool_call_id": call["id"]}])[
        "contents"
    ]
    assert isinstance(contents, list)
    assert contents[1]["parts"][1]["thoughtSignature"] == "c2ln"
    assert contents[2]["parts"][0]["functionResponse"]["id"] == call["id"]


@pytest.mark.parametrize(
    ("finish", "expected"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("SPII", "content_filter")],
)
def test_finish_reasons(finish: str, expected: str) -> None:
    chat = ChatCompletion.model_validate_json(to_google().response(answer(finish=finish)))
    assert chat.choices[0].finish_reason == expected


def test_a_blocked_prompt_is_a_content_filter() -> None:
    body = raw({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}})
    chat = ChatCompletion.model_validate_json(to_google().response(body))
    assert (chat.choices[0].finish_reason, chat.choices[0].message.content) == ("content_filter", "")
    assert run(to_google(include_usage=False), [data(json.loads(body))]).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        raw({"error": {"code": 500, "message": "x"}}),
        raw({"candidates": []}),
        raw({"candidates": [{}, {}]}),
        answer(finish=None),
        answer(finish="MALFORMED_FUNCTION_CALL"),
        answer(finish="OTHER"),
        answer(finish="A_NEW_REASON"),
        answer({"inlineData": {"mimeType": "image/png", "data": "AA"}}),
        answer({"functionCall": {"args": {}}}),
        answer({"text": 5}),
        answer(usageMetadata={"promptTokenCount": "5"}),
    ],
)
def test_what_the_gemini_api_doesnt_promise(body: bytes) -> None:
    with pytest.raises(MalformedUpstream):
        to_google().response(body)


def test_a_stream_that_ends_in_failure_or_as_an_array_raises() -> None:
    for stream in (data({"candidates": [{"finishReason": "OTHER"}]}), b"[" + google_stream() + b"]", b"[{}\n]", b""):
        with pytest.raises(MalformedUpstream):
            run(to_google(stream=True), [stream])
