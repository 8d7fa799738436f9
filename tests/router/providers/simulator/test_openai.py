"""The simulator's OpenAI wire, judged by the official client."""

import json

import openai
import pytest

from router.providers.simulator import Recorder, Running

CANARY = "canary-7f3a \u2028 ünïcode"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
            "required": ["city", "days"],
        },
    },
}


@pytest.fixture
def client(sim: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=sim.url + "/v1", api_key="sk-test", max_retries=0, timeout=10)


def ask(text: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": text}]


def test_chat_quotes_the_last_user_message_and_counts(client: openai.OpenAI) -> None:
    got = client.chat.completions.create(model="sim-gpt", messages=ask(CANARY))
    assert CANARY in got.choices[0].message.content
    assert got.choices[0].finish_reason == "stop"
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens
    assert got.usage.prompt_tokens_details.cached_tokens == 0


def test_chat_is_deterministic(client: openai.OpenAI) -> None:
    bodies = [
        client.chat.completions.with_raw_response.create(model="sim-gpt", messages=ask(CANARY)).content
        for _ in range(2)
    ]
    assert bodies[0] == bodies[1]


def test_stream_joins_to_the_plain_answer_and_usage_comes_only_when_asked(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="sim-gpt", messages=ask(CANARY))
    bare = list(client.chat.completions.create(model="sim-gpt", messages=ask(CANARY), stream=True))
    counted = list(
        client.chat.completions.create(
            model="sim-gpt", messages=ask(CANARY), stream=True, stream_options={"include_usage": True}
        )
    )
    for chunks in (bare, counted):
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == plain.choices[0].message.content
    assert all(c.usage is None for c in bare) and all(c.choices for c in bare)
    assert counted[-1].choices == [] and counted[-1].usage == plain.usage
    assert all(c.usage is None for c in counted[:-1])


def test_long_system_prompt_is_cached_every_time(client: openai.OpenAI) -> None:
    messages = [{"role": "system", "content": "s" * 2000}, *ask("hi")]
    for _ in range(2):
        usage = client.chat.completions.create(model="sim-gpt", messages=messages).usage
        assert usage.prompt_tokens_details.cached_tokens == 500 < usage.prompt_tokens


def test_limits_and_stops(client: openai.OpenAI) -> None:
    cut = client.chat.completions.create(model="sim-gpt", messages=ask("one two three"), max_completion_tokens=2)
    assert (cut.choices[0].finish_reason, len(cut.choices[0].message.content)) == ("length", 8)
    assert cut.usage.completion_tokens == 2
    stopped = client.chat.completions.create(model="sim-gpt", messages=ask("one two three"), stop=["two"])
    assert stopped.choices[0].message.content.endswith("one ") and stopped.choices[0].finish_reason == "stop"
    assert len(client.chat.completions.create(model="sim-gpt", messages=ask("x"), n=3).choices) == 3


def test_tool_round_trip_plain_and_streaming(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="sim-gpt", messages=ask("please use the tool"), tools=[TOOL])
    [call] = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls" and first.choices[0].message.content is None
    assert json.loads(call.function.arguments) == {"city": "please use the tool", "days": 2}
    again = [
        *ask("please use the tool"),
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    second = client.chat.completions.create(model="sim-gpt", messages=again, tools=[TOOL])
    assert second.choices[0].finish_reason == "stop" and second.choices[0].message.tool_calls is None
    with client.chat.completions.stream(model="sim-gpt", messages=ask("please use the tool"), tools=[TOOL]) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0].function
    assert streamed.arguments == call.function.arguments
    forced = client.chat.completions.create(
        model="sim-gpt",
        messages=ask("hi"),
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    assert forced.choices[0].message.tool_calls
    none = client.chat.completions.create(
        model="sim-gpt", messages=ask("use the tool"), tools=[TOOL], tool_choice="none"
    )
    assert not none.choices[0].message.tool_calls


def test_json_modes(client: openai.OpenAI) -> None:
    loose = client.chat.completions.create(
        model="sim-gpt", messages=ask(CANARY), response_format={"type": "json_object"}
    )
    assert json.loads(loose.choices[0].message.content) == {"answer": CANARY}
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b"]},
            "names": {"type": "array", "items": {"$ref": "#/$defs/name"}, "minItems": 2},
            "sure": {"type": ["boolean", "null"]},
        },
        "$defs": {"name": {"type": "string", "maxLength": 6}},
    }
    strict = client.chat.completions.create(
        model="sim-gpt",
        messages=ask(CANARY),
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    value = json.loads(strict.choices[0].message.content)
    assert value == {"kind": "a", "names": ["canary", "canary"], "sure": True}


def test_images_are_accepted_and_counted(client: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "look"}, image, image]
    seen = client.chat.completions.create(model="sim-gpt", messages=[{"role": "user", "content": content}])
    assert "(2 images seen)" in seen.choices[0].message.content
    assert seen.usage.prompt_tokens == 171


