"""`valueapi incidents` from the first report to the register, beside the running service, and what the service does of itself."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from governance.incidents import record
from governance.vault.blind_index import EmailIndex
from router.app.stores import opened
from router.settings import Settings
from tests.services.valueapi import ValueAPI

HIGH = ("--as", "personal-data-breach", "--by", "privacy_officer", "--risk", "high", "--nature", "confidentiality")
RISK = ("--risk", "likely", "--nature", "confidentiality")
KNOWN = ("--data-category", "user.contact.email", "--consequences", "Unwanted mail.", "--measures", "It was removed.")
SUMMARY = "A debug log kept addresses for two days."


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValueAPI]:
    running = ValueAPI(tmp_path_factory.mktemp("incidents") / "home").start()
    yield running
    running.stop()


def reported(service: ValueAPI, severity: str = "high") -> str:
    made = service.run("incidents", "open", "--summary", SUMMARY, "--severity", severity, "--by", "operator", "--json")
    return str(json.loads(made.stdout)["id"])


def told(service: ValueAPI, *arguments: str) -> Any:
    return json.loads(service.run("incidents", *arguments, "--json").stdout)


def refused(service: ValueAPI, *arguments: str, code: int = 1) -> str:
    done = service.run("incidents", *arguments, check=False)
    assert done.returncode == code and "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def mails(service: ValueAPI, template: str) -> list[str]:
    listed = json.loads(service.run("outbox", "list", "--json").stdout)
    return [mail["id"] for mail in listed if mail["template"] == template]


def test_a_breach_goes_from_its_report_to_the_register(service: ValueAPI, tmp_path: Path) -> None:
    incident = reported(service)
    assert incident in service.run("incidents", "list", "--open").stdout
    said = service.run(
        "incidents", "assess", incident, *HIGH, "--data-category", "user.contact.email", "--subjects", "2"
    ).stdout
    assert "72 hours are left" in said and said.count("To do:") == 4
    assert "Art. 33(3)(c)" in refused(service, "close", incident, "--by", "legal", "--reason", "x")
    # Whom it concerns: by address, by account, from a file; somebody unknown puts nobody on the list.
    user, legal = (service.first_run[who]["email"] for who in ("user", "legal"))
    assert "Number 2" in refused(service, "affected", incident, user, "nobody@example.org")
    assert told(service, "affected", incident) == []
    (tmp_path / "who").write_text(f"{user}\n\n{legal}\n")
    assert "2 put on the list" in service.run("incidents", "affected", incident, "--file", str(tmp_path / "who")).stdout
    listed = told(service, "affected", incident)
    assert [row["told"] for row in listed] == [None, None] and "@" not in json.dumps(listed)
    # Nobody is told with gaps; the draft shows them.
    assert "consequences, measures aren't known" in refused(service, "send", incident, "--by", "legal", "--yes")
    assert told(service, "draft", incident, "--to", "subjects")["not_known"] == ["consequences", "measures", "records"]
    text = ("--consequences", "Unwanted mail.", "--measures", "The log was removed.")
    service.run("incidents", "assess", incident, *HIGH[:4], *text)
    assert (
        "Tell 2 people?" in service.run("incidents", "send", incident, "--by", "legal", given="n\n", check=False).stdout
    )
    assert mails(service, "breach") == []
    assert "2 notices queued" in service.run("incidents", "send", incident, "--by", "legal", "--yes").stdout
    assert "Nobody on the list waits" in refused(service, "send", incident, "--by", "legal", "--yes")
    sent = [service.run("outbox", "show", mail).stdout for mail in mails(service, "breach")]
    assert len(sent) == 2 and all(SUMMARY in mail and "privacy@valueapi.ai" in mail for mail in sent)
    service.run("incidents", "notified", incident, "--to", "authority", "--by", "legal", "--reference", "AZ 1/26")
    service.run("incidents", "close", incident, "--by", "legal", "--reason", "Everybody was told.")
    [row] = [row for row in told(service, "register") if row["id"] == incident]
    assert (row["state"], row["people_told"], row["to_do"]) == ("closed", 2, [])
    assert {(notice["to"], notice["given"]) for notice in row["notices"]} == {("subjects", True), ("authority", True)}
    shown = service.run("incidents", "show", incident).stdout
    assert "authority told AZ 1/26" in shown and "To do" not in shown
    types = [entry["type"] for entry in json.loads(service.run("audit", "log", "--json").stdout)]
    assert types.count("incident:notice:recorded") >= 2 and "incident:record:closed" in types


@pytest.mark.parametrize(("after", "left"), [(1, 1), (2, 0)])
def test_who_is_killed_while_telling_leaves_it_on_record(service: ValueAPI, after: int, left: int) -> None:
    incident, people = reported(service), [service.first_run[who]["email"] for who in ("user", "legal")]
    service.run("incidents", "assess", incident, *HIGH, *KNOWN)
    service.run("incidents", "affected", incident, *people)
    killed = [sys.executable, "-m", "tests.router.cli.killed_sending", incident, str(after)]
    assert subprocess.run(killed, env=service.environment, capture_output=True, check=False).returncode == -9
    shown = told(service, "show", incident)
    assert (shown["people_told"], len(shown["notices"])) == (after, 1)
    assert (shown["notices"][0]["to"], shown["notices"][0]["by"]) == ("subjects", "legal")
    again = service.run("incidents", "send", incident, "--by", "legal", "--yes", check=False)
    shown = told(service, "show", incident)
    # Each sending that told somebody is on record once; the second of these told who was left, or nobody.
    assert (shown["people_told"], len(shown["notices"]), again.returncode) == (2, 1 + left, 0 if left else 1)


@pytest.fixture
def restricted(service: ValueAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of somebody whose data is restricted (Art. 18) for the time of a test."""
    address = str(service.first_run["user"]["email"])
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)

    async def restrict(*, on: bool) -> None:
        async with opened(Settings.load()) as stores:
            subject_id = await EmailIndex(stores.keys).find(address)
            assert subject_id is not None
            await stores.keys.uses.restrict(subject_id, on=on)

    asyncio.run(restrict(on=True))
    yield address
    asyncio.run(restrict(on=False))


