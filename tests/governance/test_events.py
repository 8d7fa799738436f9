"""The sink of events."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

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


async def test_the_loop_serves_others_while_an_event_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.open_sink(tmp_path / "log")
    at_disk, go_on = threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(handle: int) -> None:
        at_disk.set()
        assert go_on.wait(30)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", slow)
    task = asyncio.create_task(events.emit_async("a:b:c", {}))
    # This would never come back if the loop itself waited for the disk.
    assert await asyncio.to_thread(at_disk.wait, 30)
    assert not task.done()
    go_on.set()
    await task
    assert '"a:b:c"' in (tmp_path / "log" / "events.jsonl").read_text()


WRITER = """
import sys
from pathlib import Path
from governance import events
events.SEGMENT_BYTES_MAX = 4000
events.open_sink(Path(sys.argv[1]))
print("up", flush=True)
sys.stdin.readline()
for number in range(300):
    events.emit("test:line:written", {"process": sys.argv[2], "number": number})
"""


def test_processes_share_a_log_that_rolls_and_no_line_is_lost_or_torn(tmp_path: Path) -> None:
    log = tmp_path / "log"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, log, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == b"up\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    files = sorted(log.iterdir(), key=lambda path: (path.name == "events.jsonl", path.name))
    assert len(files) > 10
    assert all(path.stat().st_size <= 4000 for path in files)
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    for name in ("one", "two", "three"):
        # In the order of writing, over all segments in the order of their names.
        assert [line["number"] for line in lines if line["process"] == name] == list(range(300))


def test_a_segment_that_a_sibling_moved_aside_is_never_written_to_again(tmp_path: Path) -> None:
    events.open_sink(tmp_path / "log")
    events.emit("a:b:before", {})
    full = tmp_path / "log" / "events.jsonl"
    full.rename(tmp_path / "log" / "events-1.jsonl")
    events.emit("a:b:after", {})
    texts = [(tmp_path / "log" / name).read_text() for name in ("events-1.jsonl", "events.jsonl")]
    assert ["before" in text for text in texts] == [True, False]
    assert ["after" in text for text in texts] == [False, True]


def test_a_full_log_moves_aside_without_covering_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    monkeypatch.setattr(events, "SEGMENT_BYTES_MAX", 1)
    clock.install(lambda: datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC))
    try:
        events.open_sink(tmp_path / "log")
        for number in range(3):
            events.emit("a:b:c", {"number": number})
    finally:
        clock.install(None)
    names = ["events-20260203T040506.000789Z.jsonl", "events-20260203T040506.000789Z-1.jsonl", "events.jsonl"]
    assert {path.name for path in (tmp_path / "log").iterdir()} == set(names)
    assert [json.loads((tmp_path / "log" / name).read_text())["number"] for name in names] == [0, 1, 2]


def test_half_a_line_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    events.open_sink(tmp_path / "log")
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
        events.emit("a:b:lost", {})
    events.emit("a:b:c", {})
    (line,) = (tmp_path / "log" / "events.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == "a:b:c"
    assert "could not be written" in capsys.readouterr().err


def test_the_clock_can_be_moved_and_given_back() -> None:
    from datetime import UTC, datetime

    moment = datetime(2024, 2, 29, tzinfo=UTC)
    clock.install(lambda: moment)
    try:
        assert clock.now() == moment and clock.unix_ms() == 1_709_164_800_000
    finally:
        clock.install(None)
    assert clock.now() > moment
