import json

import pytest

from router.errors import InvalidRequest
from router.providers.translation import DROPPED, Untranslatable
from router.providers.translation.common import Fields, decode_request, encode, upstream_message
from tests.router.providers.translation.samples import CHAT, SEPARATORS, ask, raw, to_anthropic, to_google


def test_untranslatable_is_a_400() -> None:
    assert issubclass(Untranslatable, InvalidRequest)
    assert Untranslatable.status == 400


def test_every_omission_has_its_reason() -> None:
    assert all(len(why) > 10 for why in DROPPED.values())
    with pytest.raises(RuntimeError):
        Fields({"temperature": 1}, "").drop("temperature")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff{}",
        b'{"a":NaN}',
        b'{"model":"a","model":"b"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"x":{"a":1,"a":2}}',
        b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"x":' + b"9" * 5000 + b"}",
    ],
)
def test_what_isnt_one_plain_object_is_refused(body: bytes) -> None:
    with pytest.raises(Untranslatable) as caught:
        decode_request(body)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_unknown_fields_are_refused_and_their_names_stay_out_of_the_text() -> None:
    for found in (to_anthropic(), to_google()):
        with pytest.raises(Untranslatable) as caught:
            ask(found, {**CHAT, "canary_field": "canary"})
        assert caught.value.param == "canary_field"
        assert "canary" not in str(caught.value)
        with pytest.raises(Untranslatable) as caught:
            ask(found, {**CHAT, "my e-mail is a@b.c": 1})
        assert caught.value.param is None


def test_a_number_beyond_json_is_refused_not_sent_as_infinity() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"maximum": 1e300}}}
    body = raw({**CHAT, "tools": [tool]}).replace(b"1e+300", b"1e999")
    with pytest.raises(Untranslatable):
        to_anthropic().request(body, upstream_model="m", upstream_user=None, default_max_tokens=1)


def test_output_is_ascii() -> None:
    assert encode({"x": SEPARATORS}).isascii()


def test_error_messages_of_every_dialect() -> None:
    for body in (
        {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
        {"error": {"message": "no", "type": "x"}},
        [{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}],
        {"error": "no"},
    ):
        assert upstream_message(raw(body)) == "no"
    for bad in (b"", b"<html>", b"[]", b"{}", b'{"error":{}}', b"\xff", b'{"error":{"message":""}}'):
        assert upstream_message(bad) is None
    long = upstream_message(json.dumps({"error": {"message": "x" * 100_000}}).encode())
    assert long is not None
    assert len(long) == 4096
