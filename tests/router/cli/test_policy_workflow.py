"""From legal's folder to a page that everybody reads, by commands: two people, who prove who they are."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from policies import version
from policies.retention import IN_FORCE
from tests.services.valueapi import ValueAPI

Done = subprocess.CompletedProcess[str]
FRONT = """---
version: {version}
title: Terms of Service
effective: {effective}
material: true
languages: [en]
summary: The first terms.
---
Terms of Service

## 1. Use

You keep your keys to yourself.
"""


pytestmark = pytest.mark.xdist_group("policy workflow")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValueAPI]:
    running = ValueAPI(tmp_path_factory.mktemp("workflow") / "home").start()
    yield running
    running.stop()


def soon(days: int = 31) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def as_(service: ValueAPI, folder: Path, who: str, *arguments: str, check: bool = True) -> Done:
    """A command of `policy`, by one of the people of the first start."""
    person = json.loads((service.home / "first-run.json").read_text())[who]
    password = folder / f"{who}.password"
    password.write_text(person["password"] + "\n")
    return service.run("policy", *arguments, "--by", person["email"], "--password-file", str(password), check=check)


def test_terms_are_written_approved_by_another_and_published(service: ValueAPI, tmp_path: Path) -> None:
    folder = tmp_path / "terms" / "2027-01"
    folder.mkdir(parents=True)
    (folder / "policy.md").write_text(FRONT.format(version="2027-01", effective=soon()))
    assert httpx2.get(service.url + "/terms").status_code == 404
    name = ("terms", "2027-01")
    assert "is kept as a draft" in as_(service, tmp_path, "legal", "import", str(folder)).stdout
    assert "keep your keys" in service.run("policy", "show", *name, "--draft").stdout
    as_(service, tmp_path, "legal", "submit", *name)
    [row] = json.loads(service.run("policy", "drafts", "--json").stdout)
    assert (row["stage"], row["digest"]) == ("submitted", version.read(folder).digest)
    approve = ("approve", *name, "--digest", row["digest"])
    refused = as_(service, tmp_path, "legal", *approve, check=False)
    assert refused.returncode == 1 and "a second person" in refused.stderr
    for who in ("user", "operator"):
        refused = as_(service, tmp_path, who, *approve, check=False)
        assert refused.returncode == 1 and "takes a role of legal or privacy_officer" in refused.stderr
    as_(service, tmp_path, "approver", *approve)
    assert httpx2.get(service.url + "/terms/2027-01").status_code == 404
    told = json.loads(as_(service, tmp_path, "legal", "publish", *name, "--json").stdout)
    assert told["digest"] == row["digest"]
    page = httpx2.get(service.url + "/terms/2027-01")
    assert page.status_code == 200 and "You keep your keys to yourself." in page.text
    assert httpx2.get(service.url + "/terms").status_code == 404  # not in force yet
    out = tmp_path / "out"
    service.run("policy", "export", *name, "--out", str(out))
    assert (out / "terms/2027-01/policy.md").read_bytes() == (folder / "policy.md").read_bytes()
    again = as_(service, tmp_path, "legal", "import", str(folder), check=False)
    assert again.returncode == 1 and "is published" in again.stderr
    assert json.loads(service.run("audit", "verify", "--json").stdout)["ok"] is True


def test_a_wrong_password_does_nothing(service: ValueAPI, tmp_path: Path) -> None:
    folder = tmp_path / "terms" / "2028-01"
    folder.mkdir(parents=True)
    (folder / "policy.md").write_text(FRONT.format(version="2028-01", effective=soon(400)))
    (tmp_path / "wrong").write_text("not the password\n")
    email = json.loads((service.home / "first-run.json").read_text())["legal"]["email"]
    for by in (email, "nobody@example.org"):
        arguments = ("import", str(folder), "--by", by, "--password-file", str(tmp_path / "wrong"))
        refused = service.run("policy", *arguments, check=False)
        assert refused.returncode == 1 and refused.stderr == "The e-mail address or the password is wrong.\n"
    assert "2028-01" not in service.run("policy", "drafts").stdout


def test_a_privacy_policy_waits_until_each_promise_is_shown(service: ValueAPI, tmp_path: Path) -> None:
    """The home's controls haven't all passed, and some aren't built: what they are to show isn't promised anew."""
    made = service.run("policy", "draft", "privacy", "2099-01", "--out", str(tmp_path)).stdout
    folder = tmp_path / "privacy" / "2099-01"
    assert "under a new name" in made and {each.name for each in folder.iterdir()} == {
        each.name for each in IN_FORCE.iterdir()
    }
    text = (folder / "policy.md").read_text()
    assert "version: 2099-01\n" in text and "summary: TO BE WRITTEN\n" in text and f"effective: {soon(30)}" in text
    assert "Nothing blocks" in service.run("policy", "check", str(folder)).stdout
    as_(service, tmp_path, "legal", "import", str(folder))
    refused = as_(service, tmp_path, "legal", "submit", "privacy", "2099-01", check=False)
    assert refused.returncode == 1 and "shows nothing now: “" in refused.stdout and "it stays a draft" in refused.stderr
    as_(service, tmp_path, "legal", "withdraw", "privacy", "2099-01", "--reason", "It waits.")
    assert json.loads(service.run("policy", "drafts", "--json").stdout)[0]["stage"] == "withdrawn"
