"""Sinks ask whoever answers, and work that was given a text can say so."""

import asyncio

from governance import sinks
from governance.sinks import WITHHELD, Sink


class Refusing:
    def __init__(self) -> None:
        self.asked: list[tuple[Sink, object]] = []

    def withholds(self, sink: Sink, value: object) -> bool:
        self.asked.append((sink, value))
        return value == "bad"


def test_whoever_answers_is_asked_until_nobody_is() -> None:
    screen = Refusing()
    sinks.screen_with(screen)
    try:
        assert sinks.passed(Sink.LOG, "good") == "good" and sinks.passed(Sink.EVENT, "bad") == WITHHELD
    finally:
        sinks.screen_with(None)
    assert screen.asked == [(Sink.LOG, "good"), (Sink.EVENT, "bad")]
    assert not sinks.withholds(Sink.LOG, "bad")


def test_a_source_is_asked_late_and_once() -> None:
    asked: list[int] = []

    def source() -> list[str]:
        asked.append(1)
        return ["a"]

    with sinks.given(source):
        assert asked == []
        assert list(sinks.given_now()) == list(sinks.given_now()) == ["a"] and asked == [1]


async def test_what_was_given_holds_for_the_block_its_tasks_and_nobody_else() -> None:
    async def now() -> list[str]:
        sinks.read("read")
        return list(sinks.given_now())

    before = asyncio.ensure_future(now())
    with sinks.given(lambda: ["outer"]), sinks.given(lambda: ["inner"]):
        assert await asyncio.ensure_future(now()) == ["inner", "read", "outer"]
        sinks.read(b"bytes are no text")
        assert "***" in repr(sinks._given.get())
    assert await before == [] and list(sinks.given_now()) == []
