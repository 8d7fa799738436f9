"""What stands beside content: names of files and folders, where links lead, extended attributes."""

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from governance.bodies.scanner import files
from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.report import Report
from governance.bodies.scanner.search import Search

TEXT = "Kanarie-7f3b9c2d8e1a4f60-Xyz"
MASKED = "[a name that holds n]"


def looked(path: Path) -> Report:
    search = Search([Needle("n", TEXT.encode())])
    search.path(path)
    return search.report()


def file(folder: Path) -> None:
    (folder / f"{TEXT}.log").touch()


def empty_folder(folder: Path) -> None:
    (folder / TEXT.encode().hex()).mkdir()


def link(folder: Path) -> None:
    (folder / "link").symlink_to(f"/nowhere/{TEXT}/at all")


def link_in_base64(folder: Path) -> None:
    (folder / "link").symlink_to(base64.b64encode(TEXT.encode()).decode())


def link_with_slashes(folder: Path) -> None:
    (folder / "link").symlink_to("data:" + base64.b64encode(b"\xff" * 9 + TEXT.encode("utf-16")).decode())


def link_that_is_no_path(folder: Path) -> None:
    (folder / "link").symlink_to("/" + "a" * 300 + TEXT)


def second_name(folder: Path) -> None:
    (folder / "a").write_text("the content of both")
    os.link(folder / "a", folder / TEXT)


def attribute(folder: Path) -> None:
    (folder / "a").touch()
    os.setxattr(folder / "a", "user.note", TEXT.encode("utf-16-le"))


def attribute_name(folder: Path) -> None:
    (folder / "a").touch()
    os.setxattr(folder / "a", f"user.{TEXT}", b"1")


def attribute_of_a_folder(folder: Path) -> None:
    (folder / "a").mkdir()
    os.setxattr(folder / "a", "user.note", TEXT.encode())


@pytest.mark.parametrize(
    "plant",
    [
        file,
        empty_folder,
        link,
        link_in_base64,
        link_with_slashes,
        link_that_is_no_path,
        second_name,
        attribute,
        attribute_name,
        attribute_of_a_folder,
    ],
)
def test_it_is_found_and_not_told(plant: Callable[[Path], None], tmp_path: Path) -> None:
    assert looked(tmp_path).findings == []
    plant(tmp_path)
    report = looked(tmp_path)
    assert {finding.needle for finding in report.findings} == {"n"}
    assert TEXT not in repr(report) and TEXT.encode().hex() not in repr(report)
    assert all(finding.offset is None or finding.place.endswith("user.note") for finding in report.findings)


def test_a_folder_s_name_is_told_once_however_much_is_below(tmp_path: Path) -> None:
    (tmp_path / TEXT).mkdir()
    for number in range(5):
        (tmp_path / TEXT / str(number)).write_text("nothing")
    assert [(each.place, each.form) for each in looked(tmp_path).findings] == [(f"{tmp_path}/{MASKED}", "name > text")]


def test_what_a_process_holds_open_is_searched_by_its_name(tmp_path: Path) -> None:
    with (tmp_path / f"{TEXT}.tmp").open("w") as held:
        (tmp_path / f"{TEXT}.tmp").unlink()
        held.write("nothing of it")
        held.flush()
        search = Search([Needle("n", TEXT.encode())])
        search.process(os.getpid())
    report = search.report()
    assert [each.place for each in report.findings] == [f"process {os.getpid()}: {tmp_path}/{MASKED}"]
    assert TEXT not in repr(report)


def test_names_of_what_did_not_change_are_left_out(tmp_path: Path) -> None:
    file(tmp_path)
    (tmp_path / "link").symlink_to(TEXT)
    named: list[Path] = []
    since = (tmp_path / "link").lstat().st_ctime
    for later, names in ((0, {tmp_path, tmp_path / f"{TEXT}.log", tmp_path / "link"}), (60, set())):
        named.clear()
        list(files.walk(tmp_path, lambda *gap: None, seen=set(), since=since - 60 + 2 * later, named=named.append))
        assert set(named) == names


def test_attributes_that_may_not_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute(tmp_path)

    def refused(path: Path, name: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "getxattr", refused)
    assert [(each.place, each.why) for each in looked(tmp_path).unread] == [
        (f"{tmp_path}/a: extended attributes", "can't be read: Permission denied")
    ]
