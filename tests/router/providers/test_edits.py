import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.providers.edits import EDITS, Edit, applied, apply, put, remove
from router.providers.scan import Governed, scan

NAMES = ("model", "store", "user", "metadata")
GOVERNED = Governed(NAMES)
SPACE = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])
RAW = st.sampled_from(["1", "1.0", "1E+2", "-0", '"a\\u0062\\/"', "[ 1 ,{ }]", '{"model" : "x,}"}', "null", '"\u2028"'])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, str]]]:
    keys = draw(st.lists(st.sampled_from([*NAMES, "a", "b\\u0063", "d"]), unique=True, max_size=7))
    members = [(key, draw(RAW)) for key in keys]
    text = ",".join(f'{draw(SPACE)}"{key}"{draw(SPACE)}:{draw(SPACE)}{raw}{draw(SPACE)}' for key, raw in members)
    return (draw(SPACE) + "{" + (text or draw(SPACE)) + "}" + draw(SPACE)).encode(), members


EDIT = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from([put("user", name, "new"), put("user", name, {"x": [1]}), remove("user", name)])
)


@given(bodies(), st.lists(EDIT, max_size=4, unique_by=lambda edit: edit.field))
@settings(max_examples=300, deadline=None)
def test_an_edit_changes_its_member_and_no_other_byte(
    body: tuple[bytes, list[tuple[str, str]]], edits: list[Edit]
) -> None:
    data, members = body
    out = apply(scan(data, GOVERNED), edits)
    by_field = {edit.field: edit for edit in edits}
    expected: dict[str, Any] = {}
    for key, raw in members:
        edit = by_field.pop(key, None)
        if edit is None:
            expected[json.loads(f'"{key}"')] = json.loads(raw)
        elif edit.op == "set":
            expected[key] = edit.value
    for edit in by_field.values():
        if edit.op == "set":
            expected[edit.field] = edit.value
    assert list(json.loads(out).items()) == list(expected.items())
    # Each member that no edit names keeps its own bytes, white space inside it included.
    before, after = scan(data, GOVERNED), scan(out, GOVERNED)
    kept = [
        data[m.start : m.end]
        for m, (key, _) in zip(before.members, members, strict=True)
        if key not in {e.field for e in edits}
    ]
    assert all(any(text == out[m.start : m.end] for m in after.members) for text in kept)
    assert out[: after.open_at] == data[: before.open_at]


def test_no_edit_no_change() -> None:
    data = b' {"a" : 1.0 ,\n"model":"m\\u006f" } '
    assert apply(scan(data, GOVERNED), []) == data


@pytest.mark.parametrize(
    ("data", "edits", "out"),
    [
        (b'{ "model" : "x" , "a":1 }', [put("model", "model", "y")], b'{ "model" : "y" , "a":1 }'),
        (b'{ "model" : "x" , "a":1 }', [remove("model", "model")], b'{ "a":1 }'),
        (b'{ "a":1 , "model" : "x" }', [remove("model", "model")], b'{ "a":1 }'),
        (b'{"store":1,"a":1,"user":2,"model":3}', [remove("user", n) for n in NAMES], b'{"a":1}'),
        (b'{ "user":1 , "model":2 }', [remove("user", "user"), remove("user", "model")], b"{  }"),
        (b"{ }", [put("store", "store", False)], b'{"store":false }'),
        (
            b'{"user":1}',
            [remove("user", "user"), put("store", "store", False), put("model", "model", "m")],
            b'{"store":false,"model":"m"}',
        ),
        (b'{"a":1\n}', [put("store", "store", msgspec.Raw(b"{ 1:2}"))], b'{"a":1,"store":{ 1:2}\n}'),
    ],
)
def test_splices_byte_for_byte(data: bytes, edits: list[Edit], out: bytes) -> None:
    assert apply(scan(data, GOVERNED), edits) == out


def test_the_list_is_published_and_nothing_else_can_be_planned() -> None:
    assert all(sentence.endswith(".") for sentence in EDITS.values())
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz-") for name in EDITS)
    with pytest.raises(RuntimeError):
        Edit("secret-edit", "remove", "model")


def test_applied_names_each_edit_once_in_order_and_no_value_shows() -> None:
    edits = [put("user", "user", "canary"), put("store", "store", False), remove("user", "metadata")]
    assert applied(edits) == ("user", "store")
    assert "canary" not in repr(edits)
