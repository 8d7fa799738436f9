"""Checkpoints outside our reach: who has one sees every rewrite, and says so before anything is replaced."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.errors import Conflict, Rejected
from governance.evidence import bundle, verify, witness
from governance.evidence.note import COSIGNATURE, NoteKey
from tests.governance.evidence.made import KEY, ORIGIN, make, single_file
from tests.simulators.witness import Witness


@pytest.fixture
def asked() -> Iterator[Witness]:
    with Witness(ORIGIN, KEY.public, KEY.id) as running:
        yield running


def key_of(running: Witness) -> NoteKey:
    return NoteKey(running.name, running.public, COSIGNATURE)


async def test_a_witness_cosigns_what_extends_what_it_saw(asked: Witness, tmp_path: Path) -> None:
    log = make(tmp_path / "log", 3)
    key = key_of(asked)
    assert (await witness.ask(log.folder, asked.url, key)).size == 3
    for grown in (1, 4, 250, 30):
        log.append(grown)
        head = await witness.ask(log.folder, asked.url, key)
        assert asked.size == head.size == len(log.entries)
    await witness.ask(log.folder, asked.url, key)  # the same once more replaces the cosignature
    newest = log.folder.latest()
    assert newest is not None and len(newest[1].signatures) == 2
    report = verify.folder(log.folder, keys=[KEY], witnesses=[key])
    assert report.ok and report.cosigned == len(log.folder.sizes())
    file = tmp_path / "bundle"
    bundle.write(log.folder, [], file)
    assert bundle.check(file.read_bytes(), witnesses=[key]).cosigned == 5
    wrong, found = single_file().check(json.loads(file.read_bytes()), [str(KEY)], [str(key)])
    assert (wrong, found["cosigned"]) == ([], 5)
    forged = json.loads(file.read_bytes())
    last = forged["checkpoints"][-1]
    forged["checkpoints"][-1] = last[:-12] + ("A" if last[-12] != "A" else "B") + last[-11:]
    assert not bundle.check(json.dumps(forged).encode(), witnesses=[key]).ok
    assert single_file().check(forged, [str(KEY)], [str(key)])[0]


async def test_a_witness_refuses_a_rewritten_or_older_log(asked: Witness, tmp_path: Path) -> None:
    log, key = make(tmp_path / "log", 5, 5), key_of(asked)
    await witness.ask(log.folder, asked.url, key)
    old = make(tmp_path / "old", 5)
    with pytest.raises(Conflict, match="larger log"):
        await witness.ask(old.folder, asked.url, key)
    other = make(tmp_path / "other")
    leaves = [hashlib.sha256(b"%d" % at).digest() for at in range(12)]
    other.folder.tiles.extend(0, leaves)
    other.entries = log.entries + log.entries[:2]
    other.sign()
    with pytest.raises(Conflict, match="another history"):
        await witness.ask(other.folder, asked.url, key)
    assert asked.size == 10


async def test_what_isnt_the_witnesss_cosignature_is_refused(asked: Witness, tmp_path: Path) -> None:
    log, key = make(tmp_path / "log", 5), key_of(asked)
    before = (log.folder.path / "checkpoint").read_bytes()
    for status, text in (
        (200, b""),
        (200, b"ok"),
        (200, b"x" * 100_000),
        (500, b""),
        (403, b""),
        (409, b"no"),
        (302, b""),
    ):
        asked.answer_with = (status, text)
        with pytest.raises((Rejected, Conflict)):
            await witness.ask(log.folder, asked.url, key)
    asked.answer_with = None
    with pytest.raises(Rejected, match="No known key"):
        await witness.ask(log.folder, asked.url, NoteKey("other", asked.public, COSIGNATURE))
    assert (log.folder.path / "checkpoint").read_bytes() == before
    with pytest.raises(Rejected, match="can't be reached"):
        await witness.ask(log.folder, "http://127.0.0.1:1/", key)


def test_a_folder_keeps_checkpoints_and_finds_a_rewrite(tmp_path: Path) -> None:
    log, target = make(tmp_path / "log", 5), tmp_path / "outside"
    assert witness.to_folder(log.folder, target).name == "5.checkpoint"
    log.append(300)
    assert witness.to_folder(log.folder, target).name == "305.checkpoint"
    assert witness.to_folder(log.folder, target).read_bytes() == (log.folder.path / "checkpoint").read_bytes()
    old = make(tmp_path / "old", 6)
    with pytest.raises(Conflict, match=r"305\.checkpoint"):
        witness.to_folder(old.folder, target)
    (target / "305.checkpoint").unlink()
    assert witness.to_folder(old.folder, target).name == "6.checkpoint"  # its first five are the same
    forged = make(tmp_path / "forged")
    forged.folder.tiles.extend(0, [b"%032d" % at for at in range(7)])
    forged.entries = log.entries[:7]
    forged.sign()
    with pytest.raises(Conflict, match=r"5\.checkpoint"):
        witness.to_folder(forged.folder, target)
    shutil.rmtree(target)
    with pytest.raises(Rejected):
        witness.to_folder(make(tmp_path / "empty").folder, target)
