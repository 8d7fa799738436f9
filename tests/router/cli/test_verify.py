"""`valueapi verify`, `controls` and `promises` on a running service's home."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.services.valueapi import ValueAPI


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    made = ValueAPI(tmp_path_factory.mktemp("verify") / "home").start()
    yield made
    made.stop()


def test_what_was_never_looked_at_is_unproven_and_nothing_is_run_where_that_is_asked(service: ValueAPI) -> None:
    ended = service.run("verify", "--recorded", "--json", check=False)
    told = json.loads(ended.stdout)
    assert ended.returncode == 3
    assert told["counts"]["kept"] == told["counts"]["failing"] == 0 and told["controls"] == []
    assert len(told["promises"]) == 37 and told["notices"] == 16
    [books] = [each for each in told["promises"] if each["id"] == "4.3"]
    assert "ledger-balanced: it hasn't run yet." in books["missing"]


def test_a_broken_book_is_found_and_named_and_opens_one_incident(service: ValueAPI) -> None:
    passed = json.loads(service.run("controls", "run", "ledger-balanced", "--json").stdout)
    assert passed[0]["outcome"] == "passed" and passed[0]["examined"] > 0

    books = sqlite3.connect(service.home / "data" / "valueapi.db")
    with books:
        books.execute("UPDATE posting SET amount_microcredits = amount_microcredits + 1 WHERE rowid = 1")
    ended = service.run("controls", "run", "ledger-balanced", check=False)
    assert ended.returncode == 1 and "A control fails" in ended.stderr
    ended = service.run("verify", "--recorded", "--json", check=False)
    told = json.loads(ended.stdout)
    failing = {each["id"]: each["missing"] for each in told["promises"] if each["state"] == "failing"}
    assert ended.returncode == 1 and set(failing) == {"4.3"}
    assert any("sum to zero" in why for why in failing["4.3"])
    shown = service.run("verify", "--recorded", check=False).stdout
    assert "failing" in shown and "1 failing" in shown.splitlines()[-2]
    with books:
        books.execute("UPDATE posting SET amount_microcredits = amount_microcredits - 1 WHERE rowid = 1")
    service.run("controls", "run", "ledger-balanced")
    [incident] = json.loads(service.run("incidents", "list", "--json").stdout)
    assert incident["control"] == "ledger-balanced" and incident["runs"] == 1
    shown = service.run("controls", "show", "ledger-balanced").stdout
    assert "calculate usage accurately" in shown and shown.count("passed") == 2 and shown.count("failed") >= 1


def test_every_runs_evidence_is_in_the_log(service: ValueAPI) -> None:
    service.run("controls", "run", "ledger-balanced")
    [newest, *_] = json.loads(service.run("controls", "show", "ledger-balanced", "--json").stdout)["runs"]
    entries = json.loads(service.run("audit", "log", "--json").stdout)
    [entry] = [each for each in entries if each["id"] == newest["evidence"]]
    assert entry["type"] == "control:check:run" and entry["position"] is not None
    assert service.run("audit", "verify").returncode == 0


def test_a_document_and_a_binding_are_recorded_and_count(service: ValueAPI, tmp_path: Path) -> None:
    contract = tmp_path / "contract.pdf"
    contract.write_bytes(b"signed")
    service.run(
        "promises", "attest", "confidentiality-hosting", str(contract), "--expires", "2099-12-31", "--by", "legal"
    )
    [document] = json.loads(service.run("promises", "documents", "--json").stdout)
    assert document["stands"] is True and len(document["digest"]) == 64
    service.run("promises", "bind", "2.6", "ledger-balanced", "--by", "legal")
    bound = {each["id"]: each for each in json.loads(service.run("promises", "list", "--json").stdout)}
    assert bound["2.6"]["controls"] == ["ledger-balanced"]
    refused = service.run("promises", "bind", "2.6", "nothing-of-ours", "--by", "legal", check=False)
    assert refused.returncode == 1 and "There is no control" in refused.stderr


def test_an_unknown_control_is_a_plain_sentence(service: ValueAPI) -> None:
    ended = service.run("controls", "run", "nowhere", check=False)
    assert ended.returncode == 1 and "There is no such control." in ended.stderr
