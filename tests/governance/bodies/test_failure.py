"""An exception that bodies were near: its type and place can be told, and then nothing hangs on it any more."""

import asyncio
import gc
import json
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from governance.bodies import failure
from governance.errors import Rejected

SECRET = "kanarie-of-the-prompt"


def text_of(error: BaseException) -> str:
    """As much as a tracker prints: every exception of the chain, with locals, and every attribute."""
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    said = [getattr(error, name, None) for name in dir(error)]
    return shown + repr(error) + repr([each for each in said if not callable(each)])


def unreadable(prompt: str) -> None:
    raise ValueError(json.loads("{" + prompt))


def hidden(prompt: str) -> None:
    try:
        unreadable(prompt)
    except ValueError:
        raise KeyError("words of ours") from None  # hides its context, and keeps it


def chained(prompt: str) -> None:
    try:
        unreadable(prompt)
    except ValueError as error:
        raise RuntimeError("words of ours") from error


def grouped(prompt: str) -> None:
    found: list[Exception] = []
    for each in (hidden, chained):
        try:
            each(prompt)
        except Exception as error:
            found.append(error)
    raise ExceptionGroup("words of ours", found)


def noted(prompt: str) -> None:
    error = ValueError("words of ours")
    error.add_note(prompt)
    raise error


def looking_up(prompt: str) -> None:
    {}[prompt.encode()]


def decoding(prompt: str) -> None:
    (prompt.encode() + b"\xff").decode()


def encoding(prompt: str) -> None:
    (prompt + "\ud800").encode()


def missing(prompt: str) -> None:
    getattr(prompt, prompt)


def opening(prompt: str) -> None:
    Path("/nowhere", prompt).stat()


def importing(prompt: str) -> None:
    raise ImportError(prompt, name=prompt, path=prompt)


def compiling(prompt: str) -> None:
    compile("x = " + prompt + " y", prompt, "exec")


def stopping(prompt: str) -> None:
    raise StopIteration(prompt)


def leaving(prompt: str) -> None:
    raise SystemExit(prompt)


def cancelling(prompt: str) -> None:
    raise asyncio.CancelledError(prompt)


def inflating(prompt: str) -> None:
    zlib.decompress(prompt.encode())


@pytest.mark.parametrize(
    "fails",
    [unreadable, hidden, chained, grouped, noted, looking_up, decoding, encoding, missing, opening, importing, compiling,
     stopping, leaving, cancelling, inflating],
)  # fmt: skip
def test_an_emptied_exception_holds_nothing(fails: Callable[[str], None]) -> None:
    try:
        fails(SECRET)
    except BaseException as error:
        known = [error, *(each for each in gc.get_objects() if isinstance(each, BaseException))]
        assert SECRET in text_of(error)  # or the test would show nothing
        met = failure.of(error)
        failure.empty(error)
        assert SECRET not in text_of(error)
        assert error.__context__ is None and error.__cause__ is None
        # Those that came before it are emptied too, for whoever kept them.
        ours = [each for each in known if each is not error and SECRET in repr(each)]
        assert ours == []
    assert met.type == type(error_of(fails)).__name__ and SECRET not in met.place
    assert met.place.partition(":")[0] in ("test_failure.py", "decoder.py", "pathlib.py", "__init__.py")


def error_of(fails: Callable[[str], None]) -> BaseException:
    try:
        fails("x")
    except BaseException as error:
        return error
    raise AssertionError("it doesn't fail")


def test_frames_that_are_over_lose_their_locals_and_one_that_runs_keeps_its_own() -> None:
    kept = []

    def inner(prompt: str) -> None:
        try:
            unreadable(prompt)
        except ValueError as error:
            kept.append(error.__traceback__)
            raise

    mine = "still here"
    try:
        inner(SECRET)
    except ValueError as error:
        failure.empty(error)
    assert mine == "still here"
    frames = [frame for frame, _ in traceback.walk_tb(kept[0])]
    assert len(frames) >= 2 and all(SECRET not in repr(frame.f_locals) for frame in frames)


def test_the_text_of_an_error_of_ours_stays_for_its_answer() -> None:
    try:
        try:
            unreadable(SECRET)
        except ValueError:
            raise Rejected("The field is too long.") from None
    except Rejected as error:
        failure.empty(error)
        assert str(error) == "The field is too long." and SECRET not in text_of(error)


def test_a_ring_of_causes_ends() -> None:
    first, second = ValueError(SECRET), KeyError(SECRET)
    first.__cause__, second.__cause__ = second, first
    failure.empty(first)
    assert SECRET not in text_of(first) + text_of(second)


def test_without_a_traceback_there_is_no_place() -> None:
    assert failure.of(ValueError(SECRET)) == failure.Failure("ValueError", "")
