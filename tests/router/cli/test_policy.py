"""`valueapi policy` on a fresh home: what ships is listed, goes out and in unchanged, and is compared and checked."""

import json
import shutil
from pathlib import Path

import pytest

from policies import version
from policies.retention import IN_FORCE
from tests.services.valueapi import ValueAPI


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> ValueAPI:
    made = ValueAPI(tmp_path_factory.mktemp("policy") / "home")
    made.run("migrate")
    return made


def test_what_ships_is_in_force_and_goes_out_byte_for_byte(service: ValueAPI, tmp_path: Path) -> None:
    [row] = json.loads(service.run("policy", "history", "--json").stdout)
    assert (row["series"], row["version"], row["in_force"]) == ("privacy", "2026-03", True)
    told = json.loads(service.run("policy", "export", "privacy", "2026-03", "--out", str(tmp_path), "--json").stdout)
    assert told["digest"] == row["digest"] == version.read(Path(told["folder"])).digest
    assert {path.name: path.read_bytes() for path in Path(told["folder"]).iterdir()} == {
        path.name: path.read_bytes() for path in IN_FORCE.iterdir()
    }
    again = service.run("policy", "export", "privacy", "2026-03", "--out", str(tmp_path), check=False)
    assert again.returncode == 1 and "is there already" in again.stderr
    assert "We do NOT store the content" in service.run("policy", "show", "privacy").stdout


def test_check_says_what_blocks_and_what_legal_should_know(service: ValueAPI, tmp_path: Path) -> None:
    folder = tmp_path / "privacy" / "2026-03"
    shutil.copytree(IN_FORCE, folder)
    well = service.run("policy", "check", str(folder))
    assert "Nothing blocks" in well.stdout and "Consider:" in well.stdout and "No control yet:" in well.stdout
    text = (folder / "policy.md").read_text()
    (folder / "policy.md").write_text(text.replace("We do NOT store the content", "We may store the content"))
    refused = service.run("policy", "check", str(folder), "--json", check=False)
    told = json.loads(refused.stdout)
    assert refused.returncode == 1 and told["blocks"] == ["promises.yaml: 3.1 is misquoted."] and told["findings"] == []
    (folder / "policy.md").write_text(text)
    (folder / "extra").touch()
    assert "doesn't belong there" in service.run("policy", "check", str(folder), check=False).stderr


def test_diff_marks_words(service: ValueAPI, tmp_path: Path) -> None:
    folder = tmp_path / "privacy" / "2027-01"
    shutil.copytree(IN_FORCE, folder)
    text = (folder / "policy.md").read_text().replace("version: 2026-03", "version: 2027-01")
    (folder / "policy.md").write_text(text.replace("We do NOT store", "We never store"))
    shown = service.run("policy", "diff", "privacy", "2026-03", str(folder)).stdout
    assert shown.startswith("3.1  We [-do NOT-]{+never+} store the content")
    assert "alike" in service.run("policy", "diff", "privacy", "2026-03", "2026-03").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "imprint"),
        ("export", "privacy", "1999-01", "--out", "/tmp/x"),
        ("show", "imprint"),
        ("show", "terms"),
    ],
)
def test_what_isnt_there_is_said_in_a_sentence(service: ValueAPI, arguments: tuple[str, ...]) -> None:
    refused = service.run("policy", *arguments, check=False)
    assert refused.returncode == 1 and refused.stderr.strip().endswith(".") and "Traceback" not in refused.stderr
