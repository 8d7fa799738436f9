"""The official `anthropic` client on the Anthropic wire: native, and translated to an OpenAI upstream."""

import anthropic
import pytest

from tests.router.conftest import Governed

MODELS = ["anthropic/good", "openai/good"]
TOOL = {
    "name": "weather",
    "description": "The weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(service: Governed) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=service.url, api_key=service.key, max_retries=0)


@pytest.mark.parametrize("model", MODELS)
def test_a_message(client: anthropic.Anthropic, model: str) -> None:
    answer = client.messages.create(
        model=model, max_tokens=200, system="Be brief.", messages=[{"role": "user", "content": "say kanarie"}]
    )
    assert answer.content[0].type == "text" and "kanarie" in answer.content[0].text
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_stream(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(
        model=model, max_tokens=200, messages=[{"role": "user", "content": "say kanarie"}]
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert "kanarie" in text and final.stop_reason == "end_turn" and final.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_tool_call_and_its_result(client: anthropic.Anthropic, model: str, stream: bool) -> None:
    messages: list[dict[str, object]] = [{"role": "user", "content": "use the tool"}]
    asked = {"model": model, "max_tokens": 300, "tools": [TOOL], "messages": messages}
    if stream:
        with client.messages.stream(**asked) as events:  # type: ignore[arg-type]
            answer = events.get_final_message()
    else:
        answer = client.messages.create(**asked)  # type: ignore[call-overload]
    call = next(block for block in answer.content if block.type == "tool_use")
    assert answer.stop_reason == "tool_use" and call.name == "weather" and isinstance(call.input["city"], str)  # type: ignore[index]
    messages += [
        {"role": "assistant", "content": [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]
    final = client.messages.create(**asked)  # type: ignore[call-overload]
    assert final.stop_reason == "end_turn"


@pytest.mark.parametrize("model", ["anthropic/cut", "openai/cut", "anthropic/error-event", "openai/error-event",
                                   "anthropic/no-terminator"])  # fmt: skip
def test_a_broken_stream_ends_in_an_error(client: anthropic.Anthropic, model: str) -> None:
    with pytest.raises(anthropic.APIError) as caught, client.messages.stream(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "say kanarie " * 30}]
    ) as stream:  # fmt: skip
        for _ in stream:
            pass
    assert "kanarie" not in str(caught.value)


def test_tokens_are_counted_without_a_charge(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model="anthropic/good", messages=[{"role": "user", "content": "hi there"}])
    assert counted.input_tokens > 0


def test_the_models_list(client: anthropic.Anthropic) -> None:
    listed = {model.id for model in client.models.list()}
    assert {"anthropic/good", "openai/good"} <= listed  # the second is translated
    assert "google/good" not in listed and "openai/embedding" not in listed


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("anthropic/none", anthropic.NotFoundError),
        ("anthropic/400", anthropic.BadRequestError),
        ("anthropic/401", anthropic.InternalServerError),
        ("anthropic/429-retry-after-1", anthropic.RateLimitError),
        ("anthropic/500", anthropic.InternalServerError),
    ],
)
def test_each_failure_is_the_clients_own_typed_exception(
    client: anthropic.Anthropic, model: str, kind: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(kind) as caught:
        client.messages.create(model=model, max_tokens=10, messages=[{"role": "user", "content": "hi"}])
    assert isinstance(caught.value.body, dict) and caught.value.body["type"] == "error"


def test_a_wrong_key_and_too_few_credits(service: Governed) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=service.url, api_key="sk-va-x", max_retries=0).models.list()
    poor = anthropic.Anthropic(
        base_url=service.url, api_key=service.first_run["api_key_without_credits"], max_retries=0
    )
    with pytest.raises(anthropic.APIStatusError) as caught:
        poor.messages.create(model="anthropic/good", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    assert caught.value.status_code == 402


def test_x_api_key_and_the_older_version_are_taken(service: Governed) -> None:
    import httpx2

    answer = httpx2.post(
        service.url + "/v1/messages",
        headers={"x-api-key": service.key, "anthropic-version": "2023-06-01"},
        json={"model": "anthropic/good", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    )
    assert answer.status_code == 200
    assert service.recorder.requests[-1].header("anthropic-version") == "2023-06-01"
