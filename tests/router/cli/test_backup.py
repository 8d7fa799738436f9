"""`valueapi backup` and `valueapi erase-check` as an operator meets them, with a service that runs."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.services.valueapi import ValueAPI


def test_a_data_backup_made_while_the_service_runs_is_restored_when_it_is_stopped(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home").start()
    out = tmp_path / "b"
    made = json.loads(service.run("backup", "create", "--store", "data", "--out", str(out), "--json").stdout)
    assert made["path"] == str(out) and made["state"].startswith("kept until")
    account = json.loads(service.run("accounts", "list", "--json").stdout)[0]["id"]
    service.run("accounts", "credit", account, "5", "--key", "later")
    refused = service.run("backup", "restore", str(out), "--store", "data", check=False)
    assert refused.returncode == 1 and "stop it first" in refused.stderr
    service.stop()
    told = json.loads(service.run("backup", "restore", str(out), "--store", "data", "--json").stdout)
    assert told["known"] is True and told["sha256"] == made["sha256"]
    # Added anew: the restored book doesn't know the key.
    assert "Added 5" in service.run("accounts", "credit", account, "5", "--key", "later").stdout
    assert json.loads(service.run("ledger", "verify", "--json").stdout)["ok"] is True
    checked = service.run("erase-check", "--backup", str(out), "--json")
    findings = {row["column"]: row for row in json.loads(checked.stdout)["findings"]}
    assert findings["person.email"]["of_living_opened"] == findings["person.email"]["values"] > 0
    assert json.loads(service.run("backup", "list", "--json").stdout)[0]["id"] == made["id"]
    assert json.loads(service.run("backup", "prune", "--json").stdout) == []
    service.start()
    service.stop()


def test_a_backup_ends_when_the_operator_says_so(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home")
    service.run("migrate")
    ids = []
    for name in ("here", "moved"):
        made = service.run("backup", "create", "--store", "data", "--out", str(tmp_path / name), "--json")
        ids.append(json.loads(made.stdout)["id"])
    (tmp_path / "moved").unlink()
    refused = service.run("backup", "prune", "--gone", check=False)
    assert refused.returncode == 1 and "needs the ids" in refused.stderr
    some = service.run("backup", "prune", *ids, "--json", check=False)
    assert some.returncode == 1 and [row["removed"] for row in json.loads(some.stdout)] == [True, False]
    assert "--gone" in some.stderr and not (tmp_path / "here").exists()
    told = json.loads(service.run("backup", "prune", *ids, "--gone", "--json").stdout)
    assert [row["removed"] for row in told] == [True, True]
    listed = json.loads(service.run("backup", "list", "--json").stdout)
    assert all(row["state"].startswith("removed on") for row in listed)


def test_a_subject_that_is_not_ours_but_opens_fails_the_check(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home").start()
    service.stop()
    service.run("backup", "create", "--store", "data", "--out", str(tmp_path / "b"))
    # People go, their keys stay: what an erasure that forgot the keys would leave.
    data = service.home / "data" / "valueapi.db"
    connection = sqlite3.connect(data)
    connection.execute("DELETE FROM data_subject")
    connection.commit()
    connection.close()
    failed = service.run("erase-check", "--backup", str(tmp_path / "b"), check=False)
    assert failed.returncode == 1 and "can still be opened" in failed.stderr and "@" not in failed.stdout
    nobody = "00000000-0000-7000-8000-000000000000"
    alone = service.run("erase-check", "--backup", str(tmp_path / "b"), "--subject", nobody, "--json")
    assert json.loads(alone.stdout)["ok"] is True
    raw = service.run("erase-check", "--backup", str(data), "--json", check=False)
    assert raw.returncode == 1 and json.loads(raw.stdout)["unknown_tables"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "--store", "data", "--out", "b", "--expires", "90"), "ISO 8601"),
        (("create", "--store", "data", "--out", "none/b"), "can't be written to"),
        (("create", "--store", "data", "--out", "b", "--key-out", "k"), "has no key"),
        (("restore", "none", "--store", "data"), "can't be read"),
        (("restore", "text", "--store", "data"), "is no backup"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    service = ValueAPI(tmp_path / "home")
    service.run("migrate")
    (tmp_path / "text").write_text("some text that is no backup")
    placed = [str(tmp_path / part) if part in ("b", "none/b", "k", "none", "text") else part for part in arguments]
    refused = service.run("backup", *placed, check=False)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert words in refused.stderr
