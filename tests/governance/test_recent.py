"""The map that ages."""

import time

import pytest

from governance.recent import Recent


def test_the_least_recently_used_goes_first() -> None:
    recent: Recent[str, int] = Recent(2, 60)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c"), len(recent)) == (1, None, 3, 2)


def test_an_entry_ends_with_its_time_however_often_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    recent: Recent[str, int] = Recent(2, 60)
    recent.put("a", 1)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 59)
    assert recent.get("a") == 1
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert recent.get("a") is None and len(recent) == 0


def test_what_is_forgotten_dropped_or_cleared_is_gone() -> None:
    recent: Recent[str, int] = Recent(9, 60)
    for value, name in enumerate("abcd"):
        recent.put(name, value)
    recent.forget("a")
    recent.forget("never")
    recent.drop(lambda value: value > 2)
    assert [recent.get(name) for name in "abcd"] == [None, 1, 2, None]
    recent.clear()
    assert len(recent) == 0
