"""A Python process of its own for what can't be taken back: confinement, audit hooks, another user, a crash."""

import ctypes
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(code: str, *arguments: object, cwd: Path = ROOT, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run it with `sys.argv[1:]` and standard input as given."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(code: str, *arguments: object, cwd: Path = ROOT) -> Any:
    """What it printed as its last line, as JSON."""
    done = run(code, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def become_nobody() -> None:
    """Step down from root, after the imports: the program's folder may be root's alone. Dumpable, as after an exec."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    libc = ctypes.CDLL(None)
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
    libc.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, where Yama would refuse all but parents