def test_completions_and_models(client: openai.OpenAI) -> None:
    got = client.completions.create(model="sim-gpt", prompt=CANARY, max_tokens=100)
    assert CANARY in got.choices[0].text and got.usage.total_tokens > 0
    streamed = list(client.completions.create(model="sim-gpt", prompt=CANARY, max_tokens=100, stream=True))
    assert "".join(c.choices[0].text for c in streamed) == got.choices[0].text
    assert streamed[-1].choices[0].finish_reason == "stop"
    assert [m.id for m in client.models.list()] == ["sim-gpt", "sim-embedding"]


def test_embeddings_agree_in_both_encodings(client: openai.OpenAI) -> None:
    binary = client.embeddings.create(model="sim-embedding", input=["a", CANARY])  # the client asks for base64
    plain = client.embeddings.create(model="sim-embedding", input=["a", CANARY], encoding_format="float")
    assert [e.embedding for e in binary.data] == [e.embedding for e in plain.data]
    assert binary.data[0].embedding != binary.data[1].embedding
    assert len(client.embeddings.create(model="sim-embedding", input="a", dimensions=40).data[0].embedding) == 40


def test_responses_plain_and_streaming(client: openai.OpenAI) -> None:
    plain = client.responses.create(model="sim-gpt", input=CANARY, instructions="s" * 2000)
    assert CANARY in plain.output_text and plain.status == "completed"
    assert plain.usage.input_tokens_details.cached_tokens == 500
    with client.responses.stream(model="sim-gpt", input=CANARY, instructions="s" * 2000) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert "response.output_text.delta" in kinds
    assert final.output_text == plain.output_text and final.usage == plain.usage
    short = client.responses.create(model="sim-gpt", input="one two three", max_output_tokens=2)
    assert short.status == "incomplete" and short.incomplete_details.reason == "max_output_tokens"


def test_responses_tools(client: openai.OpenAI) -> None:
    tool = {"type": "function", "name": "weather", "parameters": TOOL["function"]["parameters"], "strict": False}
    first = client.responses.create(model="sim-gpt", input="use the tool", tools=[tool])
    [call] = first.output
    assert call.type == "function_call" and json.loads(call.arguments) == {"city": "use the tool", "days": 2}
    with client.responses.stream(model="sim-gpt", input="use the tool", tools=[tool]) as stream:
        streamed = stream.get_final_response().output[0]
    assert streamed.arguments == call.arguments
    again = [
        {"role": "user", "content": "use the tool"},
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    assert client.responses.create(model="sim-gpt", input=again, tools=[tool]).output_text.startswith("After the tool")


def test_errors_raise_the_clients_own_types(client: openai.OpenAI, sim: Running) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-9", messages=ask("hi"))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="sim-gpt", messages=[])
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="sim-gpt:fault=nonsense", messages=ask("hi"))
    with pytest.raises(openai.NotFoundError):
        client.files.list()


def test_recorder_has_the_bytes_as_sent(client: openai.OpenAI, recorder: Recorder) -> None:
    recorder.clear()
    client.chat.completions.create(model="sim-gpt", messages=ask(CANARY), user="somebody")
    [received] = recorder.requests
    assert received.path == "/v1/chat/completions" and received.header("Authorization") == "Bearer sk-test"
    assert json.loads(received.body)["user"] == "somebody"
    assert "somebody" not in repr(received)
