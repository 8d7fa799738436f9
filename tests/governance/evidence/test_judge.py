"""What another implementation says of our log: Go's `sumdb/note` and `sumdb/tlog`, from Debian's packages."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from governance.evidence import merkle
from governance.evidence.entry import commitment
from tests.governance.evidence.made import KEY, Made, make

SOURCE = Path(__file__).with_name("judge.go")
SIZES = (1, 200, 255, 256, 257, 600)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    shutil.copy(SOURCE, folder / "judge.go")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GOCACHE": str(folder / "cache"),
        "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "CGO_ENABLED": "0",
    }  # fmt: skip
    # Missing? `make test` installs golang-go and golang-golang-x-mod-dev.
    subprocess.run(["go", "build", "-o", "judge", "judge.go"], cwd=folder, env=environment, check=True)
    return folder / "judge"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Made:
    rounds = (size - before for before, size in zip((0, *SIZES), SIZES, strict=False))
    return make(tmp_path_factory.mktemp("log"), *rounds)


def asked(judge: Path, questions: list[dict[str, Any]]) -> list[str]:
    def encoded(value: Any) -> Any:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        return [encoded(each) for each in value] if isinstance(value, list) else value

    lines = [json.dumps({name: encoded(value) for name, value in each.items()}) for each in questions]
    done = subprocess.run([judge], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    answers = done.stdout.splitlines()
    assert len(answers) == len(questions)
    return answers


def questions(log: Made) -> list[dict[str, Any]]:
    """Inclusion of some leaves in every checkpoint, and consistency of any two checkpoints."""
    notes = {size: log.folder.raw_checkpoint(size).decode() for size in SIZES}
    found: list[dict[str, Any]] = []
    subtree = log.folder.tiles.subtree(600)
    for size in SIZES:
        for position in {0, size // 2, size - 1}:
            each = log.entries[position]
            found.append({
                "Key": str(KEY), "Note": notes[size], "Leaf": commitment(each.salt, each.entry), "Position": position,
                "Proof": merkle.inclusion(position, size, subtree),
            })  # fmt: skip
        for old in (other for other in SIZES if other < size):
            proof = merkle.consistency(old, size, subtree)
            found.append({"Key": str(KEY), "Note": notes[size], "OldNote": notes[old], "Proof": proof})
    return found


def test_another_implementation_accepts_checkpoints_and_proofs(judge: Path, log: Made) -> None:
    answers = asked(judge, questions(log))
    assert len(answers) > 30 and set(answers) == {"ok"}


def test_another_implementation_refuses_what_was_tampered_with(judge: Path, log: Made) -> None:
    def flipped(data: bytes) -> bytes:
        return data[:5] + bytes((data[5] ^ 1,)) + data[6:]

    bad: list[dict[str, Any]] = []
    for good in questions(log):
        text = good["Note"]
        lines = text.split("\n")
        bad.append(good | {"Note": text.replace(lines[1], str(int(lines[1]) + 1), 1)})
        bad.append(
            good | {"Note": text.replace(lines[2], base64.b64encode(flipped(base64.b64decode(lines[2]))).decode())}
        )
        bad.append(good | {"Note": text[:-9] + ("A" if text[-9] != "A" else "B") + text[-8:]})
        if "Leaf" in good:
            bad.append(good | {"Leaf": flipped(good["Leaf"])})
            bad.append(good | {"Position": good["Position"] + 1})
        else:
            bad.append(good | {"OldNote": good["OldNote"].replace("\n", "\n1", 1)})
        bad += [
            good | {"Proof": [*good["Proof"][:at], flipped(each), *good["Proof"][at + 1 :]]}
            for at, each in enumerate(good["Proof"])
        ]
        bad += [good | {"Proof": good["Proof"][:-1]}] if good["Proof"] else []
    answers = asked(judge, bad)
    assert len(answers) > 200 and "ok" not in answers
