"""`valueapi scan` as a script meets it."""

import base64
import gzip
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from router.cli.main import command_line

NEEDLE = "Kanarie-7f3b9c2d8e1a4f60-Xyz"


@pytest.fixture
def needle_file(tmp_path: Path) -> Path:
    file = tmp_path / "needle"
    file.write_text(NEEDLE + "\n")
    return file


def scan(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(command_line(), ["scan", *map(str, arguments)])
    assert NEEDLE not in done.output and "Traceback" not in done.output
    return done.exit_code, done.output


def test_a_needle_in_gzip_in_base64_is_found(tmp_path: Path, needle_file: Path) -> None:
    folder = tmp_path / "rest"
    folder.mkdir()
    (folder / "a").write_bytes(base64.b64encode(gzip.compress(f"xx{NEEDLE}yy".encode())))
    code, shown = scan(folder, "--needle-file", needle_file)
    assert code == 1 and "gzip" in shown
    code, shown = scan(folder, "--needle-file", needle_file, "--json")
    told = json.loads(shown)
    assert code == 1 and told["found"] and told["findings"][0]["matched"] == len(NEEDLE)
    (folder / "a").write_bytes(base64.b64encode(gzip.compress(b"xx something else altogether yy")))
    code, shown = scan(folder, "--needle-file", needle_file)
    assert code == 0 and "nothing found. Not read: 0." in shown


def test_gaps_are_told_and_a_scan_of_nothing_is_void(tmp_path: Path, needle_file: Path) -> None:
    folder = tmp_path / "rest"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder)
    (folder / "out").symlink_to(needle_file)
    code, shown = scan(folder, "--needle-file", needle_file)
    assert code == 2 and "Not read: 2." in shown and "Nothing could be read" in shown
    (folder / "file").write_text("hello")
    code, shown = scan(folder, "--needle-file", needle_file)
    assert code == 0 and "Not read: 2." in shown
    assert scan(tmp_path / "none", "--needle-file", needle_file)[0] == 2
    assert scan(folder)[0] == 2


@pytest.mark.parametrize(
    "name", [NEEDLE, f"log-{NEEDLE.lower()}.txt", base64.urlsafe_b64encode(NEEDLE.encode()).decode()]
)
def test_a_needle_in_a_path_is_found_and_not_printed(name: str, tmp_path: Path, needle_file: Path) -> None:
    folder = tmp_path / "rest" / name / "below"
    folder.mkdir(parents=True)
    (folder / "file").write_text("hello")
    (folder / "again").write_text(NEEDLE)
    (folder / "file").chmod(0)
    os.mkfifo(folder / "pipe")
    for arguments in ((), ("--json",)):
        code, shown = scan(tmp_path / "rest", "--needle-file", needle_file, *arguments)
        assert code == 1 and name not in shown and name.encode().hex() not in shown
    found = {(each["place"], each["form"].split()[0]) for each in json.loads(shown)["findings"]}
    masked = f"{tmp_path}/rest/[a name that holds needle]"
    assert found == {(masked, "name"), (f"{masked}/below/again", "text")}
    assert f"{masked}/below/pipe" in {each["place"] for each in json.loads(shown)["unread"]}
    code, shown = scan(tmp_path / "none" / name, "--needle-file", needle_file)
    assert code == 2 and name not in shown


def test_a_needle_over_a_slash_is_not_printed_either(tmp_path: Path, needle_file: Path) -> None:
    (tmp_path / "rest" / NEEDLE[:14]).mkdir(parents=True)
    (tmp_path / "rest" / NEEDLE[:14] / NEEDLE[14:]).touch()
    needle_file.write_text(NEEDLE[:14] + "/" + NEEDLE[14:])
    code, shown = scan(tmp_path / "rest", "--needle-file", needle_file)
    assert code == 1 and NEEDLE[14:] not in shown


def test_needles_of_many_files_and_lines(tmp_path: Path, needle_file: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("0123456789 another one\n\n" + NEEDLE[::-1] + "\n")
    file = tmp_path / "file"
    file.write_text(NEEDLE[::-1].upper() + NEEDLE)
    code, shown = scan(file, "--needle-file", needle_file, "--needle-file", lines, "--needles-per-line", "--json")
    assert code == 1 and {each["needle"] for each in json.loads(shown)["findings"]} == {"needle:1", "lines:3"}
    lines.write_text("short")
    assert scan(file, "--needle-file", lines)[0] == 2
    lines.write_text("")
    assert scan(file, "--needle-file", lines)[0] == 2
