"""The simulator's Anthropic wire, judged by the official client."""

import json

import anthropic
import httpx2
import pytest

from router.providers.simulator import Running

CANARY = "canary-1b2c \u2029 ünïcode"
TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(sim: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=sim.url, api_key="sk-test", max_retries=0, timeout=10)


def ask(text: object) -> dict[str, object]:
    return {"model": "sim-claude", "max_tokens": 1000, "messages": [{"role": "user", "content": text}]}


def test_message_and_stream_agree(client: anthropic.Anthropic) -> None:
    plain = client.messages.create(**ask(CANARY), system="s" * 2000)
    assert CANARY in plain.content[0].text and plain.stop_reason == "end_turn"
    assert plain.usage.cache_read_input_tokens == 500
    # Without the cached ones: the user's text alone.
    assert plain.usage.input_tokens == -(-len(CANARY) // 4)
    with client.messages.stream(**ask(CANARY), system="s" * 2000) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].text == plain.content[0].text
    assert streamed.usage.output_tokens == plain.usage.output_tokens
    assert streamed.usage.cache_read_input_tokens == 500
    assert client.messages.count_tokens(model="sim-claude", messages=ask(CANARY)["messages"]).input_tokens == 6


def test_tools(client: anthropic.Anthropic) -> None:
    first = client.messages.create(**ask("use the tool"), tools=[TOOL])
    [block] = first.content
    assert first.stop_reason == "tool_use" and block.input == {"city": "use the tool"}
    with client.messages.stream(**ask("use the tool"), tools=[TOOL]) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].input == block.input and streamed.stop_reason == "tool_use"
    request = ask("use the tool")
    request["messages"] += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True)]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "rain"}]},
    ]
    second = client.messages.create(**request, tools=[TOOL])
    assert second.stop_reason == "end_turn" and second.content[0].text.startswith("After the tool")
    assert client.messages.create(**ask("hi"), tools=[TOOL], tool_choice={"type": "any"}).stop_reason == "tool_use"


def test_stops_images_and_schema(client: anthropic.Anthropic) -> None:
    stopped = client.messages.create(**ask("one two three"), stop_sequences=["three", "two"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "two")
    cut = client.messages.create(**{**ask("one two three"), "max_tokens": 1})
    assert cut.stop_reason == "max_tokens" and cut.usage.output_tokens == 1
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    assert "(1 image seen)" in client.messages.create(**ask([image, {"type": "text", "text": "look"}])).content[0].text
    form = {"format": {"type": "json_schema", "schema": TOOL["input_schema"]}}
    answer = client.messages.create(**ask(CANARY), extra_body={"output_config": form})
    assert json.loads(answer.content[0].text) == {"city": CANARY}


def test_errors(client: anthropic.Anthropic, sim: Running) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**{**ask("hi"), "model": "claude"})
    with pytest.raises(anthropic.RateLimitError) as limited:
        client.messages.create(**{**ask(CANARY), "model": "sim-claude:fault=429,retry_after=3"})
    assert limited.value.response.headers["retry-after"] == "3" and CANARY in limited.value.body["error"]["message"]
    with pytest.raises(anthropic.APIStatusError):
        list(client.messages.create(**{**ask(CANARY), "model": "sim-claude:fault=error_event"}, stream=True))
    # As the real one: no version, no answer.
    bare = httpx2.post(sim.url + "/v1/messages", json=ask("hi"), headers={"x-api-key": "k"})
    assert bare.status_code == 400 and "anthropic-version" in bare.text
    assert httpx2.post(sim.url + "/v1/messages", json=ask("hi")).status_code == 401
    assert [model.id for model in client.models.list()] == ["sim-claude"]
