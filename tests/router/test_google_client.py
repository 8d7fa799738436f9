"""The official `google-genai` client on the Gemini wire, under /v1 and /v1beta."""

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from tests.router.conftest import Governed


@pytest.fixture(params=["v1", "v1beta"])
def client(service: Governed, request: pytest.FixtureRequest) -> genai.Client:
    options = types.HttpOptions(base_url=service.url, api_version=request.param)
    return genai.Client(api_key=service.key, http_options=options)


def test_generate(client: genai.Client) -> None:
    answer = client.models.generate_content(model="google/good", contents="say kanarie")
    assert "kanarie" in (answer.text or "")
    assert answer.usage_metadata is not None and (answer.usage_metadata.prompt_token_count or 0) > 0


def test_stream(client: genai.Client) -> None:
    text = "".join(
        part.text or "" for part in client.models.generate_content_stream(model="google/good", contents="say kanarie")
    )
    assert "kanarie" in text


def test_a_tool_call(client: genai.Client) -> None:
    tool = types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name="weather", parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}}
            )
        ]
    )
    config = types.GenerateContentConfig(
        tools=[tool], automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
    )
    answer = client.models.generate_content(model="google/good", contents="use the tool", config=config)
    assert answer.function_calls and answer.function_calls[0].name == "weather"


def test_count_tokens(client: genai.Client) -> None:
    assert (client.models.count_tokens(model="google/good", contents="hi there").total_tokens or 0) > 0


def test_the_models_list(client: genai.Client) -> None:
    assert "models/google/good" in {model.name for model in client.models.list()}


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("google/none", errors.ClientError, 404),
        ("google/400", errors.ClientError, 400),
        ("google/401", errors.ServerError, 502),
        ("google/500", errors.ServerError, 502),
    ],
)
def test_failures(client: genai.Client, model: str, kind: type[errors.APIError], code: int) -> None:
    with pytest.raises(kind) as caught:
        client.models.generate_content(model=model, contents="hi")
    assert caught.value.code == code


def test_a_wrong_key_and_too_few_credits(service: Governed) -> None:
    for key, code in (("sk-va-x", 401), (service.first_run["api_key_without_credits"], 402)):
        client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=service.url))
        with pytest.raises(errors.ClientError) as caught:
            client.models.generate_content(model="google/good", contents="hi")
        assert caught.value.code == code


def test_the_array_form_and_its_broken_end(service: Governed) -> None:
    def stream(model: str) -> httpx2.Response:
        return httpx2.post(
            f"{service.url}/v1beta/models/{model}:streamGenerateContent",
            headers={"x-goog-api-key": service.key},
            json={"contents": [{"role": "user", "parts": [{"text": "say kanarie " * 20}]}]},
        )

    good = stream("google/good")
    assert good.headers["content-type"] == "application/json"
    assert good.json()[-1]["candidates"][0]["finishReason"] == "STOP"
    broken = stream("google/cut").json()
    assert broken[-1]["error"]["status"] in ("INTERNAL", "UNAVAILABLE")


def test_a_key_in_the_url_is_refused_with_the_reason(service: Governed) -> None:
    answer = httpx2.post(
        f"{service.url}/v1beta/models/google/good:generateContent?key={service.key}", json={"contents": []}
    )
    assert answer.status_code == 401
    assert "URL" in answer.json()["error"]["message"] and service.key not in answer.text
