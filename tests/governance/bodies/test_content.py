"""Which texts of a body are content, and how an answer's pieces are put together."""

import json

from governance.bodies.content import AnswerText, encoded, strings

LONG = "a text that is long enough to be told again, and again"


def test_long_strings_are_content_and_short_ones_and_numbers_are_not() -> None:
    data = json.dumps({"model": "m", "role": "user", "n": 10**40, "content": LONG, "x": [{"y": LONG.upper()}]})
    assert list(strings(data.encode())) == [LONG.encode(), LONG.upper().encode()]


def test_what_is_escaped_is_there_in_both_forms() -> None:
    text = f'{LONG}\n"quoted" \U0001f600'
    escaped = json.dumps(text)
    assert list(strings(json.dumps({"a": text}).encode())) == [escaped[1:-1].encode(), text.encode()]
    half = f"{LONG} \ud800"
    assert list(strings(json.dumps([half]).encode()))[1] == encoded(half)


def test_what_is_no_json_is_content_as_a_whole() -> None:
    assert list(strings(LONG.encode())) == [LONG.encode()]
    assert list(strings(b"short")) == [] and list(strings(b"\xff" * 40)) == [b"\xff" * 40]


def test_pieces_of_one_place_are_joined_and_blank_lines_are_no_content() -> None:
    answer = AnswerText()
    for at in range(0, len(LONG), 3):
        event = {"choices": [{"index": at % 2, "delta": {"content": LONG[at : at + 3]}}]}
        answer.feed(b"event: x\r\ndata: " + json.dumps(event).encode() + b"\r\n\r\n")
    joined = {bytes(text).decode() for text in answer.joined.values()}
    pieces = [LONG[at : at + 3] for at in range(0, len(LONG), 3)]
    assert joined == {"".join(pieces[::2]), "".join(pieces[1::2])}
    assert not answer.rest and answer.loose() == []
