"""The audit hook alone: what a request's code opens for writing, beside the declared places. A process for each test."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from governance.bodies import write_watch
from tests.services import child

WATCHED = """
import asyncio, json, os, sqlite3, subprocess, sys, tempfile, threading
from contextlib import suppress
from pathlib import Path
from governance import events
from governance.bodies import write_watch
from governance.bodies.write_watch import Declared
from governance.vault.purpose import Actor, stating

def watched(top, work, strict):
    home, outside = top / "home", top / "outside"
    for folder in (home / "journal", home / "log", outside):
        folder.mkdir(parents=True)
    tempfile.tempdir = str(outside)
    (outside / "there").touch()
    events.open_sink(home / "log")
    names = ((home / "journal", r"[0-9]+\\.journal"), (home / "log", r"events\\.jsonl"))
    write_watch.install(Declared(home, names), strict=strict)
    # The code of a module of ours, as its place is told.
    ours = compile(work, write_watch._OURS + "router/gateway/planted.py", "exec")
    refused = False
    try:
        exec(ours, {**globals(), "home": home, "outside": outside})
    except PermissionError:
        refused = True
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    lines = [json.loads(line) for line in (home / "log" / "events.jsonl").read_text().splitlines()]
    told = [[line["place"], line["what"], line["where"], line["refused"]] for line in lines]
    return [refused, told, write_watch.seen(), sorted(str(file.relative_to(top)) for file in top.rglob("*"))]

