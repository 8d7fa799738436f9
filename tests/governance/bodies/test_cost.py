"""What somebody writes to keep the watch busy costs in proportion to its length, and is bounded."""

import json
import time
from collections.abc import Callable

import pytest

from governance.bodies.body import Body
from governance.bodies.content import AnswerText, strings
from governance.bodies.fragments import Holding, Watch
from tests.services.guarding import words

VALUE = b"an ordinary value that nobody knows at all"
ESCAPES = b'{"error":"' + b'\\"' * 12_000
QUOTES = [b'{"a":"' + b'\\"' * 100_000, b'"\\' * 100_000, b'"' * 200_000, b"\\" * 200_000, b'"' + b"\\n" * 100_000]


def cpu(work: Callable[[], object]) -> float:
    """Seconds of this thread's, the least of three."""
    spent = []
    for _ in range(3):
        begun = time.thread_time()
        work()
        spent.append(time.thread_time() - begun)
    return min(spent)


@pytest.mark.parametrize("data", QUOTES, ids=["escaped quotes", "quote backslash", "quotes", "backslashes", "escapes"])
def test_a_body_is_read_once(data: bytes) -> None:
    """A quarter takes no less than a tenth; squared it would be a sixteenth, and 20 seconds and more."""
    assert cpu(lambda: list(strings(data))) < 0.5
    short, long = cpu(lambda: list(strings(data[: len(data) // 4]))), cpu(lambda: list(strings(data)))
    assert long < 10 * short + 0.01


def test_of_a_huge_body_its_beginning_and_its_end_are_read() -> None:
    many = json.dumps({f"name of a member that is long enough {number}": "x" * 40 for number in range(150_000)})
    assert len(many) > 13_000_000
    last = json.dumps({"content": "the last message, which is what matters most of all"})
    data = f"{many[:-1]}, {last[1:]}".encode()
    assert sum(map(len, strings(data))) < 5 << 20
    watch = Watch()
    watch.hold(Body(data))
    assert cpu(lambda: watch.find(VALUE)) < 2
    assert watch._index.blocks < 1 << 16
    assert b"the last message, which is what matters most of all" in set(strings(data))


def test_an_answer_is_read_as_it_grows_and_not_from_its_beginning() -> None:
    watch = Watch()
    holding = watch.hold(Body(b'{"m":"hello"}'))

    def grow() -> None:
        for _ in range(100):
            holding.add(b"x")
            watch.find(VALUE)

    holding.add(ESCAPES)
    assert cpu(lambda: watch.find(VALUE)) < 0.5
    grow()
    many = [b"y" * 100_000] * 60
    for piece in many:
        holding.add(piece)
        watch.find(VALUE)
    assert _kept(holding) <= 600 << 10
    # 8 MiB were read again by now: what comes is taken as it comes.
    assert cpu(grow) < 0.2


def _kept(holding: Holding) -> int:
    assert holding.read is not None
    return holding.read.kept_bytes


def test_an_answer_of_many_events_is_bounded() -> None:
    answer = AnswerText()
    for number in range(20_000):
        answer.feed(b"data: " + json.dumps({f"place {number}": "x" * 400}).encode() + b"\n")
    assert answer.kept_bytes < 5 << 20 and len(answer.joined) < 5_000
    deep = b"data: " + b'{"a":' * 900 + b'"x"' + b"}" * 900 + b"\n"
    assert cpu(lambda: AnswerText().feed(deep * 20)) < 0.2


def test_a_value_is_compared_for_a_bounded_time() -> None:
    watch = Watch()
    block = b"abcdefghijklmnop"
    texts = [block + bytes([65 + number % 26]) * 15 + str(number).zfill(6).encode() for number in range(3_000)]
    watch.hold(Body(json.dumps([text.decode() for text in texts]).encode()))
    value = b"".join(block + str(number).zfill(4).encode() for number in range(1_600))
    watch.find(VALUE)
    assert cpu(lambda: watch.find(value)) < 0.5


def test_our_own_words_are_looked_for_during_a_bounded_time() -> None:
    known = words()
    steps = b"".join(sorted(known._steps)[:3_200])[: 32 << 10]
    assert cpu(lambda: list(known.rest(steps))) < 0.4
