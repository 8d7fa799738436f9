"""What a service prints to a pipe is searched where it is kept, or the run shows nothing."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from governance.bodies.confine import Confinement
from router.app import confinement_left, outputs

_CODE = """
import os, pathlib, sys
from governance.bodies.confine import Confinement
from router.app import confinement_left, outputs
held = confinement_left.leave(pathlib.Path(sys.argv[1]), Confinement(os.getpid(), ()), (), outputs.current())
(pathlib.Path(sys.argv[1]) / "left").touch()
sys.stdin.read()
"""


@contextmanager
def _left(run: Path, stdout: int) -> Iterator[int]:
    """A process that has left where it prints to, and lives; its number."""
    command = [sys.executable, "-c", _CODE, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL) as child:
        until = time.monotonic() + 30
        while not (run / "left").exists():
            assert child.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        yield child.pid
        assert child.stdin is not None
        child.stdin.close()


def test_a_pipe_is_searched_where_it_is_kept_or_not_at_all(tmp_path: Path) -> None:
    with _left(tmp_path, subprocess.PIPE) as pid:
        assert "VALUEAPI_SELF_PROBE_LOGS" in str(outputs.unsearched(tmp_path, [pid], [tmp_path], []))
        assert outputs.unsearched(tmp_path, [pid], [tmp_path], [tmp_path]) is None


def test_a_device_is_fine(tmp_path: Path) -> None:
    with _left(tmp_path, subprocess.DEVNULL) as pid:
        assert outputs.unsearched(tmp_path, [pid], [], []) is None


def test_a_file_is_fine_where_it_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_read_through", lambda pid, place: False)  # as where /proc is closed
    handle = os.open(tmp_path / "service.log", os.O_WRONLY | os.O_CREAT)
    with _left(tmp_path, handle) as pid:
        os.close(handle)
        assert outputs.unsearched(tmp_path, [pid], [tmp_path], []) is None
        assert "isn't searched" in str(outputs.unsearched(tmp_path, [pid], [tmp_path / "data"], []))


def test_a_file_that_a_readable_process_holds_open_is_searched_with_it(tmp_path: Path) -> None:
    handle = os.open(tmp_path / "service.log", os.O_WRONLY | os.O_CREAT)
    prints = (f"{tmp_path}/service.log", "device")
    held = confinement_left.leave(tmp_path, Confinement(os.getpid(), ()), (), prints)
    assert outputs.unsearched(tmp_path, [os.getpid()], [tmp_path / "data"], []) is None
    os.close(handle)
    assert "isn't searched" in str(outputs.unsearched(tmp_path, [os.getpid()], [tmp_path / "data"], []))
    os.close(held)
    assert outputs.unsearched(tmp_path, [os.getpid()], [tmp_path / "data"], []) is None  # the dead print nothing
