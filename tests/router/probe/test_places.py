"""The search of a run on places of its own: seeds that it must find, and how each way not to find them is noticed."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from governance.bodies.scanner import automaton, files, process, stream
from governance.bodies.scanner.search import Search
from router.probe import places as places_module
from router.probe import seeds
from router.probe.canaries import Marks
from router.probe.places import RUNNING, STOPPED, Places
from router.probe.seeds import Seeds
from router.probe.target import Target


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Seeds]:
    made = Seeds(tmp_path)
    yield made
    made.end()


async def looked(planted: Seeds, target: Target, when: str = RUNNING) -> Places:
    marks = Marks("case", 1)
    for number in range(20):
        marks.prompt(str(number))
    found = Places(list(marks), planted, lambda *_: None)
    await found.look(target, when)
    return found


def target(**places: Any) -> Target:
    return Target("http://127.0.0.1:1", (), {}, **places)


@pytest.mark.parametrize("since", [None, 60.0])
async def test_the_search_finds_every_seed_and_none_is_a_finding(planted: Seeds, since: float | None) -> None:
    for when in (RUNNING, STOPPED):
        found = await looked(planted, target(changed_since=time.time() - since if since else None), when)
        assert (found.seeded_missed, found.findings, found.unread) == ((), (), ())
        assert found.named_bytes == 0 < found.bytes_read  # seeds are nobody's
    assert len(planted.names) >= 8


FOLDER = {seeds.FIRST, seeds.WHOLE, seeds.FRAGMENT, seeds.SPLIT, seeds.DEEP, seeds.LAST}
Mutant = Callable[[pytest.MonkeyPatch], None]


def no_walk_since(patch: pytest.MonkeyPatch) -> None:
    whole = files.walk
    patch.setattr(files, "walk", lambda *a, since=None, **k: iter(()) if since is not None else whole(*a, **k))


def long_matches_alone(patch: pytest.MonkeyPatch) -> None:
    report = Search.report

    def long(self: Search) -> Any:
        made = report(self)
        return replace(made, findings=[each for each in made.findings if each.matched >= 38])

    patch.setattr(Search, "report", long)


def first_needles_alone(patch: pytest.MonkeyPatch) -> None:
    made = places_module.Search.__init__

    def first(self: Search, needles: Any, **given: Any) -> None:
        made(self, needles, automaton=automaton.Automaton(needles[:20]), **given)

    patch.setattr(places_module.Search, "__init__", first)


def few_files(patch: pytest.MonkeyPatch) -> None:
    whole = files.walk
    patch.setattr(files, "walk", lambda *a, **k: (path for path, _ in zip(whole(*a, **k), range(5), strict=False)))


MUTANTS: list[tuple[Mutant, set[str]]] = [
    (no_walk_since, FOLDER),
    (long_matches_alone, {seeds.FRAGMENT, seeds.SPLIT, seeds.HELD, seeds.LAST}),
    (first_needles_alone, {seeds.LAST}),
    (few_files, {seeds.DEEP}),
    (lambda patch: patch.setattr(stream, "OVERLAP", 1), {seeds.SPLIT}),
    (lambda patch: patch.setattr(process, "family", lambda pid: iter([pid])), {seeds.HELD}),
    (lambda patch: patch.setattr(process, "open_files", lambda pid: iter(())), {seeds.HELD}),
    (lambda patch: patch.setattr(process, "strings", lambda pid: iter(())), {seeds.STARTED}),
]


@pytest.mark.parametrize("mutant, missed", MUTANTS)
async def test_a_search_that_lost_something_misses_a_seed(
    planted: Seeds, monkeypatch: pytest.MonkeyPatch, mutant: Mutant, missed: set[str]
) -> None:
    mutant(monkeypatch)
    found = await looked(planted, target(changed_since=time.time() - 60))
    assert missed <= set(found.seeded_missed)


async def test_what_is_mapped_is_seeded_where_it_can_be_read(planted: Seeds, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (seeds.MAPPED in planted.names) == seeds._maps_can_be_read()
    monkeypatch.setattr(process, "mapped_files", lambda pid: iter(()))
    found = await looked(planted, target())
    assert set(found.seeded_missed) == {seeds.MAPPED} & planted.names


async def test_only_what_was_named_counts_as_read(
    planted: Seeds, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tmp_path_factory.mktemp("others")
    (others / "theirs").write_bytes(b"x" * 3_000_000)
    monkeypatch.setattr(process, "shared_places", lambda: [others])
    shared = await looked(planted, target(since=time.time() - 60))
    assert shared.named_bytes == 0 and shared.bytes_read > 3_000_000
    own = tmp_path / "log"
    own.write_bytes(b"x" * 100)
    assert (await looked(planted, target(look=(own,)))).named_bytes == 100
    assert (await looked(planted, target(look=(tmp_path,)))).named_bytes == 100
    assert (await looked(planted, target(pids=(os.getpid(),)))).named_bytes > 0


async def test_a_process_that_stays_closed_was_not_read(planted: Seeds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command line is everybody's."""
    whole = process.open_files

    def closed(pid: int) -> Any:
        if pid == os.getpid():
            raise PermissionError(13, "Permission denied")
        return whole(pid)

    monkeypatch.setattr(process, "open_files", closed)
    assert (await looked(planted, target(pids=(os.getpid(),)))).named_bytes == 0


def test_nothing_of_them_is_left(tmp_path: Path) -> None:
    made = Seeds(tmp_path)
    pids = made._pids
    made.end()
    assert list(tmp_path.iterdir()) == []
    until = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
