import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import InvalidRequest
from router.providers.scan import DEPTH_MAX, DuplicateField, Governed, MalformedBody, scan

GOVERNED = Governed(("model", "store", "stream_options"), {"cached_content": "cachedContent"})
SECRET = "canary-7f3a"

# JSON without lone surrogates, which we refuse and Python takes.
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def spell(text: str, escaped: list[bool]) -> str:
    """The string as JSON with some letters written as \\u escapes."""
    out = [
        f"\\u{ord(c):04x}" if e and ord(c) < 0x10000 else json.dumps(c)[1:-1]
        for c, e in zip(text, escaped, strict=True)
    ]
    return '"' + "".join(out) + '"'


@given(
    st.dictionaries(st.text(max_size=6), values, max_size=6),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from(["", " ", "\r\n\t"]),
)
@settings(max_examples=150, deadline=None)
def test_every_member_lies_where_the_scan_says(
    doc: dict[str, object], indent: int | None, ascii_only: bool, pad: str
) -> None:
    data = (pad + json.dumps(doc, indent=indent, ensure_ascii=ascii_only) + pad).encode()
    try:
        found = scan(data, Governed(()))
    except InvalidRequest:
        raise AssertionError("a valid object was refused") from None
    assert len(found.members) == len(doc)
    for member, (key, value) in zip(found.members, doc.items(), strict=True):
        text = data[member.start : member.end]
        name, end = json.JSONDecoder().raw_decode(text.decode())
        assert name == key
        assert json.loads(text.decode()[end:].lstrip()[1:]) == value
        assert json.loads(data[member.value_start : member.end]) == value


@given(st.binary(max_size=40) | st.text(alphabet='{}[]":,\\u0123eE+-.tfn truelsa\x0b', max_size=30).map(str.encode))
@settings(max_examples=400, deadline=None)
def test_accepts_nothing_that_a_strict_parser_refuses(data: bytes) -> None:
    try:
        scan(data, Governed(()))
    except InvalidRequest:
        return
    assert isinstance(json.loads(data.decode()), dict)


@given(st.lists(st.booleans(), min_size=5, max_size=5), st.lists(st.booleans(), min_size=5, max_size=5), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_governed_field_named_twice_is_refused_at_any_spelling(a: list[bool], b: list[bool], between: bool) -> None:
    middle = ',"x":{"model":[1,"}"]}' if between else ""
    data = f'{{{spell("model", a)}:"m1"{middle},{spell("model", b)}:"m2"}}'.encode()
    with pytest.raises(DuplicateField) as caught:
        scan(data, GOVERNED)
    assert caught.value.param == "model" and caught.value.code == "duplicate_field"


def test_the_two_spellings_of_one_proto_field_are_one_field() -> None:
    assert scan(b'{"cached_content":"a"}', GOVERNED).value("cachedContent") == "a"
    with pytest.raises(DuplicateField):
        scan(b'{"cached_content":"a","cachedContent":"b"}', GOVERNED)


@pytest.mark.parametrize("key", ["Model", "MODEL", "\u017ftore", "stream_option\u017f"])
def test_another_letter_case_of_a_governed_field_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        scan(json.dumps({key: 1}).encode(), GOVERNED)
    assert caught.value.code == "misspelled_field"


def test_a_field_that_no_rule_looks_at_may_come_twice() -> None:
    assert len(scan(b'{"x":1,"x":2}', GOVERNED).members) == 2


def test_nested_names_are_not_top_level_names() -> None:
    found = scan(b'{"a":{"model":"x"},"b":["model"]}', GOVERNED)
    assert "model" not in found and found.value("model") is None and found.raw("model") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"{}x",
        b"{}{}",
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":01}',
        b"{a:1}",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"canary-7f3a":"\xff"}',
        b'{"canary-7f3a":"\xed\xa0\x80"}',
        b'{"canary-7f3a":"\\ud800"}',
        b'{"canary-7f3a":"\x01"}',
        b'{"canary-7f3a":"\xc0\xaf"}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
    ],
)
def test_what_is_not_a_json_object_is_refused_without_a_quote(data: bytes) -> None:
    with pytest.raises(MalformedBody) as caught:
        scan(data, GOVERNED)
    error = caught.value
    assert SECRET not in str(error) and error.__cause__ is None and error.__suppress_context__


def test_depth_is_bounded_and_brackets_in_strings_do_not_count() -> None:
    def nested(levels: int, pad: str = "") -> bytes:
        return ('{"p":' + json.dumps(pad) + ',"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}").encode()

    assert scan(nested(DEPTH_MAX, 'x\\" [[[{{{ \\\\"' * 50), GOVERNED)
    with pytest.raises(MalformedBody):
        scan(nested(DEPTH_MAX + 1), GOVERNED)
    assert scan(json.dumps({"a": [{"b": [1]}] * 500}).encode(), GOVERNED)


def test_values_are_read_strictly() -> None:
    found = scan(b'{"stream_options":{"a":1,"\\u0061":2},"model":1e999,"store":null}', GOVERNED)
    with pytest.raises(DuplicateField) as caught:
        found.value("stream_options")
    assert caught.value.param == "stream_options"
    with pytest.raises(InvalidRequest):
        found.value("model")
    assert "store" in found and found.value("store") is None


def test_the_tree_refuses_only_the_named_duplicates() -> None:
    found = scan(b'{"a":[{"x":1,"x":2}]}', GOVERNED)
    assert found.tree(frozenset({"y"})) == {"a": [{"x": 2}]}
    with pytest.raises(DuplicateField):
        found.tree(frozenset({"x"}))
    with pytest.raises(MalformedBody):
        scan(b'{"a":' + b"1" * 5000 + b"}", GOVERNED).tree(frozenset())


def test_nothing_of_a_body_shows() -> None:
    found = scan(json.dumps({SECRET: SECRET}).encode(), GOVERNED)
    assert SECRET not in repr(found) and SECRET not in repr(found.members)


def test_time_is_linear() -> None:
    def best(data: bytes) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            scan(data, GOVERNED)
            times.append(time.perf_counter() - start)
        return min(times)

    for unit in ("a", '\\"', "\\\\", "{", "[["):
        body = json.dumps({"model": "m", "messages": [unit * 100_000]}).encode()
        assert best(body) < 0.05
    assert best(b"{" + b",".join(b'"k%d":0' % i for i in range(20_000)) + b"}") < 0.5
