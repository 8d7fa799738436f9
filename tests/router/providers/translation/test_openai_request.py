"""What an OpenAI request may ask for, whichever upstream it is translated for."""

import pytest

from router.providers.translation import Translation, Untranslatable
from tests.router.providers.translation.samples import CALL, CHAT, TOOL, ask, to_anthropic, to_google

BOTH = [pytest.param(to_anthropic(), id="anthropic"), pytest.param(to_google(), id="google")]
USER = {"role": "user", "content": "Hi"}


def messages(*items: object) -> dict[str, object]:
    return {"messages": list(items)}


def part(value: object) -> dict[str, object]:
    return messages({"role": "user", "content": [value]})


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"stream": "yes"}, "stream"),
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"audio": {"voice": "x"}}, "audio"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"prediction": {"type": "content"}}, "prediction"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"moderation": {"model": "x"}}, "moderation"),
    ({"verbosity": "low"}, "verbosity"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"function_call": "auto"}, "function_call"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"stop": [1]}, "stop"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"reasoning_effort": "extreme"}, "reasoning_effort"),
    ({"response_format": {"type": "grammar"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format.json_schema.schema"),
    ({"response_format": {"type": "text", "extra": 1}}, "response_format.extra"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]}, "tools[0].function.x"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "custom", "custom": {"name": "x"}}, "tools": [TOOL]}, "tool_choice.type"),
    ({"tool_choice": {"type": "function", "function": {"name": "nope"}}, "tools": [TOOL]}, "tool_choice"),
    ({"messages": []}, "messages"),
    (messages({"role": "system", "content": "x"}), "messages"),
    (messages({"role": "robot", "content": "x"}), "messages[0].role"),
    (messages({"role": "function", "name": None, "content": "x"}), "messages[0].role"),
    (messages({**USER, "name": "Ann"}), "messages[0].name"),
    (messages({"role": "user", "content": ""}), "messages[0].content"),
    (messages(USER, {"role": "assistant", "content": None}), "messages[1].content"),
    (messages({**USER, "extra": 1}), "messages[0].extra"),
    (messages("x"), "messages[0]"),
    (messages({"role": "user", "content": 5}), "messages[0].content"),
    (messages({"role": "tool", "content": "x"}), "messages[0].tool_call_id"),
    (messages(USER, {"role": "assistant", "audio": {"id": "x"}}), "messages[1].audio"),
    (messages(USER, {"role": "assistant", "function_call": {"name": "x"}}), "messages[1].function_call"),
    (part({"type": "input_audio", "input_audio": {}}), "messages[0].content[0].type"),
    (part({"type": "file", "file": {"file_id": "f"}}), "messages[0].content[0].type"),
    (part({"type": "text", "text": "x", "y": 1}), "messages[0].content[0].y"),
    (part({"type": "image_url", "image_url": {"url": "http://a/b.png"}}), "messages[0].content[0].image_url.url"),
    (part({"type": "image_url", "image_url": {"url": "data:image/png,AA"}}), "messages[0].content[0].image_url.url"),
    (
        part({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA"}}),
        "messages[0].content[0].image_url.url",
    ),
    (
        part({"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}}),
        "messages[0].content[0].image_url.detail",
    ),
]
for arguments in ("{", "[]", '"x"', "", '{"a":1,"a":2}', '{"a":NaN}'):
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}
    REFUSED.append(
        (messages(USER, {"role": "assistant", "tool_calls": [call]}), "messages[1].tool_calls[0].function.arguments")
    )


@pytest.mark.parametrize("found", BOTH)
@pytest.mark.parametrize(("change", "param"), REFUSED)
def test_refusals_name_the_field(found: Translation, change: dict[str, object], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        ask(found, {**CHAT, **change})
    assert caught.value.param == param
    assert len(str(caught.value)) > 15


NEUTRAL: dict[str, object] = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": {},
    "modalities": ["text"],
    "verbosity": "medium",
    "frequency_penalty": None,
    "presence_penalty": None,
    "seed": None,
    "audio": None,
    "functions": [],
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
    "service_tier": "auto",
    "stop": None,
    "stream": False,
    "some_future_field": None,
}
LEFT_OUT: dict[str, object] = {
    "provider": {"zdr": True},
    "store": True,
    "user": "canary",
    "safety_identifier": "canary",
    "metadata": {"a": "canary"},
    "prompt_cache_key": "canary",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "explicit"},
    "stream_options": {"include_usage": True},
}


@pytest.mark.parametrize("found", BOTH)
def test_what_asks_for_nothing_and_what_is_dropped_change_nothing(found: Translation) -> None:
    assert ask(found, {**CHAT, **NEUTRAL, **LEFT_OUT}) == ask(found, CHAT)


@pytest.mark.parametrize("found", BOTH)
def test_empty_system_messages_pass(found: Translation) -> None:
    body = messages({"role": "system", "content": ""}, USER, {"role": "system", "content": ""})
    assert ask(found, {**CHAT, **body}) == ask(found, CHAT)


@pytest.mark.parametrize("found", BOTH)
def test_refusals_quote_no_value(found: Translation) -> None:
    secret = "canary-4711"
    for change in (
        messages({"role": secret, "content": "x"}),
        part({"type": secret}),
        {"response_format": {"type": secret}},
        {"tool_choice": {"type": secret}},
        {"temperature": secret},
        {"service_tier": secret},
        {"reasoning_effort": secret},
        messages(USER, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": secret}}]}),
    ):
        with pytest.raises(Untranslatable) as caught:
            ask(found, {**CHAT, **change})
        assert secret not in repr((caught.value, caught.value.param, caught.value.detail))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
