"""A log that is whole is found to be so; one that was changed anywhere is found, and the place is named.

The battery does for 1,000 entries what the suite does for a few. `verify_log.py` judges each bundle beside the program.
"""

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.errors import Rejected
from governance.evidence import bundle, verify
from governance.evidence.entry import commitment
from governance.evidence.folder import LogFolder
from governance.evidence.note import NoteKey
from tests.governance.evidence.made import KEY, ORIGIN, ROOT, SECRET, Made, make, single_file
from tests.governance.evidence.tampering import changed_bundles, changed_files, changed_rows, file_with

ROUNDS = (1, 39, 200, 16, 1, 42, 1)  # 300: checkpoints just before, at and after a tile is full
SIZE = sum(ROUNDS)
SAMPLE = random.Random(15).sample(range(SIZE), 3)
SINGLE = single_file()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("log"), *ROUNDS)


def bundled(log: Made, folder: Path, since: int = 0, given: slice = slice(None)) -> bytes:
    file = folder / "bundle.json"
    bundle.write(log.folder, log.entries[given], file, since)
    return file.read_bytes()


def located(report: verify.Report, at: int) -> bool:
    """Whether a finding names the position itself, or tiles that it is in."""
    return any(
        each.first is not None and each.end is not None and each.first <= at < each.end for each in report.findings
    )


def test_a_whole_log_verifies(log: Made) -> None:
    report = verify.folder(log.folder, keys=[KEY], given=log.entries, complete=len(log.entries))
    assert report.findings == []
    assert (report.size, report.opened, report.not_given, report.checkpoints) == (SIZE, SIZE, 0, len(ROUNDS))
    some = verify.folder(log.folder, given=log.entries[:100])
    assert some.ok and (some.opened, some.not_given) == (100, SIZE - 100)


def check_rows(log: Made, at: int) -> None:
    for what, rows in changed_rows(log.entries, at, at):
        report = verify.folder(log.folder, given=rows, complete=len(log.entries))
        assert located(report, at), f"{what} of {at}"
        assert report.opened >= len(log.entries) - 2


def check_rows_near(log: Made, leaves: dict[int, bytes], at: int) -> None:
    """The same, with the rows around it alone: what a thousand entries have time for."""
    near = range(max(at - 4, 0), min(at + 4, len(log.entries)))
    others = set(range(len(log.entries))) - set(near)
    for what, rows in changed_rows(log.entries[near.start : near.stop], at - near.start, at):
        report = verify.Report(ORIGIN, (), size=len(log.entries))
        seen = verify.open_entries(report, leaves, rows)
        verify.absent(report, seen | others, len(log.entries))
        assert located(report, at), f"{what} of {at}"


def check_files(log: Made, at: int) -> None:
    for what, path, data in changed_files(log, at, at):
        with file_with(path, data):
            report = verify.folder(log.folder)
        assert located(report, at), f"{what} of {at}"
        if what.endswith("flipped") and "above" not in what:
            assert any((each.first, each.end) == (at, at + 1) for each in report.findings)


@pytest.mark.parametrize("at", SAMPLE[:2])
def test_any_change_of_an_entry_in_the_stores_is_located(log: Made, at: int) -> None:
    check_rows(log, at)


@pytest.mark.parametrize("at", [SAMPLE[2], 0, 255, 256, 299])
def test_any_change_of_an_entry_in_the_folder_is_located(log: Made, at: int) -> None:
    check_files(log, at)


def check_bundles(data: bytes, at: int) -> None:
    """The program and the single file find the same, by code that they don't share."""
    for what, changed, exactly in changed_bundles(json.loads(data), at, at):
        text = json.dumps(changed)
        report = bundle.check(text.encode(), keys=[KEY])
        wrong, found = SINGLE.check(json.loads(text), [str(KEY)], [])
        assert report.findings and wrong, f"{what} of {at}"
        assert found["opened"] == report.opened, f"{what} of {at}"
        if exactly:
            assert located(report, at), f"{what} of {at}"
            assert any(f"position {at}:" in sentence for sentence in wrong), f"{what} of {at}: {wrong}"


