"""Real strace on a real program: every descriptor that canaries reach, and nothing of it on the disk."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from router.probe.canaries import Marks
from router.probe.result import Descriptor
from router.probe.trace import Trace

# Reads the canary, so that no argument shows it, and writes it where a gateway may and may not.
PROGRAM = """
import gzip, os, socket, sys
canary = sys.stdin.readline().strip().encode()
caller, listening, folder = socket.socket(), socket.socket(), sys.argv[1]
listening.bind(("127.0.0.1", 0)); listening.listen()
print(listening.getsockname()[1], flush=True)
sys.stdin.readline()
caller.connect(listening.getsockname())
served, _ = listening.accept()
served.sendall(b"to the caller " + canary)
caller.sendall(b"elsewhere, by TCP " + canary)
with open(folder + "/own.log", "wb") as log:
    log.write(b"x" * 10 + canary)
descriptor = os.open(folder + "/page", os.O_RDWR | os.O_CREAT)
os.pwrite(descriptor, b"\\0\\377" + canary + b"\\"", 4096)
os.writev(descriptor, [b"harmless", b"words"])
with open(folder + "/packed", "wb") as packed:
    packed.write(gzip.compress(canary * 3))
"""


def run(folder: Path, canary: str, *, attach: bool) -> Trace:
    trace = Trace(gateway=("127.0.0.1", 0), upstream_port=0)
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    if not attach:
        command = [*trace.command, *command]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, pass_fds=() if attach else trace.pass_fds)
    assert process.stdin is not None and process.stdout is not None
    print(canary, file=process.stdin, flush=True)
    # The program serves on this port: what it writes there goes to its callers.
    trace._gateway = frozenset({("127.0.0.1", int(process.stdout.readline()))})
    if attach:
        trace.attach([process.pid])
        time.sleep(0.2)
    else:
        trace.started()
    process.communicate("go\n", timeout=60)
    trace.end()
    return trace


@pytest.mark.parametrize("attach", [False, True], ids=["started", "attached"])
def test_each_descriptor_that_a_canary_reaches_is_told(tmp_path: Path, attach: bool) -> None:
    canary = Marks("case", 1).prompt("content")
    trace = run(tmp_path, canary, attach=attach)
    told = {each.name: each for each in trace.descriptors()}
    assert told["callers"] == Descriptor("socket", "callers", 1, expected=True)
    assert told[str(tmp_path / "own.log")] == Descriptor("file", str(tmp_path / "own.log"), 1, expected=False)
    assert told[str(tmp_path / "page")].writes == 1
    [elsewhere] = [each for name, each in told.items() if name.startswith("TCP:")]
    assert (elsewhere.kind, elsewhere.expected) == ("socket", False)
    assert len(told) == 4
    # What can't be read from a write alone is kept to be searched, byte for byte.
    kept = dict(trace.kept())
    assert kept[f"written to {tmp_path / 'packed'}"] == (tmp_path / "packed").read_bytes()
    assert kept[f"written to {tmp_path / 'page'}"] == b"\0\xff" + canary.encode() + b'"' + b"harmlesswords"
    assert "callers" not in str(kept.keys()) and trace.cut == set()


def test_what_strace_shows_rests_nowhere(tmp_path: Path) -> None:
    """Only the program's own files hold anything: strace writes into a pipe."""
    run(tmp_path, Marks("case", 1).prompt("content"), attach=False)
    assert {path.name for path in tmp_path.iterdir()} == {"own.log", "page", "packed"}


def test_without_strace_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match="strace is missing"):
        Trace(gateway=("127.0.0.1", 0), upstream_port=0)


def test_a_process_that_cannot_be_followed_is_said() -> None:
    with pytest.raises(ConfigurationError, match="can't follow"):
        Trace(gateway=("127.0.0.1", 0), upstream_port=0).attach([2**22 - 1])


# Its worker is forked before anybody follows, and writes when it is told to.
FORKED = """
import os, sys
canary, go = sys.stdin.readline().strip().encode(), os.pipe()
if not os.fork():
    os.read(go[0], 1)
    with open(sys.argv[1] + "/own.log", "wb") as log:
        log.write(canary)
    os._exit(0)
print("forked", flush=True)
sys.stdin.readline()
os.write(go[1], b".")
os.wait()
"""


def forked(folder: Path, canary: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", FORKED, str(folder)], stdin=pipe, stdout=pipe, text=True)
    assert process.stdin is not None and process.stdout is not None
    print(canary, file=process.stdin, flush=True)
    assert process.stdout.readline() == "forked\n"
    return process


def test_children_that_were_there_before_are_followed(tmp_path: Path) -> None:
    process = forked(tmp_path, Marks("case", 1).prompt("content"))
    trace = Trace(gateway=("127.0.0.1", 0), upstream_port=0)
    trace.attach([process.pid])
    trace.check([process.pid])
    process.communicate("go\n", timeout=60)
    trace.end()
    assert [each.name for each in trace.descriptors()] == [str(tmp_path / "own.log")]
    # Nobody was answered, so whoever answers may be another process.
    assert len(trace.unfollowed) == 1 and "no canary on its way to the caller" in trace.unfollowed[0]


def test_a_trace_that_ended_early_or_saw_a_part_says_so(tmp_path: Path) -> None:
    process = forked(tmp_path, Marks("case", 1).prompt("content"))
    trace = Trace(gateway=("127.0.0.1", 0), upstream_port=0)
    trace.attach([process.pid])
    assert trace._strace is not None
    trace._strace.kill()
    trace._strace.wait()
    trace.check([process.pid])
    trace.end()
    process.communicate("go\n", timeout=60)
    assert "didn't follow 2 of the gateway's threads" in trace.unfollowed[0]
    gone = Trace(gateway=("127.0.0.1", 0), upstream_port=0)
    gone.started()
    gone.check([process.pid])
    assert "didn't follow" in gone.unfollowed[0]


def test_only_the_callers_and_the_upstreams_address_is_expected() -> None:
    trace = Trace(gateway=("localhost", 4000), upstream_port=9999)
    trace.started()
    named = {
        "TCP:[127.0.0.1:4000->127.0.0.1:50000]": "callers",
        "TCPv6:[[::ffff:127.0.0.1]:4000->[::ffff:127.0.0.1]:50000]": "callers",
        "TCP:[127.0.0.1:50000->127.0.0.1:9999]": "upstream",
    }
    for target in ("TCP:[127.0.0.1:50000->127.0.0.2:9999]", "TCP:[127.0.0.2:4000->127.0.0.1:50000]"):
        named[target] = target
    assert {target: trace._name(target) for target in named} == named