def test_who_restricted_their_data_is_listed_and_told_by_other_means(service: ValueAPI, restricted: str) -> None:
    incident, other = reported(service), service.first_run["legal"]["email"]
    service.run("incidents", "assess", incident, *HIGH, *KNOWN)
    service.run("incidents", "notified", incident, "--to", "authority", "--by", "legal")
    assert "2 put on the list" in service.run("incidents", "affected", incident, restricted, other).stdout
    assert len(told(service, "affected", incident)) == told(service, "show", incident)["people_listed"] == 2
    sent = service.run("incidents", "send", incident, "--by", "legal", "--yes", check=False)
    assert sent.returncode == 1 and "1 notice queued" in sent.stdout and "1 person on the list can't be" in sent.stderr
    assert "`incidents told-otherwise`" in " ".join(sent.stderr.split())
    assert "1 of 2 people" in refused(service, "close", incident, "--by", "legal", "--reason", "x")
    otherwise = ("told-otherwise", incident, "--by", "legal")
    assert "role of the staff" in refused(service, *otherwise[:-1], "user", restricted, code=2)
    assert "Say who" in refused(service, *otherwise, code=2)
    said = service.run("incidents", *otherwise, restricted).stdout
    assert "1 recorded as told otherwise; 0 of 2 on the list aren't told yet." in said
    assert told(service, *otherwise, other) == {"told_otherwise": 0, "listed": 2, "untold": 0}
    service.run("incidents", "close", incident, "--by", "legal", "--reason", "Told by letter.")


def test_each_customer_whose_people_are_on_the_list_is_told(service: ValueAPI, restricted: str) -> None:
    incident, other = reported(service), service.first_run["legal"]["email"]
    service.run("incidents", "assess", incident, *HIGH[:4], *KNOWN, *RISK, "--for-customers")
    service.run("incidents", "affected", incident, restricted, other)
    service.run("incidents", "notified", incident, "--to", "authority", "--by", "legal")
    accounts = told(service, "show", incident)["customers_not_told"]
    assert len(set(accounts)) == 2 and all(
        each in service.run("incidents", "show", incident).stdout for each in accounts
    )
    to_controller = ("notified", incident, "--to", "controller", "--by", "legal", "--account")
    assert "no such account" in refused(service, *to_controller, str(uuid4()))
    assert told(service, "show", incident)["notices"][-1]["to"] == "authority"
    for number, account in enumerate(accounts):
        left = accounts[number:]
        draft = service.run("incidents", "draft", incident, "--to", "controller")
        # What is sent to one customer names no other.
        assert not any(each in draft.stdout for each in accounts)
        assert [each for each in accounts if each in draft.stderr] == left
        assert told(service, "draft", incident, "--to", "controller")["customers_not_told"] == left
        assert f"{len(left)} of 2 customers" in refused(service, "close", incident, "--by", "legal", "--reason", "x")
        assert f"{len(left)} of 2 customers" in service.run("incidents", "list", "--open").stdout.replace("\n", " ")
        service.run("incidents", *to_controller, account)
    assert told(service, "draft", incident, "--to", "controller")["customers_not_told"] == []
    assert service.run("incidents", "draft", incident, "--to", "controller").stderr == ""
    service.run("incidents", "close", incident, "--by", "legal", "--reason", "Both were told.")


def test_why_somebody_is_not_told_stands_in_the_record(service: ValueAPI) -> None:
    incident = reported(service, "low")
    service.run("incidents", "assess", incident, *HIGH[:4], "--risk", "unlikely", "--nature", "availability")
    why = ("--to", "authority", "--because", "All of it was sealed.", "--by", "legal")
    assert "Give 33(1)" in refused(service, "not-notified", incident, *why, "--ground", "34(3)(c)").replace(
        "give", "Give"
    )
    service.run("incidents", "not-notified", incident, *why, "--ground", "33(1)")
    assert "authority not told, Art. 33(1)" in service.run("incidents", "show", incident).stdout


