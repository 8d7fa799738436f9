"""Every error in every dialect: status, type, and the headers that clients need."""

import json

import pytest

from router import errors
from router.errors import GatewayError, render
from router.surface import Dialect

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GatewayError) and kind is not GatewayError
]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dialect", [*Dialect, None])
def test_each_error_has_the_dialects_shape(kind: type[GatewayError], dialect: Dialect | None) -> None:
    status, headers, body = render(kind("Words of ours."), dialect, "req_1")
    told, sent = json.loads(body), dict(headers)
    assert status == kind.status and sent[b"x-request-id"] == b"req_1"
    if status in (429, 503):
        assert int(sent[b"retry-after"]) >= 1
    if dialect is Dialect.OPENAI:
        assert (
            told["error"]["code"] == kind.code
            and told["error"]["type"]
            and told["error"]["message"] == "Words of ours."
        )
    elif dialect is Dialect.ANTHROPIC:
        assert told["type"] == "error" and told["error"]["type"].endswith(("_error", "_too_large"))
    elif dialect is Dialect.GOOGLE:
        assert told["error"]["code"] == status and told["error"]["status"].isupper()
    else:
        assert (
            sent[b"content-type"] == b"application/problem+json"
            and told["status"] == status
            and told["title"] != "Error"
        )


def test_a_line_separator_cannot_break_an_event() -> None:
    event = errors.stream_event(GatewayError("a\u2028b\nc"), Dialect.OPENAI, "req_1")
    assert event.count(b"\n") == 2 and event.isascii()
