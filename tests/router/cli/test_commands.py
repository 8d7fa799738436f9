"""Commands as a person and a script meet them."""

import asyncio
import json
from pathlib import Path
from uuid import UUID

import pytest

from governance.vault.staff_opening import StaffLog
from router.app.stores import opened
from router.settings import Settings
from tests.services.valueapi import ValueAPI
from tests.simulators.transit import TransitSimulator


def test_doctor_tells_what_is_missing_and_then_that_all_is_well(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home")
    before = service.run("doctor", "--json", check=False)
    told = json.loads(before.stdout)
    assert before.returncode == 1 and told["ok"] is False
    assert {row["check"] for row in told["checks"] if not row["ok"]} >= {"root key", "data store", "keys store"}
    assert all(row["mend"] for row in told["checks"] if not row["ok"])
    service.run("migrate")
    after = service.run("doctor", "--json")
    told = json.loads(after.stdout)
    assert told["ok"] is True and told["process_ids"] == []
    assert {"log_target", "temporary_folder", "writable_folders"} <= set(told)


def test_commands_say_what_to_do_where_there_is_no_home(tmp_path: Path) -> None:
    refused = ValueAPI(tmp_path / "home").run("accounts", "list", check=False)
    assert refused.returncode == 2 and "valueapi migrate" in refused.stderr and "Traceback" not in refused.stderr


def test_a_key_file_that_others_can_read_stops_every_command(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home")
    service.run("migrate")
    (service.home / "keys" / "root.key").chmod(0o644)
    for command in (["keys", "status"], ["serve"]):
        refused = service.run(*command, check=False)
        assert refused.returncode == 2 and "may be read by others" in refused.stderr


def test_credit_is_added_once_per_key_and_the_books_agree(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home").start()
    service.stop()
    account = json.loads(service.run("accounts", "list", "--json").stdout)[0]["id"]
    assert "Added 5" in service.run("accounts", "credit", account, "5", "--key", "a").stdout
    assert "nothing was added" in service.run("accounts", "credit", account, "5", "--key", "a").stdout
    rows = {
        row["id"]: row["balance_microcredits"] for row in json.loads(service.run("accounts", "list", "--json").stdout)
    }
    assert rows[account] == 5_000_000
    tiers = {row["id"]: row["tier"] for row in json.loads(service.run("accounts", "list", "--json").stdout)}
    assert tiers[account] == "tier-1"  # 5 Credits paid in so far; a gift doesn't count
    service.run("accounts", "credit", account, "100", "--key", "b", "--demo")
    tiers = {row["id"]: row["tier"] for row in json.loads(service.run("accounts", "list", "--json").stdout)}
    assert tiers[account] == "tier-1"
    conflict = service.run("accounts", "credit", account, "6", "--key", "a", check=False)
    assert conflict.returncode == 1 and "Traceback" not in conflict.stderr
    assert json.loads(service.run("ledger", "verify", "--json").stdout)["ok"] is True


def test_the_case_that_staff_act_on_is_recorded_for_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = ValueAPI(tmp_path / "home").start()
    service.stop()
    found = service.run("accounts", "find", service.first_run["user"]["email"], "--json")
    subject_id = UUID(json.loads(found.stdout)["subject_id"])
    service.run("accounts", "api-keys", "create", str(subject_id), "--case", "T-17")
    mail_id = json.loads(service.run("outbox", "list", "--json").stdout)[0]["id"]
    service.run("outbox", "show", mail_id, "--case", "REQ-2026/4")
    service.run("outbox", "show", mail_id)
    personal = service.run("outbox", "show", mail_id, "--case", "ada@example.org", check=False)
    assert personal.returncode == 2 and "nothing personal" in personal.stderr
    assert "--case" not in service.run("outbox", "list", "--help").stdout
    for name, value in service.environment.items():
        if name.startswith("VALUEAPI_"):
            monkeypatch.setenv(name, value)

    async def recorded() -> list[tuple[str, str, str | None]]:
        async with opened(Settings.load()) as stores:
            log = await StaffLog(stores.keys).of(subject_id)
        return [(detail.column, detail.actor, detail.case) for _, detail in log]

    parts = ("outbox.recipient", "outbox.subject_line", "outbox.body")
    assert asyncio.run(recorded()) == [
        ("person.email", "operator", "T-17"),
        *((part, "operator", "REQ-2026/4") for part in parts),
        *((part, "operator", None) for part in parts),
    ]


def test_keys_status_and_doctor_name_the_keyring_and_its_limit(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home").start()
    service.stop()
    told = json.loads(service.run("keys", "status", "--json").stdout)
    assert told["keyring"] == "file" and "SSD" in told["destruction"]
    assert sum(row["keys"] for row in told["keys"]) >= 6
    assert [(row["state"], row["in_use"]) for row in told["roots"]] == [("current", True)]
    assert "SSD" in service.run("keys", "status").stdout
    rows = {row["check"]: row for row in json.loads(service.run("doctor", "--json").stdout)["checks"]}
    assert rows["root key"]["found"] == "keyring file: reached, 1 root key"
    # Another root key opens nothing, and the start says so.
    (service.home / "keys" / "root.key").unlink()
    service.run("migrate")
    refused = service.run("serve", check=False)
    assert refused.returncode != 0 and "under a root key that the key file doesn't hold" in refused.stderr
    told = json.loads(service.run("keys", "status", "--json").stdout)
    assert {row["in_use"]: row["state"] for row in told["roots"]} == {True: "unknown", False: "current"}


def test_the_service_runs_on_another_keyring_and_says_when_it_is_out_of_reach(tmp_path: Path) -> None:
    with TransitSimulator() as transit:
        environment = {
            "VALUEAPI_KEYRING": "vault-transit:transit/valueapi",
            "VALUEAPI_VAULT_ADDR": transit.url,
            "VALUEAPI_VAULT_TOKEN": transit.token,
        }
        service = ValueAPI(tmp_path / "home", environment).start()
        service.stop()
        assert not (service.home / "keys" / "root.key").exists()
        told = json.loads(service.run("keys", "status", "--json").stdout)
        assert told["keyring"] == "vault-transit" and {row["state"] for row in told["roots"]} == {"current"}
        assert "POST /v1/transit/encrypt/valueapi" in transit.calls
        transit.status = 503
        asked = service.run("doctor", "--json", check=False)
        row = next(row for row in json.loads(asked.stdout)["checks"] if row["check"] == "root key")
        assert asked.returncode == 1 and row["found"] == "keyring vault-transit: Vault is sealed or not ready."
        for command in (["serve"], ["keys", "status"]):
            refused = service.run(*command, check=False)
            assert refused.returncode == 1 and "Vault is sealed" in refused.stderr
            assert "Traceback" not in refused.stderr and transit.token not in refused.stderr + refused.stdout


def test_an_unknown_keyring_stops_every_command(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home", {"VALUEAPI_KEYRING": "safe"})
    for command in (["migrate"], ["serve"], ["doctor"]):
        refused = service.run(*command, check=False)
        assert refused.returncode != 0 and "VALUEAPI_KEYRING" in refused.stderr + refused.stdout
