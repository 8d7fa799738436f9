"""An account's and a key's own data policy, set through the account API, governs every request made with them."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.router.conftest import Governed

RETENTION = "x-valueapi-provider-retention"
CHAT = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def signed_in(service: Governed) -> Iterator[httpx2.Client]:
    who = service.first_run["user"]
    with httpx2.Client(base_url=service.url, timeout=30) as client:
        answer = client.post("/v1/account/sign-in", json={"email": who["email"], "password": who["password"]})
        assert answer.status_code == 200, answer.text
        client.headers["authorization"] = f"Bearer {answer.json()['session_token']}"
        yield client
        client.put("/v1/account/data-policy", json={}).raise_for_status()


def chat(service: Governed, model: str, key: str | None = None, **extra: object) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key or service.key}"}
    return httpx2.post(service.url + "/v1/chat/completions", json={"model": model, **CHAT, **extra}, headers=headers)


def test_an_accounts_denial_holds_at_once_and_hides_models(service: Governed, signed_in: httpx2.Client) -> None:
    assert chat(service, "openai/good").status_code == 200
    signed_in.put("/v1/account/data-policy", json={"data_collection": "deny", "zdr": True}).raise_for_status()
    refused = chat(service, "openai/good")
    assert refused.status_code == 403 and refused.json()["error"]["providers"]["openai"]
    # A request can't loosen what the account demands.
    assert chat(service, "openai/good", provider={"data_collection": "allow", "zdr": False}).status_code == 403
    assert chat(service, "careful/good").headers["x-valueapi-provider"] == "careful"
    listed = httpx2.get(service.url + "/v1/models", headers={"authorization": f"Bearer {service.key}"}).json()
    shown = {model["id"]: [provider["id"] for provider in model["providers"]] for model in listed["data"]}
    assert "openai/good" not in shown and shown["careful/good"] == ["careful"]


def test_a_keys_own_denial_holds_for_that_key_alone(service: Governed, signed_in: httpx2.Client) -> None:
    made = signed_in.post("/v1/account/keys", json={"name": "careful", "data_policy": {"only": ["careful"]}})
    assert made.status_code == 201, made.text
    strict = max((value for value in made.json().values() if isinstance(value, str)), key=len)
    assert chat(service, "openai/good", strict).status_code == 403
    assert chat(service, "careful/good", strict).headers["x-valueapi-provider"] == "careful"
    assert chat(service, "openai/good").status_code == 200


def test_storing_at_the_provider_needs_the_accounts_yes(service: Governed, signed_in: httpx2.Client) -> None:
    import json

    chat(service, "openai/good", store=True)
    assert json.loads(service.recorder.requests[-1].body)["store"] is False
    shown = [
        chat(service, "careful/good", provider={"only": [name]}).headers[RETENTION] for name in ("careful", "openai")
    ]
    assert shown == ["none", "unknown"]
    signed_in.put("/v1/account/data-policy", json={"allow_store": True}).raise_for_status()
    chat(service, "openai/good", store=True)
    assert json.loads(service.recorder.requests[-1].body)["store"] is True
    # What may be stored isn't gone with the answer, whatever the provider declares.
    assert chat(service, "careful/good", provider={"only": ["careful"]}).headers[RETENTION] == "unknown"
    # Zero retention wins over it.
    assert chat(service, "careful/good", store=True, provider={"zdr": True}).headers[RETENTION] == "none"
    assert json.loads(service.recorder.requests[-1].body)["store"] is False


def test_a_misspelt_policy_is_refused(signed_in: httpx2.Client) -> None:
    for policy in ({"ignroe": ["openai"]}, {"zdr": "yes"}, {"only": ["nobody-we-know"]}):
        answer = signed_in.put("/v1/account/data-policy", json=policy)
        assert answer.status_code in (400, 422) and answer.headers["content-type"] == "application/problem+json"


def test_usage_and_balance_are_the_accounts_own(service: Governed, signed_in: httpx2.Client) -> None:
    chat(service, "openai/good")
    told = signed_in.get("/v1/account/usage").json()
    assert told["balance_microcredits"] > 0
    assert httpx2.get(service.url + "/v1/account/usage").status_code == 401
    key_as_session = httpx2.get(service.url + "/v1/account/usage", headers={"authorization": f"Bearer {service.key}"})
    assert key_as_session.status_code == 401
