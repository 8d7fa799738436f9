"""A restore has a home alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from governance.backup import in_use
from governance.errors import Conflict


def test_users_share_and_a_restore_excludes(tmp_path: Path) -> None:
    first, second = in_use.share(tmp_path), in_use.share(tmp_path)
    with pytest.raises(Conflict, match="stop it first"):
        in_use.alone(tmp_path)
    os.close(first)
    os.close(second)
    lock = in_use.alone(tmp_path)
    with pytest.raises(Conflict, match="restore is running"):
        in_use.share(tmp_path)
    os.close(lock)
    os.close(in_use.share(tmp_path))


def test_other_processes_that_use_the_stores_are_named(tmp_path: Path) -> None:
    held = in_use.share(tmp_path)
    assert in_use.holders(tmp_path) == []  # this one is left out
    script = (
        "import pathlib, sys; from governance.backup import in_use; in_use.share(pathlib.Path(sys.argv[1])); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE) as other:
        until = time.monotonic() + 10
        while in_use.holders(tmp_path) != [other.pid]:
            assert time.monotonic() < until
        other.communicate(b"\n")
    assert in_use.holders(tmp_path) == []
    os.close(held)
