"""What is in memory: no core file, no look by another process, no swap. Each alone, each with a control that finds it."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from governance.bodies import memory
from tests.services import child
from tests.services.at_rest import holding

CANARY = "kanarie-in-the-memory-of-a-crash"

CRASH = """
import ctypes, os, resource, sys
from governance.bodies import memory
how, measure, half, rest = sys.argv[1:]
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
body = (half + rest).encode()
if measure == "limit":
    assert memory.no_core_file()
elif measure == "not dumpable":
    assert memory.not_dumpable()
print(resource.getrlimit(resource.RLIMIT_CORE)[0] == 0, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
os.abort() if how == "SIGABRT" else ctypes.string_at(0)
"""


def leaves_core_files() -> bool:
    """Whether this machine writes one beside the process that crashes, and doesn't hand it to a collector."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    return bool(pattern) and pattern[0] not in "|/@" and resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


@pytest.mark.parametrize("how", ["SIGABRT", "SIGSEGV"])
@pytest.mark.parametrize("measure", ["limit", "not dumpable", "none"])
def test_a_crash_leaves_no_core_file(tmp_path: Path, how: str, measure: str) -> None:
    # The canary comes in halves: a core holds the command line too.
    done = child.run(CRASH, how, measure, CANARY[:16], CANARY[16:], cwd=tmp_path)
    assert done.returncode == -getattr(signal, how), done.stderr
    no_limit, dumpable = done.stdout.split()
    left = list(tmp_path.iterdir())
    if measure == "none" and leaves_core_files():
        assert holding([tmp_path], [CANARY]) != {}, "the control: an unhardened process leaves its memory"
    else:
        assert left == []
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    assert (no_limit == "True") is (measure == "limit" or hard == 0)
    assert (dumpable == "0") is (measure == "not dumpable")  # no pipe to a collector either: core(5)


SEEN = """
import ctypes, sys
from governance.bodies import memory
from tests.services import child
body = ctypes.create_string_buffer(sys.argv[2].encode() + b"|")
child.become_nobody()
if sys.argv[1] == "True":
    assert memory.not_dumpable()
print(ctypes.addressof(body), flush=True)
sys.stdin.read()
"""
LOOK = """
import json, os, sys
from tests.services import child
child.become_nobody()
try:
    handle = os.open(f"/proc/{sys.argv[1]}/mem", os.O_RDONLY)
    print(json.dumps(os.pread(handle, 200, int(sys.argv[2])).partition(b"|")[0].decode()))
except PermissionError:
    print(json.dumps("refused"))
"""


@pytest.mark.parametrize("hidden", [True, False])
def test_another_process_of_the_same_user_reads_no_memory(hidden: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SEEN, str(hidden), CANARY],
        cwd=child.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert child.told(LOOK, process.pid, address.strip()) == ("refused" if hidden else CANARY)


LOCKED = """
import json, mmap, os, resource
from governance.bodies import memory
if not memory.may_lock():
    print(json.dumps("may not"))
else:
    locked = memory.lock()
    later = mmap.mmap(-1, 1 << 20)
    begun = int(memory.status("VmLck").split()[0])
    big = mmap.mmap(-1, 2 << 30)  # a later mapping, larger than any limit was: it must not fail
    flags = [line for line in open("/proc/self/smaps") if line.startswith("VmFlags")]
    print(json.dumps([locked, begun > 0, sum(" lo " in line for line in flags) > len(flags) // 2,
                      int(memory.status("VmRSS").split()[0]) < 1 << 20]))
"""


def test_memory_is_locked_where_later_mappings_are_sure_of_it() -> None:
    """2 GiB that nothing touched cost nothing: pages are locked when they are used."""
    assert child.told(LOCKED) == ([True] * 4 if memory.may_lock() else "may not")


LIMITED = """
import ctypes, json, mmap, resource
from governance.bodies import memory
from tests.services import child
hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
limit = min(1 << 30, hard) if hard != resource.RLIM_INFINITY else 1 << 30
resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
child.become_nobody()
may = memory.may_lock()
ctypes.CDLL(None).mlockall(2 | 4)
try:
    mmap.mmap(-1, 2 << 30)
    print(json.dumps([may, "mapped"]))
except OSError:
    print(json.dumps([may, "refused"]))
"""


def test_under_a_limit_nothing_is_locked_because_a_later_mapping_would_fail() -> None:
    assert child.told(LIMITED) == [False, "refused"]


def swaps(folder: Path, patch: pytest.MonkeyPatch, areas: int, own: str, groups: dict[str, str]) -> str | None:
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "swaps").write_text("Filename Type Size Used Priority\n" + "/dev/zram0 partition 1 0 1\n" * areas)
    (proc / "self" / "cgroup").write_text(own)
    for name, limit in groups.items():
        (cgroups / name).mkdir(parents=True, exist_ok=True)
        (cgroups / name / "memory.swap.max").write_text(limit + "\n")
    patch.setattr(memory, "_PROC", proc)
    patch.setattr(memory, "_CGROUPS", cgroups)
    return memory.swap()


@pytest.mark.parametrize(
    "areas, own, groups, found",
    [
        (0, "0::/a/b\n", {}, None),
        (1, "0::/a/b\n", {}, "1 swap area"),
        (2, "0::/a/b\n", {"a/b": "max", "a": "max"}, "2 swap areas"),
        (1, "0::/a/b\n", {"a/b": "0"}, None),
        (1, "0::/a/b\n", {"a/b": "max", "a": "0"}, None),
        (1, "0::/a/b\n", {"a/c": "0"}, "1 swap area"),
        (1, "4:memory:/a\n", {"a": "0"}, "1 swap area"),  # cgroup v1
    ],
)
def test_swap_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, areas: int, own: str, groups: dict[str, str], found: str | None
) -> None:
    assert swaps(tmp_path, monkeypatch, areas, own, groups) == found


def test_what_cant_be_told_counts_as_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    assert memory.swap() is not None and memory.status("Umask") is None


def test_a_field_of_this_process_is_told() -> None:
    before = os.umask(0o027)
    try:
        assert memory.status("Umask") == "0027" == memory.status("Umask", os.getpid())
    finally:
        os.umask(before)
    assert memory.status("NoSuchField") is None
