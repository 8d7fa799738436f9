"""A body has no text form: each way by which one leaked elsewhere shows a length and a tag, or is refused."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest

from governance.bodies.body import Body
from governance.db import Database

SECRET = b"kanarie-of-the-prompt"


@pytest.mark.parametrize(
    "shown",
    [repr, str, lambda body: f"{body}", lambda body: f"{body!r:>60}", lambda body: f"{body}", lambda body: str([body]),
     lambda body: str({"a": body}), lambda body: str(ValueError(body))],
)  # fmt: skip
def test_it_prints_as_a_length_and_a_tag(shown: Callable[[Body], str]) -> None:
    text = shown(Body(SECRET))
    assert "21 bytes" in text and "kanarie" not in text


@pytest.mark.parametrize(
    "attempt",
    [pickle.dumps, copy.copy, copy.deepcopy, lambda body: json.dumps({"a": body}), bytes, list, lambda body: body + b"",
     lambda body: b"" + body, lambda body: body[0], memoryview, lambda body: "".join([body])],
)  # fmt: skip
def test_everything_else_is_refused_without_its_words(attempt: Callable[[Body], object]) -> None:
    with pytest.raises(TypeError) as caught:
        attempt(Body(SECRET))
    assert "kanarie" not in str(caught.value)


def test_the_tag_is_random_and_stays() -> None:
    body = Body(SECRET)
    assert repr(body) == repr(body) != repr(Body(SECRET))


def test_it_compares_by_identity_so_that_no_assertion_prints_it() -> None:
    assert Body(SECRET) != Body(SECRET)
    assert Body(SECRET) != SECRET


def test_a_log_line_and_a_traceback_with_locals_show_nothing(caplog: pytest.LogCaptureFixture) -> None:
    body = Body(SECRET)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").warning("got %s and %r", body, {"body": body})
    assert "kanarie" not in caplog.text and "21 bytes" in caplog.text
    try:
        raise ValueError("no")
    except ValueError as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert "kanarie" not in "".join(frames.format())


async def test_it_is_no_sql_parameter(stores: tuple[Database, object]) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    with pytest.raises((DBAPIError, TypeError)) as caught:
        async with stores[0].engine.connect() as connection:
            await connection.execute(text("SELECT CAST(:a AS TEXT)"), {"a": Body(SECRET)})
    assert "kanarie" not in str(caught.value)


def test_only_expose_gives_the_bytes() -> None:
    assert Body(SECRET).expose() == SECRET and len(Body(SECRET)) == 21 and bool(Body(b""))
