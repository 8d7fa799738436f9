"""All measures of a process together, and that each is told as it was found: a measure that doesn't hold isn't held."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from governance import events
from governance.bodies import confine
from governance.bodies.confine import Confinement, Kept, Measure
from tests.services import child

CONFINE = """
import json, os, sys, threading, time
from pathlib import Path
from governance.bodies import confine, landlock, memory
from tests.services import child, no_landlock
home, before, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
folders = [Path(each) for each in options.pop("folders", [home])]
exec(before)
confined = confine.confine(folders, **options)
assert confine.current() is confined and confined.process_id == os.getpid()
print(json.dumps({str(m.name): [m.held, m.detail, m.mend] for m in confined.measures}))
"""


def measures(home: Path, before: str = "", **options: object) -> dict[str, list[Any]]:
    home.mkdir(exist_ok=True)
    found: dict[str, list[Any]] = child.told(CONFINE, home, before, json.dumps(options))
    assert set(found) == set(Kept)
    # No text names a place that could hold a person's name.
    assert str(home) not in json.dumps(found)
    return found


def held(found: dict[str, list[Any]]) -> set[str]:
    return {name for name, (is_held, *_) in found.items() if is_held}


NO_SWAP = "memory.swap = lambda: None\n"


def test_all_is_held(tmp_path: Path) -> None:
    found = measures(tmp_path / "home", NO_SWAP)
    assert held(found) == set(Kept)
    assert "took a file before, 0 now" in found["writes"][1] and "0 took a file before" not in found["writes"][1]


def test_a_folder_within_a_home_or_beside_the_packages_is_held(tmp_path: Path) -> None:
    found = measures(tmp_path / "home", NO_SWAP + "os.environ['HOME'] = str(home.parent)")
    assert held(found) == set(Kept)


def test_all_is_held_for_an_unprivileged_user() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # where that user comes
        Path(name).chmod(0o755)
        assert held(measures(Path(name) / "home", NO_SWAP + "child.become_nobody()")) == set(Kept)


def test_a_confined_processes_child_confines_itself_again(tmp_path: Path) -> None:
    """As a worker does within its supervisor's: Landlock adds up, an exec has made it dumpable again."""
    found = measures(tmp_path / "home", NO_SWAP + "confine.confine(folders)")
    assert held(found) == set(Kept) and ": 0 took a file before, 0 now" in found["writes"][1]


@pytest.mark.parametrize(
    "before, missing, words",
    [
        ("no_landlock.hide()", Kept.WRITES, "no Landlock"),
        ("landlock.restrict = lambda folders: 7", Kept.WRITES, "now"),  # it said so, and the file was made all the same
        ("threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", Kept.WRITES, "1 threads ran before"),
        ("folders.append(Path('/tmp'))", Kept.WRITES, "everybody writes to"),
        ("folders.append(Path('/'))", Kept.WRITES, "everybody writes to"),
        ("folders.append(child.ROOT)", Kept.WRITES, "holds the program"),  # a SQLite URL in a checkout
        (
            "folders.append(child.ROOT.parent)",
            Kept.WRITES,
            "declared folder",
        ),  # which may be one that everybody writes to
        ("folders.append(child.ROOT / 'router' / 'web')", Kept.WRITES, "holds the program"),
        ("os.environ['HOME'] = str(home)", Kept.WRITES, "a user's home"),  # a key file in ~
        ("(home / 'me').mkdir(); os.environ['HOME'] = str(home / 'me')", Kept.WRITES, "a user's home"),
        ("import pwd; folders.append(Path(pwd.getpwuid(os.geteuid()).pw_dir))", Kept.WRITES, "a user's home"),
        ("folders.append(home / 'gone')", Kept.WRITES, "refused with ENOENT"),
        ("memory._PR_SET_DUMPABLE = 3", Kept.MEMORY, "didn't take"),
        ("memory.no_core_file = lambda: False", Kept.CORE_FILES, "can't be set"),
        ("memory.may_lock = lambda: False; memory.swap = lambda: '1 swap area'", Kept.SWAP, "1 swap area may take it"),
        ("memory.lock = lambda: False; memory.swap = lambda: '1 swap area'", Kept.SWAP, "isn't locked"),
        ("os.umask = lambda mode: 0", Kept.FILE_MODES, "umask 0022"),
    ],
)
def test_what_doesnt_hold_is_told(tmp_path: Path, before: str, missing: Kept, words: str) -> None:
    found = measures(tmp_path / "home", f"os.umask(0o022)\n{NO_SWAP}{before}")
    assert set(Kept) - held(found) == {missing}
    assert words in found[missing][1]
    if missing in (Kept.WRITES, Kept.SWAP):
        assert found[missing][2]


def test_memory_that_must_be_locked_or_mustnt(tmp_path: Path) -> None:
    cant = NO_SWAP + "memory.may_lock = lambda: False"
    assert Kept.SWAP in held(measures(tmp_path / "home", cant))
    assert Kept.SWAP not in held(measures(tmp_path / "home", cant, lock="on"))
    assert "isn't locked" in measures(tmp_path / "home", NO_SWAP, lock="off")["swap"][1]


def test_turned_off_it_says_so_and_keeps_what_needs_no_setting(tmp_path: Path) -> None:
    found = measures(tmp_path / "home", on=False)
    assert held(found) == {Kept.CORE_FILES, Kept.FILE_MODES}
    assert "VALUEAPI_CONFINEMENT" in found["writes"][1]


def test_it_is_recorded(event_log: Path) -> None:
    whole = Confinement(7, (Measure(Kept.WRITES, True, "Landlock 7"), Measure(Kept.SWAP, False, "1 swap area may")))
    assert not whole.held and [measure.name for measure in whole.missing] == [Kept.SWAP]
    confine.record(whole)
    confine.record(Confinement(8, whole.measures[:1]))
    lines = [json.loads(line) for line in event_log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["bodies:confinement:not_confined", "bodies:confinement:held"]
    assert lines[0]["writes"] == "held: Landlock 7" and lines[0]["swap"] == "NOT held: 1 swap area may"
    assert lines[0]["process_id"] == 7


async def test_nothing_is_recorded_of_a_process_that_wasnt_confined(event_log: Path) -> None:
    await confine.record_current()
    events.emit("test:sink:open", {})
    assert [json.loads(line)["event"] for line in event_log.read_text().splitlines()] == ["test:sink:open"]
