"""Lines of logs: what slipped in is seen, wherever it stands, within bounds."""

import json
from pathlib import Path

import pytest

from governance import events
from governance.personal_data.files import sample_file
from governance.personal_data.kinds import Kind


def test_the_event_log_as_it_is_written_holds_nothing(event_log: Path) -> None:
    for number in range(50):
        events.emit(
            "backup:data:made", {"bytes": 48_234_496 + number, "path": "home/backups/data-20261126T055808Z.tar"}
        )
    seen = sample_file(event_log)
    assert (seen.lines, seen.found, seen.whole) == (50, {}, True)


def test_an_address_that_slipped_into_an_event_is_seen(event_log: Path) -> None:
    events.emit("mail:outbox:failed", {"failure": "550 unknown: anna@example.org"})
    seen = sample_file(event_log)
    assert seen.found[Kind.EMAIL].values == 1 and "anna" not in repr(seen)


@pytest.mark.parametrize("at", [0, 150, 299])
def test_every_line_of_a_short_file_is_looked_at_once(tmp_path: Path, at: int) -> None:
    path = tmp_path / "process.log"
    texts = [json.dumps({"event": "request", "status": 200, "ms": number}) for number in range(300)]
    texts[at] = "client 203.0.113.77 closed"
    path.write_text("\n".join(texts))
    seen = sample_file(path, lines=600)
    assert seen.lines == 300 and seen.found[Kind.IP].values == 1


def test_of_a_long_file_the_newest_and_some_older_lines_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "process.log"
    with path.open("w") as file:
        for number in range(20_000):
            file.write(f"old line {number} from 203.0.113.77\n")
        file.write("the newest by anna@example.org\n")
    seen = sample_file(path, lines=60)
    assert (
        30 <= seen.lines <= 60 and seen.found[Kind.EMAIL].values == 1 and seen.found[Kind.IP].values == seen.lines - 1
    )


def test_an_empty_file_and_one_of_a_single_endless_line(tmp_path: Path) -> None:
    empty, endless = tmp_path / "empty", tmp_path / "endless"
    empty.touch()
    endless.write_bytes(b"x" * 200_000)
    assert sample_file(empty).lines == 0
    assert sample_file(endless, lines=10).lines <= 14


def test_it_stops_at_its_time_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "process.log"
    path.write_text("by anna@example.org\n" * 10)
    seen = sample_file(path, seconds=0.0)
    assert not seen.whole and seen.lines == 0
