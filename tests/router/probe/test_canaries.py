"""Canaries: unguessable, told apart, found by their tag, and never shown."""

import pytest

from router.probe.canaries import CHARS, Direction, Marks, tags


def test_a_canary_is_named_by_where_it_was_put_and_is_the_same_each_time() -> None:
    marks = Marks("chat/500 as JSON", 7)
    value = marks.prompt("content")
    assert marks.prompt("content") == value and marks.prompt("other") != value != marks.completion("content")
    assert [canary.name for canary in marks] == [
        "chat/500 as JSON/prompt/content",
        "chat/500 as JSON/prompt/other",
        "chat/500 as JSON/completion/content",
    ]
    assert [canary.direction for canary in marks][-1] is Direction.COMPLETION


def test_it_is_plain_lower_case_text_of_enough_chance() -> None:
    values = [Marks("case", number).metadata("header") for number in range(500)]
    assert len(set(values)) == 500
    assert all(
        len(value) == CHARS and value.isalnum() and value.isascii() and value == value.lower() for value in values
    )
    # No sixteen bytes of one stand in another: a fragment says whose it is.
    fragments = [value[at : at + 16] for value in values for at in range(CHARS - 15)]
    assert len(set(fragments)) == len(fragments)


def test_the_case_is_known_from_any_bytes_around_it() -> None:
    one, other = Marks("one", 35), Marks("other", 36)
    text = f"x{one.prompt('a')}{other.prompt('b')}\xff{one.prompt('a')[:-1]}".encode("latin-1")
    assert list(tags(text)) == [one.tag, other.tag] == ["000z", "0010"]
    with pytest.raises(ValueError):
        Marks("too many", 36**4)


def test_no_text_form_shows_it() -> None:
    marks = Marks("case", 1)
    value = marks.prompt("content")
    assert value not in repr(list(marks)) + str(next(iter(marks)))
