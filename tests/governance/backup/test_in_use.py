"""A restore has a home alone."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from governance.backup import in_use
from governance.errors import Conflict
from tests.services import child


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


HOLD = """
import sys
from pathlib import Path
from governance.backup import in_use
from governance.bodies import memory
from tests.services import child
child.become_nobody()
assert memory.not_dumpable()
in_use.share(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
LOOK = """
import json, sys
from pathlib import Path
from governance.backup import in_use
from tests.services import child
child.become_nobody()
print(json.dumps(in_use.holders(Path(sys.argv[1]))))
"""


def test_a_process_that_lets_nobody_look_is_listed_to_its_own_user() -> None:
    """A serving process isn't dumpable: /proc/PID/fd is closed to all but root, and the kernel's list of locks isn't."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # where both users come
        Path(name).chmod(0o777)
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, name], cwd=child.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None and process.stdout.readline() == b"held\n"
            assert child.told(LOOK, name) == [process.pid]
