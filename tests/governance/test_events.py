"""The sink of events."""

import json
from pathlib import Path

from governance import clock, events


def test_an_event_is_on_disk_when_emit_returns(tmp_path: Path) -> None:
    events.open_sink(tmp_path / "log")
    events.emit("gateway:request:refused", {"request_id": "req_1", "count": 2})
    file = tmp_path / "log" / "events.jsonl"
    line = json.loads(file.read_text())
    assert line["event"] == "gateway:request:refused" and line["count"] == 2 and line["time"]
    assert file.stat().st_mode & 0o777 == 0o600
    events.emit("a:b:c", {})
    assert len(file.read_text().splitlines()) == 2


def test_the_clock_can_be_moved_and_given_back() -> None:
    from datetime import UTC, datetime

    moment = datetime(2024, 2, 29, tzinfo=UTC)
    clock.install(lambda: moment)
    try:
        assert clock.now() == moment and clock.unix_ms() == 1_709_164_800_000
    finally:
        clock.install(None)
    assert clock.now() > moment
