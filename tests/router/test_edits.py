"""What the provider receives is what the caller sent, but for the published edits; and nothing of the caller's head."""

import json

import httpx2
import pytest

from tests.router.conftest import Governed
from tests.services import providers


def post(service: Governed, path: str, body: bytes, **headers: str) -> httpx2.Response:
    sent = {"authorization": f"Bearer {service.key}", "content-type": "application/json", **headers}
    return httpx2.post(service.url + path, content=body, headers=sent, timeout=30)


CASES = {
    "chat": (
        "/v1/chat/completions",
        b'{ "messages":[{"role":"user","content":"caf\\u00e9 \xe2\x80\xa8 1e2"}],\n\t"model" : "openai/good", "seed":1e2,'
        b' "temperature": 0.10 }',
        lambda sent: sent.replace(b'"openai/good"', b'"sim-gpt"'),
        {"model", "store", "user"},
    ),
    "messages": (
        "/v1/messages",
        b'{"max_tokens":9,"model":"anthropic/good","messages":[{"role":"user","content":"caf\\u00e9"}], "top_k":5}',
        lambda sent: sent.replace(b'"anthropic/good"', b'"sim-claude"'),
        {"model", "user"},
    ),
    "generate": (
        "/v1beta/models/google/good:generateContent",
        b'{"contents":[{"role":"user","parts":[{"text":"caf\\u00e9"}]}] ,"generationConfig":{"topK":5}}',
        lambda sent: sent,
        {"store"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bytes_are_kept_but_for_the_published_edits(service: Governed, case: str) -> None:
    path, sent, mapped, edits = CASES[case]
    answer = post(service, path, sent)
    assert answer.status_code == 200, answer.text
    received = service.recorder.requests[-1].body
    assert set(filter(None, answer.headers.get("x-valueapi-edits", "").split(", "))) == edits
    # Appended members stand at the end: what comes before them is the caller's own, byte for byte.
    kept = mapped(sent).rstrip()[:-1].rstrip()
    assert received.startswith(kept), (kept, received)
    extra = set(json.loads(received)) - set(json.loads(sent))
    assert extra <= {"store", "user", "safety_identifier", "metadata"}


def test_the_answer_comes_back_byte_for_byte(service: Governed) -> None:
    """The same request to the simulator itself and through the router: the same bytes."""
    body = {"model": "openai/good", "messages": [{"role": "user", "content": "say kanarie"}], "stream": True,
            "stream_options": {"include_usage": True}}  # fmt: skip
    through = post(service, "/v1/chat/completions", json.dumps(body).encode())
    received = service.recorder.requests[-1]
    upstream = f"http://{received.header('host')}"
    direct = httpx2.post(upstream + received.path, content=received.body,
                         headers={"content-type": "application/json", "authorization": "Bearer x"})  # fmt: skip
    assert through.content == direct.content


def test_the_provider_sees_no_address_agent_cookie_or_account(service: Governed) -> None:
    post(
        service, "/v1/chat/completions",
        b'{"model":"openai/good","messages":[{"role":"user","content":"hi"}],"user":"ada@example.org"}',
        **{"user-agent": "secret-agent/1", "cookie": "a=secret-cookie", "x-forwarded-for": "203.0.113.9",
           "x-secret": "secret-header", "referer": "https://secret.example"},
    )  # fmt: skip
    received = service.recorder.requests[-1]
    whole = repr(received.headers) + received.body.decode() + received.query.decode()
    for secret in ("secret", "203.0.113.9", "ada@example.org", service.key):
        assert secret not in whole
    assert received.header("authorization") == f"Bearer {providers.KEY}"
    names = {name for name, _ in received.headers}
    assert names <= {b"host", b"content-type", b"content-length", b"accept-encoding", b"authorization"}
    user = json.loads(received.body)["user"]
    assert user.startswith("va-")


def test_the_pseudonym_is_stable_and_differs_by_provider(service: Governed) -> None:
    seen = []
    for provider in ("openai", "openai", "careful"):
        body = {
            "model": "careful/good",
            "messages": [{"role": "user", "content": "hi"}],
            "provider": {"only": [provider]},
        }
        assert (
            post(service, "/v1/chat/completions", json.dumps(body).encode()).headers["x-valueapi-provider"] == provider
        )
        seen.append(json.loads(service.recorder.requests[-1].body)["user"])
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("sent", [b"", b',"store":true', b',"store" : null'])
def test_store_is_sent_as_false(service: Governed, path: str, sent: bytes) -> None:
    text = b'"input":"hi"' if path.endswith("responses") else b'"messages":[{"role":"user","content":"hi"}]'
    assert post(service, path, b'{"model":"openai/good",' + text + sent + b"}").status_code == 200
    assert json.loads(service.recorder.requests[-1].body)["store"] is False


@pytest.mark.parametrize(
    "twice",
    [b'"model":"openai/good","model":"openai/500"', b'"model":"openai/good","mod\\u0065l":"openai/500"',
     b'"model":"openai/good","store":false,"st\\u006Fre":true', b'"model":"openai/good","provider":{},"provider":{}'],
)  # fmt: skip
def test_a_governed_field_named_twice_is_refused(service: Governed, twice: bytes) -> None:
    answer = post(service, "/v1/chat/completions", b'{"messages":[{"role":"user","content":"hi"}],' + twice + b"}")
    assert answer.status_code == 400 and "twice" in answer.json()["error"]["message"]
    assert service.recorder.requests == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"model": "openai/good", "input": "hi", "previous_response_id": "resp_1"}),
        ("/v1/responses", {"model": "openai/good", "input": "hi", "background": True}),
        ("/v1/chat/completions", {"model": "openai/good", "messages": [{"role": "user", "content": [
            {"type": "file", "file": {"file_id": "file-1"}}]}]}),
        ("/v1beta/models/google/good:generateContent", {"contents": [], "cachedContent": "cachedContents/1"}),
    ],
)  # fmt: skip
def test_state_at_the_provider_is_refused_with_a_reason(service: Governed, path: str, body: dict[str, object]) -> None:
    answer = post(service, path, json.dumps(body).encode())
    assert answer.status_code == 400 and "isn't offered" in answer.json()["error"]["message"]
    assert service.recorder.requests == []


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1/assistants/a", "/v1/vector_stores", "/v1beta/files"])
def test_paths_that_keep_content_are_refused_with_a_reason(service: Governed, path: str) -> None:
    answer = post(service, path, b"{}")
    assert answer.status_code == 404 and "isn't offered" in answer.json()["error"]["message"]


