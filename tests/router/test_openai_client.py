"""The official `openai` client on the OpenAI wire: native, and translated to Anthropic and Google upstreams."""

import json

import openai
import pytest

from tests.router.conftest import Governed

NATIVE_AND_TRANSLATED = ["openai/good", "anthropic/good", "google/good"]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(service: Governed) -> openai.OpenAI:
    return openai.OpenAI(base_url=service.url + "/v1", api_key=service.key, max_retries=0)


@pytest.mark.parametrize("model", NATIVE_AND_TRANSLATED)
def test_a_chat_completion(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "say kanarie"}]
    )
    assert "kanarie" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("include_usage", [True, False])
@pytest.mark.parametrize("model", NATIVE_AND_TRANSLATED)
def test_a_stream_with_usage_only_where_asked(client: openai.OpenAI, model: str, include_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    chunks = list(
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "say kanarie"}], stream=True, **options
        )  # type: ignore[call-overload]
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "kanarie" in text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert any(not chunk.choices for chunk in chunks) is include_usage
    assert any(chunk.usage is not None for chunk in chunks) is include_usage


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", NATIVE_AND_TRANSLATED)
def test_a_tool_call_and_its_result(client: openai.OpenAI, model: str, stream: bool) -> None:
    messages: list[dict[str, object]] = [{"role": "user", "content": "use the tool"}]
    if stream:
        with client.chat.completions.stream(model=model, messages=messages, tools=[TOOL]) as events:  # type: ignore[arg-type]
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(model=model, messages=messages, tools=[TOOL])  # type: ignore[call-overload]
    calls = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert calls and calls[0].function.name == "weather"
    assert isinstance(json.loads(calls[0].function.arguments)["city"], str)
    messages += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": calls[0].id, "type": "function",
                 "function": {"name": "weather", "arguments": calls[0].function.arguments}}
            ],
        },
        {"role": "tool", "tool_call_id": calls[0].id, "content": "sunny"},
    ]  # fmt: skip
    final = client.chat.completions.create(model=model, messages=messages, tools=[TOOL])  # type: ignore[call-overload]
    assert final.choices[0].finish_reason == "stop" and final.choices[0].message.content


@pytest.mark.parametrize("model", ["openai/cut", "anthropic/cut", "google/cut", "openai/no-terminator", "openai/error-event",
                                   "anthropic/error-event", "google/error-event"])  # fmt: skip
def test_a_broken_stream_ends_in_an_error_never_in_a_clean_stop(client: openai.OpenAI, model: str) -> None:
    finished: list[str | None] = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "say kanarie " * 30}], stream=True
        ):
            finished += [choice.finish_reason for choice in chunk.choices]
    assert "kanarie" not in str(caught.value)


def test_completions_embeddings_and_responses(client: openai.OpenAI) -> None:
    assert client.completions.create(model="openai/good", prompt="say kanarie").choices[0].text
    assert "".join(
        chunk.choices[0].text for chunk in client.completions.create(model="openai/good", prompt="hi", stream=True)
        if chunk.choices
    )  # fmt: skip
    assert len(client.embeddings.create(model="openai/embedding", input=["a", "b"]).data) == 2
    answer = client.responses.create(model="openai/good", input="say kanarie")
    assert "kanarie" in answer.output_text
    events = list(client.responses.create(model="openai/good", input="say kanarie", stream=True))
    assert events[-1].type == "response.completed"


def test_an_image_travels(client: openai.OpenAI) -> None:
    pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    for model in NATIVE_AND_TRANSLATED:
        content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": pixel}}]
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])  # type: ignore[misc,list-item]
        assert answer.choices[0].message.content


def test_the_models_list(client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert {"openai/good", "anthropic/good", "google/good"} <= listed
    one = client.models.retrieve("openai/good")
    assert one.id == "openai/good"
    assert one.model_extra is not None and one.model_extra["providers"][0]["data_policy"]["known"] is False


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("openai/none", openai.NotFoundError),
        ("openai/400", openai.BadRequestError),
        ("openai/401", openai.InternalServerError),
        ("openai/429-retry-after-1", openai.RateLimitError),
        ("openai/500", openai.InternalServerError),
        ("openai/503", openai.InternalServerError),
    ],
)
def test_each_failure_is_the_clients_own_typed_exception(
    client: openai.OpenAI, model: str, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
    assert caught.value.response.headers["x-request-id"].startswith("req_")
    if caught.value.status_code in (429, 503):
        assert int(caught.value.response.headers["retry-after"]) >= 1


def test_a_wrong_key_and_too_few_credits(service: Governed) -> None:
    wrong = openai.OpenAI(base_url=service.url + "/v1", api_key="sk-va-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        wrong.models.list()
    poor = openai.OpenAI(
        base_url=service.url + "/v1", api_key=service.first_run["api_key_without_credits"], max_retries=0
    )
    with pytest.raises(openai.APIStatusError) as caught:
        poor.chat.completions.create(model="openai/good", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.status_code == 402


@pytest.mark.parametrize(
    ("field", "value"), [("n", 2), ("logprobs", True), ("logit_bias", {"1": 1}), ("a_new_field", 1)]
)
def test_what_cannot_be_translated_is_named(client: openai.OpenAI, field: str, value: object) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="anthropic/good", messages=[{"role": "user", "content": "hi"}], extra_body={field: value}
        )
    assert isinstance(caught.value.body, dict) and caught.value.body["param"] == field