@pytest.mark.parametrize(("since", "at"), [(0, 150), (1, 1), (257, 298), (256, 256)])
def test_any_change_of_a_bundle_is_found_by_both_verifiers(log: Made, tmp_path: Path, since: int, at: int) -> None:
    data = bundled(log, tmp_path, since)
    report = bundle.check(data, keys=[KEY])
    wrong, found = SINGLE.check(json.loads(data), [str(KEY)], [])
    assert report.findings == [] and wrong == []
    assert (found["opened"], found["size"], found["not_given"]) == (SIZE - since, SIZE, since)
    assert (report.opened, report.size, report.not_given, report.checkpoints) == (
        SIZE - since,
        SIZE,
        since,
        found["checkpoints"],
    )
    check_bundles(data, at)


def test_a_consistent_rewrite_is_located_between_two_checkpoints(tmp_path: Path) -> None:
    """Whoever changes an entry, its leaf and every tile, but can't sign: the checkpoints around it tell where."""
    log, forged = make(tmp_path / "good", 100, 50, 30), make(tmp_path / "forged")
    other = replace(log.entries[120], salt=b"\0" * 32)
    rows = [*log.entries[:120], other, *log.entries[121:]]
    forged.folder.tiles.extend(0, [commitment(each.salt, each.entry) for each in rows])
    for size in log.folder.sizes():
        target = forged.folder.path / "checkpoints" / str(size)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(log.folder.raw_checkpoint(size))
    (forged.folder.path / "checkpoint").write_bytes(log.folder.raw_checkpoint(180))
    report = verify.folder(forged.folder, given=rows)
    assert [(each.first, each.end) for each in report.findings] == [(100, 150)]


def test_a_log_signed_by_another_key_isnt_the_log(log: Made, tmp_path: Path) -> None:
    other = NoteKey(KEY.name, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    report = verify.folder(log.folder, keys=[other])
    assert not report.ok and report.checkpoints == 0
    data = bundled(log, tmp_path)
    assert not bundle.check(data, keys=[other]).ok
    assert SINGLE.check(json.loads(data), [str(other)], [])[0]


def test_a_missing_or_foreign_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        verify.folder(LogFolder(tmp_path / "nothing"))
    log = make(tmp_path / "log", 5)
    (log.folder.path / "checkpoint").unlink()
    assert not verify.folder(log.folder).ok


@pytest.mark.parametrize("text", ["", "[]", "{}", "1", '{"format": "x"}', "[" * 5000])
def test_what_is_no_bundle_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        bundle.check(text.encode())


def test_the_single_file_runs_alone(log: Made, tmp_path: Path) -> None:
    """In isolated mode, with nothing of ours to import, and as a person calls it."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(bundled(log, tmp_path, since=299))
    bad.write_text(good.read_text().replace('"position": 299', '"position": 298'))

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-I", ROOT / "docs/privacy/verify_log.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    told = run(good, "--key", str(KEY))
    assert (
        told.returncode == 0 and "1 entries opened, 299 not given" in told.stdout and "nothing is wrong" in told.stdout
    )
    assert "own word" in run(good).stdout
    told = run(bad, "--key", str(KEY))
    assert told.returncode == 1 and "at position 298" in told.stdout
    (tmp_path / "none.json").write_text("{}")
    assert run(tmp_path / "none.json").returncode == 2
    source = (ROOT / "docs/privacy/verify_log.py").read_text()
    assert "governance" not in source and "router" not in source


def test_without_a_checkpoint_of_a_known_key_nothing_fits(log: Made, tmp_path: Path) -> None:
    """Also of a bundle that holds nothing else."""
    good = json.loads(bundled(log, tmp_path))
    for empty in ({"checkpoints": []}, {"checkpoints": [], "leaves": [], "entries": []}):
        data = json.dumps(good | empty).encode()
        assert any("no checkpoint" in each.what for each in bundle.check(data, keys=[KEY]).findings)
        wrong, _ = SINGLE.check(json.loads(data), [str(KEY)], [])
        assert any("no checkpoint" in each for each in wrong)


def test_a_witness_that_was_named_must_have_cosigned(log: Made, tmp_path: Path) -> None:
    data = bundled(log, tmp_path)
    named = NoteKey("witness.example", SECRET.public_key().public_bytes_raw(), 4)
    assert any("isn't cosigned" in each.what for each in bundle.check(data, keys=[KEY], witnesses=[named]).findings)
    wrong, _ = SINGLE.check(json.loads(data), [str(KEY)], [str(named)])
    assert any("isn't cosigned" in each for each in wrong)
