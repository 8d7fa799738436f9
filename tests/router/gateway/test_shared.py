"""With real processes: what they count together must be exact, and a killed one must not stop the others."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from router.gateway.shared import CELL_BYTES, WINDOW, Shared, SharedBusy

PRELUDE = """import sys, time
from pathlib import Path
from router.gateway.shared import Shared
s = Shared.open(Path(sys.argv[1]))
"""


def run(path: Path, code: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", PRELUDE + code, str(path)], stdout=subprocess.PIPE, text=True)


def says(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ends(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    process.stdout.close()
    return process.wait(30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "shared.mm"


def key(n: int, slot: int = 0) -> bytes:
    return slot.to_bytes(8, "little") + n.to_bytes(8, "little")


def test_counters_start_at_zero_and_the_file_is_private(path: Path) -> None:
    shared = Shared.open(path)
    assert (shared.generation(), shared.recall(), shared.overflows()) == (0, 0, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["shared.mm"]
    shared.close()


def test_four_processes_lose_no_count(path: Path) -> None:
    shared = Shared.open(path)
    workers = [run(path, "for _ in range(2000): s.bump(); s.ask_recall()") for _ in range(4)]
    assert [ends(w) for w in workers] == [0, 0, 0, 0]
    assert (shared.generation(), shared.recall()) == (8000, 8000)
    shared.close()


def test_the_count_test_could_fail(path: Path) -> None:
    """Without the lock the same hammering loses counts: the lock is what makes it exact."""
    shared = Shared.open(path)
    code = "print('up', flush=True)\nwhile not s.recall(): pass\nfor _ in range(300000): s._words[8] += 1"
    workers = [run(path, code) for _ in range(2)]
    assert [says(w) for w in workers] == ["up", "up"]
    shared.ask_recall()
    assert [ends(w) for w in workers] == [0, 0]
    assert 0 < shared.generation() < 600_000
    shared.close()


def test_a_serving_process_sees_another_ones_bump(path: Path) -> None:
    shared = Shared.open(path)
    worker = run(path, "print(s.generation(), flush=True)\nwhile not s.generation(): pass\nprint('seen', flush=True)")
    assert says(worker) == "0"
    shared.bump()
    assert says(worker) == "seen"
    assert ends(worker) == 0
    shared.close()


def test_a_killed_holder_lets_go(path: Path) -> None:
    shared = Shared.open(path)
    holder = run(path, "s.__enter__(); print('held', flush=True); time.sleep(60)")
    assert says(holder) == "held"
    began = time.monotonic()
    with pytest.raises(SharedBusy):
        shared.bump()
    assert time.monotonic() - began < 2  # a holder that doesn't move costs a bounded wait
    holder.send_signal(signal.SIGKILL)
    ends(holder)
    shared.bump()
    assert shared.generation() == 1
    shared.close()


def test_two_handles_in_one_process_exclude_each_other(path: Path) -> None:
    one, two = Shared.open(path), Shared.open(path)
    with one, pytest.raises(SharedBusy):
        two.bump()
    two.bump()
    assert two.generation() == 1
    one.close()  # and closing one handle keeps the other's lock alive, unlike lockf(3)
    with two:
        three = Shared.open(path)
        with pytest.raises(SharedBusy):
            three.bump()
        three.close()
    two.close()


def test_a_forked_child_is_told_to_open_its_own(path: Path) -> None:
    shared = Shared.open(path)
    child = os.fork()
    if child == 0:
        try:
            shared.bump()
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    shared.close()


def test_cells_are_found_again_and_freed_when_their_time_passed(path: Path) -> None:
    shared = Shared.open(path, slots=WINDOW)
    with shared:
        first = shared.find(key(1), 100, 0)
        shared.set_time(first, 500)
        second = shared.find(key(2), 100, 0)
        assert second != first
        assert shared.find(key(1), 100, 0) == first
        assert shared.time_of(first) == 500
        assert shared.find(key(3), 501, 0) == first
        assert shared.time_of(first) <= 502
    shared.close()


def test_new_keys_of_one_request_get_cells_of_their_own(path: Path) -> None:
    shared = Shared.open(path, slots=WINDOW)
    with shared:
        assert len({shared.find(key(n), 100, 0) for n in range(1, WINDOW + 1)}) == WINDOW
    shared.close()


def test_a_full_window_shares_an_overflow_cell_by_kind(path: Path) -> None:
    shared = Shared.open(path, slots=64)
    with shared:
        for n in range(WINDOW):
            shared.set_time(shared.find(key(n, slot=63), 100, 0), 10_000)
        lost = {shared.find(key(n, slot=63), 100, 0) for n in (100, 101)}
        tokens = shared.find(key(100, slot=63), 100, 1)
        assert len(lost) == 1 and tokens not in lost
        assert tokens + CELL_BYTES == path.stat().st_size
        assert shared.overflows() == 3
        assert shared.find(key(3, slot=63), 100, 0) not in lost
    shared.close()


def test_bytes_that_look_like_a_key_between_cells_are_not_its_cell(path: Path) -> None:
    shared = Shared.open(path, slots=WINDOW)
    with shared:
        tail, when = (1 << 32).to_bytes(8, "little"), 1 << 40
        first = shared.find(bytes(8) + tail, 100, 0)
        shared.set_time(first, when)
        lookalike = tail + when.to_bytes(8, "little")
        cell = shared.find(lookalike, 100, 0)
        assert cell != first and (cell - first) % CELL_BYTES == 0
        assert shared.find(lookalike, 100, 0) == cell
    shared.close()


def test_state_survives_a_restart_of_all_processes(path: Path) -> None:
    shared = Shared.open(path)
    shared.bump()
    shared.close()
    again = Shared.open(path)
    assert again.generation() == 1
    again.close()


@pytest.mark.parametrize("at", [0, 8, 16, 24], ids=["magic", "version", "slots", "boot"])
def test_a_foreign_file_is_made_anew_when_nobody_has_it_open(path: Path, at: int) -> None:
    shared = Shared.open(path)
    shared.bump()
    shared.close()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff\xff")
    fresh = Shared.open(path)
    assert fresh.generation() == 0
    fresh.close()


def test_another_size_in_use_stops_start_up(path: Path) -> None:
    shared = Shared.open(path, slots=64)
    with pytest.raises(ConfigurationError, match="in use"):
        Shared.open(path, slots=128)
    shared.bump()
    assert shared.generation() == 1
    shared.close()
    other = Shared.open(path, slots=128)
    assert other.generation() == 0
    other.close()


def test_a_truncated_file_is_made_anew(path: Path) -> None:
    Shared.open(path).close()
    os.truncate(path, 100)
    shared = Shared.open(path)
    shared.bump()
    assert shared.generation() == 1
    shared.close()


def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        Shared.open(path)


@pytest.mark.parametrize("slots", [0, 8, 100])
def test_slots_must_be_a_power_of_two(path: Path, slots: int) -> None:
    with pytest.raises(ConfigurationError):
        Shared.open(path, slots=slots)
