"""Landlock alone, every other layer off, each test in a process of its own. The controls write what it refuses."""

from pathlib import Path

import pytest

from governance.bodies import landlock
from tests.services import child
from tests.services.at_rest import holding

CANARY = "kanarie-in-a-temporary-file"

HANDLER = """
import sys, tempfile
from pathlib import Path
from governance.bodies import landlock
home, outside, confined, canary = sys.argv[1:]
if confined == "True":
    landlock.restrict([Path(home)])

def handler(body):
    with tempfile.NamedTemporaryFile(dir=outside, delete=False) as file:
        file.write(body)

handler(canary.encode())
"""


@pytest.mark.parametrize("confined", [True, False])
def test_a_handlers_temporary_file_is_refused(tmp_path: Path, confined: bool) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    done = child.run(HANDLER, home, outside, confined, CANARY)
    assert (done.returncode == 0) is not confined
    assert ("PermissionError" in done.stderr) is confined
    # The control can fail: unconfined, the same lines leave the body there.
    assert (holding([outside], [CANARY]) == {}) is confined and (list(outside.iterdir()) == []) is confined


ATTEMPTS = """
import json, os, socket, sqlite3, subprocess, sys, threading
from pathlib import Path
from governance.bodies import landlock
home, outside, version = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if version:
    syscall = landlock._syscall
    landlock._syscall = lambda number, *rest: version if rest[0] is None else syscall(number, *rest)
    landlock.restrict([home])

def threaded(path):
    found = []
    def write():
        try:
            path.write_text("x")
        except OSError as error:
            found.append(error)
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    if found:
        raise found[0]

def started(path):
    if subprocess.run(["/bin/sh", "-c", f"echo x > {path}"], stderr=subprocess.DEVNULL).returncode:
        raise PermissionError

def listening(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))

def ways(folder):
    (home / "source").touch()
    yield "make", lambda: (folder / "new").write_text("x")
    yield "append", lambda: (folder / "there").open("a").write("x")
    yield "truncate", lambda: os.truncate(folder / "there", 0)
    yield "rename", lambda: os.rename(home / "source", folder / "renamed")
    yield "link", lambda: os.link(home / "other", folder / "linked")
    yield "folder", lambda: (folder / "made").mkdir()
    yield "remove", lambda: (folder / "gone").unlink()
    yield "sqlite", lambda: sqlite3.connect(folder / "a.db").execute("create table t (c)")
    yield "thread", lambda: threaded(folder / "threaded")
    yield "program", lambda: started(folder / "started")
    yield "symbolic link", lambda: (folder / "symbolic").symlink_to("text")
    yield "pipe", lambda: os.mkfifo(folder / "pipe")
    yield "socket", lambda: listening(folder / "s")

def tried(folder):
    result = {}
    for name, way in ways(folder):
        try:
            way()
            result[name] = True
        except (OSError, sqlite3.OperationalError):
            result[name] = False
    return result

print(json.dumps({"home": tried(home), "outside": tried(outside), "null": open(os.devnull, "w").write("x")}))
"""
WAYS_ROUND = {"symbolic link", "pipe", "socket"}


def attempts(tmp_path: Path, version: int) -> dict[str, dict[str, bool]]:
    home, outside = tmp_path / "home", tmp_path / "outside"
    for folder in (home, outside):
        folder.mkdir()
        for name in ("there", "gone", "other"):
            (folder / name).touch()
    found: dict[str, dict[str, bool]] = child.told(ATTEMPTS, home, outside, version)
    assert found["null"] == 1
    return found


def test_nothing_is_written_outside_and_what_is_needed_under_the_home(tmp_path: Path) -> None:
    found = attempts(tmp_path, 7)
    assert {name for name, done in found["outside"].items() if done} == set()
    assert {name for name, done in found["home"].items() if not done} == WAYS_ROUND


def test_without_it_all_of_that_is_written(tmp_path: Path) -> None:
    found = attempts(tmp_path, 0)
    assert {name for name, done in (found["outside"] | found["home"]).items() if not done} == set()


@pytest.mark.parametrize("version, passes", [(1, {"truncate"}), (2, {"truncate"}), (3, set())])
def test_an_older_kernel_holds_what_it_knows(tmp_path: Path, version: int, passes: set[str]) -> None:
    """Asked as version 1, 2 and 3 are; what a kernel doesn't know it lets pass, and no more than that."""
    found = attempts(tmp_path, version)
    assert {name for name, done in found["outside"].items() if done} == passes
    # Before version 2 nothing moves between folders; within one it does, which is all that we do.
    assert {name for name, done in found["home"].items() if not done} == WAYS_ROUND


SCOPES = """
import json, os, signal, socket, sys
from governance.bodies import landlock
name = "\\0" + sys.argv[2]
listener = socket.socket(socket.AF_UNIX)
listener.bind(name)
listener.listen()
ended, held = os.pipe()

def forked():
    process = os.fork()
    if not process:
        os.close(held)
        os.read(ended, 1)  # until the parent has ended
        os._exit(0)
    return process

outside = forked()
if sys.argv[1] == "True":
    landlock.restrict([])
inside = forked()

def passes(work):
    try:
        work()
        return True
    except PermissionError:
        return False

result = {
    "to our own": passes(lambda: os.kill(inside, signal.SIGTERM)),
    "to others": passes(lambda: os.kill(outside, signal.SIGTERM)),
    "abstract": passes(lambda: socket.socket(socket.AF_UNIX).connect(name)),
}
print(json.dumps(result))
"""


@pytest.mark.parametrize("confined", [True, False])
def test_signals_and_abstract_sockets_stay_within(tmp_path: Path, confined: bool) -> None:
    """A supervisor's signals reach its workers: they are started within its confinement."""
    found = child.told(SCOPES, confined, tmp_path)
    assert found == {"to our own": True, "to others": not confined, "abstract": not confined}


def test_a_kernel_without_it_says_so() -> None:
    code = (
        "import errno, json\nfrom tests.services import no_landlock\nfrom governance.bodies import landlock\n"
        "before = landlock.version()\nno_landlock.hide()\n"
        "try:\n    landlock.restrict([])\nexcept OSError as error:\n"
        "    print(json.dumps([before, landlock.version(), errno.errorcode[error.errno]]))\n"
    )
    assert child.told(code) == [landlock.version(), 0, "ENOSYS"]
    assert landlock.version() > 0, "these tests need a kernel with Landlock"