for number, (work, strict) in enumerate(json.loads(sys.stdin.read())):
    top = Path(sys.argv[1]) / str(number)
    # A hook can't be taken away: a process for each.
    process = os.fork()
    if not process:
        (Path(sys.argv[1]) / f"{number}.json").write_text(json.dumps(watched(top, work, strict)))
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0, work
"""
GATEWAY = "with stating(Actor.GATEWAY):\n    "
PLANTED = "router/gateway/planted.py"
Watched = Callable[..., Any]
_asked: list[tuple[str, bool]] = []


def asked(work: str, *, strict: bool = False) -> int:
    """The number of a piece of code that is to be watched."""
    _asked.append((work, strict))
    return len(_asked) - 1


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """What came of a piece of code: whether it was refused, the records, what was seen, the files afterwards."""
    folder = tmp_path_factory.mktemp("watched")
    done = child.run(WATCHED, folder, stdin=json.dumps(_asked))
    assert done.returncode == 0, done.stderr
    return lambda number: json.loads((folder / f"{number}.json").read_text())


UNDECLARED = [
    (asked(GATEWAY + work), what, where)
    for work, what, where in (
        ("tempfile.NamedTemporaryFile().close()", "open", "outside"),
        ("(outside / 'new').write_bytes(b'x')", "open", "outside"),
        ("open(outside / 'there', 'r+').close()", "open", "outside"),
        ("os.close(os.open(outside / 'there', os.O_RDONLY | os.O_TRUNC))", "open", "outside"),
        ("open(os.fsencode(outside / 'new'), 'ab').close()", "open", "outside"),
        ("(home / 'note').write_text('x')", "open", "home"),  # a temporary file under the home is none that is declared
        ("(home / 'journal' / 'x.journal').write_text('x')", "open", "home"),
        ("tempfile.mkdtemp()", "os.mkdir", "outside"),
        ("sqlite3.connect(outside / 'a.db')", "sqlite3.connect", "outside"),
        ("sqlite3.connect(f'file:{outside}/a.db?mode=rwc', uri=True)", "sqlite3.connect", "outside"),
        ("os.rename(outside / 'there', outside / 'a prompt as a name')", "os.rename", "outside"),
        ("os.link(outside / 'there', outside / 'other')", "os.link", "outside"),
        ("os.symlink('a prompt as a target', outside / 'other')", "os.symlink", "outside"),
        ("os.truncate(outside / 'there', 0)", "os.truncate", "outside"),
        ("with suppress(OSError): os.setxattr(outside / 'there', 'user.prompt', b'x')", "os.setxattr", "outside"),
        ("with suppress(OSError): os.execv(outside / 'a prompt as a program', ['x'])", "os.exec", "process"),
        ("os.fork() or os._exit(0)", "os.fork", "process"),
        ("pid, _ = os.forkpty(); pid or os._exit(0)", "os.forkpty", "process"),
        ("import syslog; syslog.syslog('a prompt')", "syslog.syslog", "process"),
        ("subprocess.run(['true'])", "subprocess.Popen", "process"),
        ("os.system('true')", "os.system", "process"),
        ("os.posix_spawn('/bin/true', ['true'], {})", "os.posix_spawn", "process"),
    )
]


@pytest.mark.parametrize("number, what, where", UNDECLARED)
def test_what_isnt_declared_is_recorded(watched: Watched, number: int, what: str, where: str) -> None:
    refused, lines, _, _ = watched(number)
    assert not refused and [f"{PLANTED}:2", what, where, False] in lines
    # Neither a path nor a name comes into the record: either could be a prompt.
    assert "prompt" not in json.dumps(lines) and "there" not in json.dumps(lines)


IN_A_THREAD = asked(GATEWAY + "asyncio.run(asyncio.to_thread((outside / 'new').touch))")


def test_a_thread_of_the_requests_is_seen_too(watched: Watched) -> None:
    assert [line[1:] for line in watched(IN_A_THREAD)[1]] == [["open", "outside", False]]


STRICT, LENIENT = (asked(GATEWAY + "(outside / 'new').write_text('x')", strict=strict) for strict in (True, False))


@pytest.mark.parametrize("number, strict", [(STRICT, True), (LENIENT, False)])
def test_strictly_it_is_refused(watched: Watched, number: int, strict: bool) -> None:
    refused, lines, _, files = watched(number)
    assert refused is strict and lines == [[f"{PLANTED}:2", "open", "outside", strict]]
    # The control can fail: what isn't strict lets the file be written.
    assert ("outside/new" in files) is not strict


PASSING = [
    asked(work, strict=True)
    for work in (
        GATEWAY + "(home / 'journal' / '12.journal').write_text('x')",
        GATEWAY + "(home / 'log' / 'events.jsonl').open('a').close()",
        GATEWAY + "(outside / 'there').read_text()",
        GATEWAY + "open(os.devnull, 'w').write('x')",
        GATEWAY + "sqlite3.connect(':memory:')",
        GATEWAY + "r, w = os.pipe(); open(w, 'wb').close()",
        "(outside / 'new').write_text('x')",  # not on a request's path
        "with stating(Actor.OPERATOR):\n    (outside / 'new').write_text('x')",
        GATEWAY + "write = (outside / 'new').touch\nwrite()",  # the request is over
    )
]


@pytest.mark.parametrize("number", PASSING)
def test_what_is_declared_or_none_of_a_requests_passes(watched: Watched, number: int) -> None:
    assert watched(number)[:3] == [False, [], {}]


LED_AWAY = asked(
    "(home / 'journal' / '1.journal').symlink_to(outside / 'there')\n"
    + GATEWAY
    + "(home / 'journal' / '1.journal').write_text('x')",
    strict=True,
)


def test_a_declared_name_that_leads_elsewhere_isnt_declared(watched: Watched) -> None:
    refused, lines, _, _ = watched(LED_AWAY)
    assert refused and lines[0][2] == "outside"


SEVERAL = asked(GATEWAY + "for name in 'abc': (outside / name).touch()\n    (outside / 'd').touch()")


def test_each_place_in_the_code_is_recorded_once(watched: Watched) -> None:
    _, lines, seen, _ = watched(SEVERAL)
    assert {place for place, *_ in lines} == {f"{PLANTED}:2", f"{PLANTED}:3"} and len(lines) == 2
    assert seen == {f"{PLANTED}:2 open outside": 3, f"{PLANTED}:3 open outside": 1}


def test_it_is_installed_once() -> None:
    code = (
        "import json\nfrom pathlib import Path\nfrom governance.bodies.write_watch import Declared, install\n"
        "declared = Declared(Path('/'), ())\ninstall(declared, strict=False)\n"
        "try:\n    install(declared, strict=False)\nexcept RuntimeError:\n    print(json.dumps('refused'))\n"
    )
    assert child.told(code) == "refused"
    assert write_watch.seen() == {}