def test_zero_retention_strips_or_refuses_longer_caches(service: Governed) -> None:
    zdr = {"zdr": True}
    chat = {"model": "careful/good", "messages": [{"role": "user", "content": "hi"}], "provider": zdr,
            "prompt_cache_retention": "24h", "prompt_cache_key": "ada"}  # fmt: skip
    answer = post(service, "/v1/chat/completions", json.dumps(chat).encode())
    assert answer.headers["x-valueapi-provider"] == "careful"
    received = json.loads(service.recorder.requests[-1].body)
    assert (
        "prompt_cache_retention" not in received and "prompt_cache_key" not in received and "provider" not in received
    )


@pytest.mark.parametrize("wire", ["native", "translated"])
@pytest.mark.parametrize(
    ("constraint", "sent_on"),
    [
        ({"zdr": True}, {"zdr": True, "data_collection": "deny"}),
        ({"max_retention_days": 0}, {"zdr": True, "data_collection": "deny"}),
        ({"data_collection": "deny"}, {"data_collection": "deny"}),
        ({"ignore": ["openai"]}, {"ignore": ["azure", "openai-upstream"]}),
        ({"allow_fallbacks": False}, {"allow_fallbacks": False}),
        ({}, None),
    ],
)
def test_an_aggregator_is_told_the_constraint_that_it_counts_as_keeping(
    service: Governed, wire: str, constraint: dict[str, object], sent_on: dict[str, object] | None
) -> None:
    body = {
        "model": "hub/good",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "provider": constraint,
    }
    path = "/v1/chat/completions" if wire == "native" else "/v1/messages"
    answer = post(service, path, json.dumps(body).encode())
    assert answer.status_code == 200, answer.text
    received = json.loads(service.recorder.requests[-1].body)
    assert received.get("provider") == sent_on
    if sent_on:
        assert "provider" in answer.headers["x-valueapi-edits"].split(", ")
    if sent_on and "zdr" in sent_on:
        assert "zdr" in answer.headers["x-valueapi-data-policy"]
