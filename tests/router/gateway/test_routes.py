"""Which path is the gateway's."""

import pytest

from router.gateway.routes import match
from router.surface import ENDPOINT_DIALECT, GATEWAY_PATHS, NOT_OFFERED, Dialect, Endpoint


def test_every_named_path_is_matched_in_its_dialect() -> None:
    for endpoint, path in GATEWAY_PATHS.items():
        found = match(path.template.replace("{model}", "a/b"))
        assert found is not None and found.endpoint is endpoint and found.dialect is ENDPOINT_DIALECT[endpoint]


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_a_google_model_may_hold_slashes_and_colons(version: str) -> None:
    found = match(f"/{version}/models/simulator/gemini:x:streamGenerateContent")
    assert found is not None and found.endpoint is Endpoint.STREAM_GENERATE and found.model == "simulator/gemini:x"


@pytest.mark.parametrize(
    "path", ["/", "/portal/", "/healthz", "/v1/account/keys", "/v1/privacy/x", "/v1/receipts/1", "/v2/x"]
)
def test_other_paths_are_the_web_applications(path: str) -> None:
    assert match(path) is None


def test_an_unknown_path_is_answered_in_the_callers_dialect() -> None:
    for path, dialect in (
        ("/v1/x", Dialect.OPENAI),
        ("/v1/messages/x", Dialect.ANTHROPIC),
        ("/v1beta/x", Dialect.GOOGLE),
    ):
        found = match(path)
        assert found is not None and found.refusal == "" and found.dialect is dialect


def test_what_is_not_offered_says_why() -> None:
    for prefix, why in NOT_OFFERED.items():
        for path in (prefix, prefix + "/some-id"):
            found = match(path)
            # /upload alone is nobody's path; below it is Google's.
            assert (found is not None and found.refusal == why) or path == "/upload"


@pytest.mark.parametrize("rest", ["", "/cancel", "/input_items"])
def test_a_stored_response_says_why_and_a_new_one_is_still_served(rest: str) -> None:
    found = match(f"/v1/responses/resp_1{rest}")
    assert found is not None and found.refusal is not None and "kept at the provider" in found.refusal
    for path, endpoint in (("/v1/responses", Endpoint.RESPONSES), ("/v1/chat/completions", Endpoint.CHAT)):
        found = match(path)
        assert found is not None and found.endpoint is endpoint and found.refusal is None
