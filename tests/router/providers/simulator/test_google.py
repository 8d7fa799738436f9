"""The simulator's Google wire, judged by the official client, and the array form read by hand."""

import json

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from router.providers.simulator import Recorder, Running

CANARY = "canary-9d8e \u2028 ünïcode"


@pytest.fixture(params=["v1", "v1beta"])
def client(sim: Running, request: pytest.FixtureRequest) -> genai.Client:
    options = types.HttpOptions(base_url=sim.url, api_version=request.param, timeout=10_000)
    return genai.Client(api_key="key-test", http_options=options)


def test_generate_and_stream_agree(client: genai.Client) -> None:
    config = types.GenerateContentConfig(system_instruction="s" * 2000)
    plain = client.models.generate_content(model="sim-gemini", contents=CANARY, config=config)
    assert CANARY in plain.text and plain.candidates[0].finish_reason == types.FinishReason.STOP
    counts = plain.usage_metadata
    assert counts.cached_content_token_count == 500
    assert counts.total_token_count == counts.prompt_token_count + counts.candidates_token_count
    chunks = list(client.models.generate_content_stream(model="sim-gemini", contents=CANARY, config=config))
    assert "".join(chunk.text or "" for chunk in chunks) == plain.text and len(chunks) > 2
    assert chunks[-1].usage_metadata.candidates_token_count == counts.candidates_token_count
    assert client.models.count_tokens(model="sim-gemini", contents=CANARY).total_tokens == 6


def test_tools_schema_stops_and_images(client: genai.Client) -> None:
    declaration = types.FunctionDeclaration(
        name="weather",
        parameters=types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}),
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    called = client.models.generate_content(model="sim-gemini", contents="use the tool", config=config)
    assert called.function_calls[0].args == {"city": "use the tool"}
    contents = [
        types.Content(role="user", parts=[types.Part(text="use the tool")]),
        called.candidates[0].content,
        types.Content(role="user", parts=[types.Part.from_function_response(name="weather", response={"r": "rain"})]),
    ]
    after = client.models.generate_content(model="sim-gemini", contents=contents, config=config)
    assert after.text.startswith("After the tool")
    structured = client.models.generate_content(
        model="sim-gemini",
        contents=CANARY,
        config=types.GenerateContentConfig(
            response_mime_type="application/json",
            response_schema=types.Schema(
                type=types.Type.OBJECT, properties={"a": types.Schema(type=types.Type.STRING)}
            ),
        ),
    )
    assert json.loads(structured.text) == {"a": CANARY}
    short = client.models.generate_content(
        model="sim-gemini", contents="one two three", config=types.GenerateContentConfig(max_output_tokens=2)
    )
    assert short.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    image = types.Part.from_bytes(data=b"\x00", mime_type="image/png")
    assert "(1 image seen)" in client.models.generate_content(model="sim-gemini", contents=[image, "look"]).text


def test_errors(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as missing:
        client.models.generate_content(model="gemini-9", contents="hi")
    assert missing.value.code == 404
    with pytest.raises(errors.ServerError) as failed:
        client.models.generate_content(model="sim-gemini:fault=503", contents=CANARY)
    assert failed.value.code == 503 and CANARY in failed.value.message


def test_array_form_is_one_json_array(sim: Running, recorder: Recorder) -> None:
    recorder.clear()
    url = f"{sim.url}/v1beta/models/sim-gemini:streamGenerateContent"
    body = {"contents": [{"parts": [{"text": CANARY}]}]}
    got = httpx2.post(url, json=body, headers={"x-goog-api-key": "k"})
    assert got.headers["content-type"] == "application/json"
    elements = got.json()
    assert CANARY in "".join(e["candidates"][0]["content"]["parts"][0]["text"] for e in elements)
    assert elements[-1]["candidates"][0]["finishReason"] == "STOP"
    assert recorder.requests[0].path.endswith(":streamGenerateContent")
    failed = httpx2.post(
        url.replace("gemini:", "gemini:fault=error_event:"), json=body, headers={"x-goog-api-key": "k"}
    )
    assert failed.json()[-1]["error"]["status"] == "INTERNAL"
    refused = httpx2.post(url.replace("gemini:", "gemini:fault=429:"), json=body, headers={"x-goog-api-key": "k"})
    assert refused.status_code == 429 and refused.json()[0]["error"]["status"] == "RESOURCE_EXHAUSTED"
    listed = httpx2.get(sim.url + "/v1beta/models", headers={"x-goog-api-key": "k"}).json()
    assert listed["models"][0]["name"] == "models/sim-gemini"