def test_what_is_given_wrong_is_said_and_changes_nothing(service: ValueAPI) -> None:
    incident = reported(service, "low")
    assert "no data category" in refused(service, "assess", incident, *HIGH, "--data-category", "user.shoe")
    assert "future" in refused(service, "assess", incident, *HIGH, "--aware-at", "2199-01-01")
    for nonsense in ("0001-01-01", "2024-11-01"):
        assert "more than a year before" in refused(service, "assess", incident, *HIGH, "--aware-at", nonsense)
    assert "isn't assessed" in refused(service, "draft", incident, "--to", "authority")
    assert "no such incident" in refused(service, "show", str(uuid4()))
    assert "can't be read" in refused(service, "affected", incident, "--file", "/nowhere/at/all")
    assert "Only an operator" in refused(service, "acknowledge", incident, "--by", "legal", "--reason", "x", code=2)
    assert "role of the staff" in refused(service, "close", incident, "--by", "user", "--reason", "x", code=2)
    assert told(service, "show", incident)["state"] == "open"


def test_a_list_of_people_is_of_ten_megabytes_at_most(service: ValueAPI, tmp_path: Path) -> None:
    incident, address = reported(service, "low"), service.first_run["user"]["email"]
    who = tmp_path / "who"
    # What is read is one line and blanks: as long as may be, and a byte longer.
    who.write_text(f"{address}\n".ljust(10_000_000))
    assert told(service, "affected", incident, "--file", str(who)) == {"added": 1, "listed": 1}
    with who.open("a") as more:
        more.write(" ")
    assert "10 MB at most" in refused(service, "affected", incident, "--file", str(who))
    for text, said in ((who.read_text(), "10 MB at most"), ("\udcff", "can't be read")):
        given = text.encode(errors="surrogateescape")
        done = service.run("incidents", "affected", incident, "--file", "-", check=False, given=given)
        assert done.returncode == 1 and said in done.stderr
    done = service.run("incidents", "affected", incident, "--json", "--file", "-", given=f"{address}\n")
    assert json.loads(done.stdout) == {"added": 0, "listed": 1}


def test_what_is_named_twice_is_kept_once(service: ValueAPI) -> None:
    incident = reported(service, "low")
    natures = ("--nature", "integrity", "--nature", "confidentiality", "--nature", "integrity")
    categories = ("user.contact.email", "user.account", "user.contact.email")
    given = [part for each in categories for part in ("--data-category", each)]
    service.run("incidents", "assess", incident, *HIGH[:4], *RISK[:2], *natures, *given)
    kept = told(service, "show", incident)
    assert kept["nature"] == ["integrity", "confidentiality"]
    assert kept["data_categories"] == ["user.contact.email", "user.account"]


def test_every_open_one_is_listed_and_it_is_said_what_is_left_out(
    service: ValueAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(record.records.__kwdefaults__, "closed_max", 1)
    made = [reported(service, "low") for _ in range(3)]
    for incident in made[:2]:
        service.run("incidents", "assess", incident, "--as", "defect", "--by", "operator")
        service.run("incidents", "close", incident, "--by", "operator", "--reason", "mended")
    closed = [each["id"] for each in told(service, "register") if each["state"] == "closed"]
    listed = service.run("incidents", "list", "--json")
    rows = {each["id"]: each["state"] for each in json.loads(listed.stdout)}
    assert list(rows.values()).count("closed") == 1 and set(made[1:]) <= set(rows)
    assert f"{len(closed) + 1} older closed ones are left out" in " ".join(listed.stderr.split())
    assert "left out" in service.run("incidents", "list").stderr
    assert service.run("incidents", "list", "--open", "--json").stderr == ""


def test_the_service_reminds_who_is_responsible_and_once(service: ValueAPI) -> None:
    incident, customers = reported(service), reported(service)
    service.run("incidents", "assess", customers, *HIGH[:4], *KNOWN, *RISK, "--for-customers")
    service.run("incidents", "affected", customers, service.first_run["user"]["email"])
    service.run("incidents", "notified", customers, "--to", "authority", "--by", "legal")
    for _ in range(2):
        _run_job(service)
    reminders = [service.run("outbox", "show", mail).stdout for mail in mails(service, "incident-due")]
    mine = [mail for mail in reminders if incident in mail]
    to = {mail.partition("\n")[0] for mail in mine}
    assert len(mine) == len(to) and f"To: {service.first_run['legal']['email']}" in to
    assert f"To: {service.first_run['user']['email']}" not in to
    assert all("An incident waits for assessment" in mail for mail in mine)
    of_customers = [mail for mail in reminders if customers in mail]
    assert len(of_customers) == len(mine) and all("1 of 1 customers aren't told" in mail for mail in of_customers)


def _run_job(service: ValueAPI) -> None:
    def ended() -> str:
        jobs = json.loads(service.run("jobs", "list", "--json").stdout)
        return str(next(job["ended_at"] for job in jobs if job["name"] == "incident-reminders"))

    before, until = ended(), time.monotonic() + 60
    service.run("jobs", "run", "incident-reminders")
    while ended() == before:
        assert time.monotonic() < until
        time.sleep(0.3)
