"""A setup is told by kinds and words, and each thing that decides where content could rest makes another of it."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from governance.bodies import confine
from governance.bodies.confine import Confinement, Kept, Measure
from router.app import confinement_left, outputs, setup
from router.settings import Settings

PLAIN = Settings()


@pytest.mark.parametrize(
    "changed",
    [
        Settings(body_guard=False),
        Settings(keyring="vault:https://kanarie.example.org"),
        Settings(write_watch="off"),
        Settings(write_watch="strict"),
        Settings(database_url=SecretStr("postgresql://u:s3cret@db.example.org/x")),
        Settings(redis_url=SecretStr("redis://:s3cret@cache.example.org")),
        Settings(self_probe_logs=(Path("/var/log/kanarie.log"),)),
    ],
)
def test_a_setting_that_matters_makes_another_setup_and_shows_no_address(changed: Settings) -> None:
    told = setup.facts(changed)
    assert setup.digest(told) != setup.digest(setup.facts(PLAIN)) == setup.digest(setup.facts(Settings(port=1)))
    assert not {word for word in ("s3cret", "example", "kanarie") if word in json.dumps(told)}


def test_what_the_process_could_not_give_up_where_it_prints_and_what_is_installed_make_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {setup.digest(setup.facts(PLAIN))}
    for held in (True, False):
        monkeypatch.setattr(confine, "_current", Confinement(1, (Measure(Kept.WRITES, held, "tried"),)))
        seen.add(setup.digest(setup.facts(PLAIN)))
    monkeypatch.setattr(outputs, "current", lambda: ["/somewhere/of/ours.log", "pipe"])
    assert setup.facts(PLAIN)["prints_to"] == ["file", "pipe"]
    seen.add(setup.digest(setup.facts(PLAIN)))
    monkeypatch.setattr(setup, "_distributions", lambda: "0" * 64)
    seen.add(setup.digest(setup.facts(PLAIN)))
    assert len(seen) == 5


def test_a_service_is_what_all_its_processes_left(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert setup.running(settings).setup is None  # nothing runs
    facts = setup.facts(settings)
    held = [confinement_left.leave(settings.run_folder, Confinement(n, ()), setup=facts) for n in (1, 2)]
    assert setup.running(settings).setup == setup.digest(facts) and setup.running(settings).facts == facts
    held.append(confinement_left.leave(settings.run_folder, Confinement(3, ()), setup={**facts, "guard": False}))
    assert setup.running(settings).setup == "several"
    confinement_left.leave(settings.run_folder, Confinement(4, ()))  # of none nothing is known
    assert setup.running(settings).setup == "several"
