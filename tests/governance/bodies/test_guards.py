"""The guard: what it does with a hit, what an incident holds, and what happens where it fails itself."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance import events, sinks
from governance.bodies import guards
from governance.bodies.fragments import Holding, Watch
from governance.bodies.guards import Guard, _holds_text, installed
from governance.sinks import WITHHELD, Sink
from tests.services.guarding import PROMPT, body, words

Ask = Callable[..., Holding]


def incidents(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_hit_is_one_incident_a_place_and_counted_after_it(guard: Guard, asked: Ask, event_log: Path) -> None:
    for at in range(5):
        assert guard.withholds(Sink.LOG, f"got {PROMPT[at:]}")
    assert guard.withholds(Sink.LOG, PROMPT)
    guard.said()
    found = incidents(event_log)
    assert [each["event"] for each in found] == ["bodies:guard:hit"] * 2
    first = found[0]
    assert first["sink"] == "log" and str(first["place"]).startswith("tests/governance/bodies/test_guards.py:")
    assert first["fragment_bytes"] == len(PROMPT) and first["value_bytes"] == len(PROMPT) + 4
    assert sum(guard.places.values()) == 6 and len(guard.places) == 2


def test_an_incident_holds_nothing_of_the_fragment(guard: Guard, asked: Ask, event_log: Path) -> None:
    guard.withholds(Sink.LOG, PROMPT)
    guard.said()
    text = event_log.read_text()
    assert not any(PROMPT[at : at + 6] in text for at in range(len(PROMPT) - 5))
    [told] = incidents(event_log)
    # Keyed for this process: who guesses the text can't confirm it from the log.
    other = Guard(Watch(), guard.known)
    assert told["value"] == guard.digest(PROMPT.encode()) != other.digest(PROMPT.encode())


def test_nothing_is_withheld_that_no_body_holds(guard: Guard, asked: Ask) -> None:
    for value in ("Dear doctor, since Wednesday my right knee is fine", PROMPT[:31], PROMPT[:31].encode(), None, 5, "",
                  {"a": [1, "b"]}, os.urandom(400), b"\xff" * 100):  # fmt: skip
        assert not guard.withholds(Sink.SQL, value)


@pytest.mark.parametrize("value", [
    PROMPT, PROMPT.encode(), {"a": {"b": [PROMPT]}}, {PROMPT: 1}, (1, PROMPT), ValueError(f"bad: {PROMPT}"),
    b"\x83\xa1a\xd9\x6c" + PROMPT.encode() + b"\xc1\xff", bytearray(PROMPT.encode()), memoryview(PROMPT.encode()),
    PROMPT[30:62], PROMPT.encode()[40:72],
])  # fmt: skip
def test_every_form_of_a_value_is_looked_into(guard: Guard, asked: Ask, value: object) -> None:
    assert guard.withholds(Sink.REDIS, value)


def test_noise_is_told_from_text_and_a_cut_character_is_text() -> None:
    assert sum(_holds_text(os.urandom(32)) for _ in range(2000)) == 0
    assert _holds_text(("é" * 20).encode()[1:33]) and _holds_text(b"\xff" + ("日本" * 9).encode()[2:34] + b"\xff")


@pytest.mark.parametrize("sink", list(Sink))
def test_a_guard_that_fails_is_told_and_loses_no_charge(
    guard: Guard, asked: Ask, event_log: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(value: bytes) -> list[object]:
        raise RuntimeError(PROMPT)

    monkeypatch.setattr(guard.watch, "find", fail)
    goes_on = sink in (Sink.SQL, Sink.SEALED)
    for _ in range(3):
        assert guard.withholds(sink, PROMPT) is not goes_on
    guard.said()
    [told] = incidents(event_log)
    assert told["event"] == "bodies:guard:failed" and told["type"] == "RuntimeError" and told["sink"] == sink.value
    assert "knee" not in event_log.read_text() and sum(guard.failures.values()) == 3


@pytest.mark.parametrize("part", ["place", "counted", "thread"])
def test_a_report_that_fails_changes_nothing_of_the_answer(
    guard: Guard, asked: Ask, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    if part == "place":
        monkeypatch.setattr(guards, "place", fail)
    else:
        monkeypatch.setattr(guard, "_counted" if part == "counted" else "_say", fail)
    assert guard.withholds(Sink.SQL, PROMPT) and guard.withholds(Sink.JOURNAL, PROMPT)
    assert not guard.withholds(Sink.SQL, "a value that is in no body at all, I think")
    monkeypatch.setattr(guard.watch, "find", fail)
    assert not guard.withholds(Sink.SQL, PROMPT) and guard.withholds(Sink.LOG, PROMPT)


def test_a_value_that_is_given_up_on_is_told(guard: Guard, asked: Ask, event_log: Path) -> None:
    asked("".join(f"sixteen letters.{number:016d}" for number in range(6000)))
    assert not guard.withholds(Sink.LOG, "say sixteen letters. and nothing else")
    guard.said()
    [told] = incidents(event_log)
    assert (told["event"], told["type"]) == ("bodies:guard:failed", "Overrun")


def test_an_events_detail_is_screened_and_the_event_still_written(guard: Guard, asked: Ask, event_log: Path) -> None:
    events.emit("test:leak:planted", {"note": f"saw {PROMPT}", "count": 3})
    guard.said()
    by_name = {each["event"]: each for each in incidents(event_log)}
    assert by_name["test:leak:planted"]["note"] == WITHHELD and by_name["test:leak:planted"]["count"] == 3
    assert str(by_name["bodies:guard:hit"]["place"]).startswith("tests/governance/bodies/test_guards.py:")
    assert "knee" not in event_log.read_text()


async def test_the_same_from_the_loop(guard: Guard, asked: Ask, event_log: Path) -> None:
    await events.emit_async("test:leak:planted", {"note": PROMPT})
    guard.said()
    by_name = {each["event"]: each for each in incidents(event_log)}
    assert by_name["test:leak:planted"]["note"] == WITHHELD
    assert "test_guards.py" in str(by_name["bodies:guard:hit"]["place"])


def test_another_thread_is_watched_too(guard: Guard, asked: Ask) -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(sinks.withholds(Sink.LOG, PROMPT)))
    thread.start()
    thread.join()
    assert found == [True]


def test_hits_are_counted_by_sink(event_log: Path) -> None:
    seen: list[Sink] = []
    with installed(Guard(Watch(), words(), counted=seen.append)) as guard:
        guard.watch.hold(body(PROMPT))
        sinks.withholds(Sink.MAIL, PROMPT)
        sinks.withholds(Sink.MAIL, "a value that is in no body at all, I think")
    assert seen == [Sink.MAIL]


def test_without_a_guard_everything_may(event_log: Path) -> None:
    assert not sinks.withholds(Sink.LOG, PROMPT) and sinks.passed(Sink.LOG, PROMPT) == PROMPT


def test_names_and_lists_of_an_events_detail_are_screened_too(guard: Guard, asked: Ask, event_log: Path) -> None:
    detail: dict[str, Any] = {PROMPT: 1, "words": [PROMPT], "deep": {"a": [{PROMPT: 2}]}, "fine": [1, "two"]}
    events.emit("test:leak:named", detail)
    [line] = [each for each in event_log.read_text().splitlines() if "test:leak:named" in each]
    told = json.loads(line)
    assert told["words"] == told["deep"] == WITHHELD and told[WITHHELD] == 1 and told["fine"] == [1, "two"]
    assert PROMPT[:32] not in line
