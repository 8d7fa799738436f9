"""What a service prints to a pipe is searched where it is kept, or the run shows nothing."""

import os
import subprocess
import sys
from pathlib import Path

from router.app import outputs

_CODE = "import sys, pathlib; from router.app import outputs; outputs.leave(pathlib.Path(sys.argv[1]))"


def _left(run: Path, stdout: int) -> int:
    child = subprocess.Popen([sys.executable, "-c", _CODE, str(run)], stdout=stdout, stderr=subprocess.DEVNULL)
    assert child.wait(30) == 0
    return child.pid


def test_a_pipe_is_searched_where_it_is_kept_or_not_at_all(tmp_path: Path) -> None:
    pid = _left(tmp_path, subprocess.PIPE)
    assert "VALUEAPI_SELF_PROBE_LOGS" in str(outputs.unsearched(tmp_path, [pid], [tmp_path], []))
    assert outputs.unsearched(tmp_path, [pid], [tmp_path], [tmp_path]) is None


def test_a_device_is_fine_and_a_file_where_it_is_searched(tmp_path: Path) -> None:
    assert outputs.unsearched(tmp_path, [_left(tmp_path, subprocess.DEVNULL)], [], []) is None
    handle = os.open(tmp_path / "service.log", os.O_WRONLY | os.O_CREAT)
    pid = _left(tmp_path, handle)
    os.close(handle)
    assert outputs.unsearched(tmp_path, [pid], [tmp_path], []) is None
    assert "isn't searched" in str(outputs.unsearched(tmp_path, [pid], [tmp_path / "data"], []))


def test_a_file_that_a_readable_process_holds_open_is_searched_with_it(tmp_path: Path) -> None:
    handle = os.open(tmp_path / "service.log", os.O_WRONLY | os.O_CREAT)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / str(os.getpid())).write_text(f"{tmp_path}/service.log\ndevice")
    assert outputs.unsearched(tmp_path, [os.getpid()], [tmp_path / "data"], []) is None
    os.close(handle)
    assert "isn't searched" in str(outputs.unsearched(tmp_path, [os.getpid()], [tmp_path / "data"], []))
