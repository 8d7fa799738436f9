import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.providers.dialects import MalformedUpstream
from router.providers.sse import ArraySplitter, SSESplitter, parse_event

LINE = st.sampled_from(
    [
        "data: x",
        "data:y",
        "data",
        ": a comment",
        "event: e",
        "id: 1",
        "retry: 5",
        "data: \u2028\u0085\x0b\x0c \u2029",
        'data: {"a":1}',
    ]
)
END = st.sampled_from(["\n", "\r\n", "\r"])


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({c % (len(data) + 1) for c in cuts})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


def reference(text: str) -> list[tuple[str, str | None]]:
    """HTML Standard 9.2.6, by the letter, on the whole text; blocks without a field are left out."""
    out: list[tuple[str, str | None]] = []
    name, data, any_field = "", None, False
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in lines[:-1]:
        if line == "":
            if any_field:
                out.append((name, data))
            name, data, any_field = "", None, False
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        any_field = True
        if field == "data":
            data = value if data is None else data + "\n" + value
        elif field == "event":
            name = value
    return out


@given(
    st.lists(st.tuples(st.lists(st.tuples(LINE, END), min_size=1, max_size=4), END), max_size=4),
    st.booleans(),
    st.lists(st.integers(0, 10**6), max_size=8),
)
@settings(max_examples=300, deadline=None)
def test_events_are_the_standard_s_at_every_cut(
    blocks: list[tuple[list[tuple[str, str]], str]], bom: bool, cuts: list[int]
) -> None:
    text = ("\ufeff" if bom else "") + "".join("".join(a + b for a, b in lines) + end for lines, end in blocks)
    data = text.encode()
    splitter = SSESplitter()
    pieces = [event for chunk in cut(data, cuts) for event in splitter.feed(chunk)]
    rest = splitter.close()
    assert b"".join(pieces) + rest == data
    # The rest is a block whose closing line end was one with its last line's: its CR, and the next LF.
    seen = [parse_event(piece) for piece in [*pieces, rest]]
    whole = [
        (name.decode(), None if value is None else value.decode())
        for piece, (name, value) in zip([*pieces, rest], seen, strict=True)
        if piece.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n")
    ]
    assert whole == reference(text + "\n")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r", b"\r\n\n", b"\n\r\n"])
def test_an_event_is_given_as_soon_as_its_blank_line_is_there(end: bytes) -> None:
    for at in range(len(end)):
        splitter = SSESplitter()
        first = splitter.feed(b"data: 1" + end[:at])
        second = splitter.feed(end[at:])
        assert b"".join(first + second) + splitter.close() == b"data: 1" + end
        assert parse_event((first + second)[0]) == (b"", b"1")


def test_other_separators_end_no_line() -> None:
    data = "data: a\u2028\u2028b\u0085\u0085c\x0b\x0bd\x0c\x0c\x1c\x1de\n\n".encode()
    splitter = SSESplitter()
    assert splitter.feed(data) == [data]
    assert parse_event(data) == (b"", data[6:-2])


def test_a_name_and_many_data_lines() -> None:
    assert parse_event(b"\xef\xbb\xbfevent: e\r\ndata: a\r\ndata:b\rdata\n: c\nid: 1\nretry:3\n\n") == (b"e", b"a\nb\n")
    assert parse_event(b": keep-alive\n\n") == (b"", None)


def test_a_page_of_html_is_no_event() -> None:
    with pytest.raises(MalformedUpstream) as caught:
        parse_event(b"<html>canary</html>\n\n")
    assert "canary" not in str(caught.value)


def test_the_size_is_bounded_whole_or_in_drops() -> None:
    with pytest.raises(MalformedUpstream):
        SSESplitter(limit=100).feed(b"data: " + b"x" * 200 + b"\n\n")
    splitter = SSESplitter(limit=100)
    with pytest.raises(MalformedUpstream):
        for _ in range(200):
            splitter.feed(b"x")
    assert SSESplitter(limit=100).feed(b"data: x\n\n" * 100)


@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=3),
            st.text(alphabet='a"\\{}[],\u2028', max_size=8) | st.lists(st.just({"b": [1]}), max_size=2),
            max_size=3,
        ),
        max_size=4,
    ),
    st.sampled_from([None, 1]),
    st.lists(st.integers(0, 10**6), max_size=8),
    st.sampled_from(["", "\n", " \r\n"]),
)
@settings(max_examples=200, deadline=None)
def test_array_elements_at_every_cut(
    elements: list[dict[str, object]], indent: int | None, cuts: list[int], pad: str
) -> None:
    data = (pad + json.dumps(elements, indent=indent, ensure_ascii=False) + pad).encode()
    splitter = ArraySplitter()
    pieces = [piece for chunk in cut(data, cuts) for piece in splitter.feed(chunk)]
    assert b"".join(pieces) == data and splitter.close() == b"" and splitter.closed
    assert [json.loads(piece[piece.index(b"{") :]) for piece in pieces if b"{" in piece] == elements


@pytest.mark.parametrize(
    "data",
    [
        b'{"error":1}',
        b"[1]x{",
        b'["a",{}]',
        b"[[]]",
        b"[{}{}]",
        b"[{},,{}]",
        b"[{},]",
        b"]",
        b"[{}]]",
        b"[{}][",
        b"[{}] x",
        b"\\[",
        b"<p>{",
    ],
)
def test_what_is_not_an_array_of_objects_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedUpstream):
        ArraySplitter().feed(data)
    splitter = ArraySplitter()
    with pytest.raises(MalformedUpstream):
        for byte in data:
            splitter.feed(bytes([byte]))


def test_an_array_s_element_is_bounded() -> None:
    splitter = ArraySplitter(limit=50)
    with pytest.raises(MalformedUpstream):
        splitter.feed(b'[{"a":"' + b"x" * 60)
