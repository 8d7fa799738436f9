"""`valueapi probe`: options, exit codes, what is shown, and the evidence that is left."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from governance.bodies.verdict import Verdict
from governance.vault.event_signature import verify
from router.cli import probe, probe_shown
from router.cli.main import command_line
from router.probe.result import Control, Descriptor, Found, Gap, Result
from tests.services.valueapi import ValueAPI

FOUND = Found("chat/500 as JSON/prompt/content", "/gateway/data.db", "sqlite free page > text", 8192, 55, "stopped")


def result(**changes: Any) -> Result:
    made: dict[str, Any] = {
        "verdict": Verdict.CLEAN, "reasons": (), "started": datetime(2026, 3, 1, tzinfo=UTC),
        "ended": datetime(2026, 3, 1, 0, 0, 42, tzinfo=UTC), "target": "http://127.0.0.1:4000", "version": "1.0",
        "program": "ab" * 32, "cases": 3, "outcomes": {"answered": 2, "refused": 1}, "carried": {"openai": True},
        "canaries": 9, "control": Control(7, (), 9, ("seed",)), "findings": (), "unread": (), "seen_by_others": {},
        "bytes_read": 5 * 2**20, "files": 4,
    }  # fmt: skip
    return Result(**{**made, **changes})


@pytest.mark.parametrize("verdict, code", [(Verdict.CLEAN, 0), (Verdict.LEAK, 1), (Verdict.VOID, 2)])
def test_the_exit_code_says_the_verdict_and_json_is_one_object(
    verdict: Verdict, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALUEAPI_HOME", str(tmp_path / "none"))

    async def ran(*_: Any, **__: Any) -> Result:
        return result(verdict=verdict, findings=(FOUND,))

    monkeypatch.setattr(probe.run, "probe_own", ran)
    done = CliRunner().invoke(command_line(), ["probe", "--json"])
    assert done.exit_code == code
    told = json.loads(done.stdout)
    assert told["verdict"] == verdict and told["seconds"] == 42.0 and told["control"]["planted"] == 7
    assert told["control"]["seeded"] == 9 and told["control"]["seeded_missed"] == ["seed"]
    assert told["findings"][0]["canary"] == FOUND.canary


@pytest.mark.parametrize(
    "options, word",
    [
        (["--key-env", "KEY", "--model", "m"], "--upstream-port"),
        (["--upstream-port", "1", "--model", "m"], "--key-env and --key-file"),
        (["--upstream-port", "1", "--key-env", "NOT_SET", "--model", "m"], "is empty"),
        (["--upstream-port", "1", "--key-env", "KEY"], "--model"),
        (["--upstream-port", "1", "--key-env", "KEY", "--model", "openai=m", "--wire", "anthropic"], "--model"),
        (["--upstream-port", "1", "--key-env", "KEY", "--model", "m", "--header", "nothing"], "--header"),
        (["--upstream-port", "1", "--key-env", "KEY", "--model", "m", "--trace"], "processes must be named"),
        (["--upstream-port", "1", "--key-env", "KEY", "--model", "m", "--look", "/nowhere/at/all"], "nothing at"),
    ],
)
def test_what_is_missing_is_said(options: list[str], word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "any")
    done = CliRunner().invoke(command_line(), ["probe", "--gateway", "http://127.0.0.1:1", *options])
    assert done.exit_code == 2 and word in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("options, waited", [([], 10.0), (["--settle", "42"], 42.0), (["--settle", "0"], 0.0)])
def test_what_is_written_late_is_waited_for(
    options: list[str], waited: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "any")
    given: list[float] = []

    async def ran(*_: Any, settles_s: float, **__: Any) -> Result:
        given.append(settles_s)
        return result()

    monkeypatch.setattr(probe.run, "probe_target", ran)
    elsewhere = ("--gateway", "http://127.0.0.1:1", "--upstream-port", "1", "--key-env", "KEY", "--model", "m")
    assert CliRunner().invoke(command_line(), ["probe", *elsewhere, *options]).exit_code == 0
    assert given == [waited]


def test_models_are_for_all_wires_or_for_the_one_they_name() -> None:
    given = ["gpt", "anthropic=claude", "org=model"]
    assert probe._models(probe.Dialect.OPENAI, given) == ["gpt", "org=model"]
    assert probe._models(probe.Dialect.ANTHROPIC, given) == ["gpt", "claude", "org=model"]


def test_people_see_the_verdict_the_place_and_the_origin(capsys: pytest.CaptureFixture[str]) -> None:
    probe_shown.show(
        result(
            verdict=Verdict.LEAK,
            reasons=("Canaries came to rest in 1 places.",),
            control=Control(7, ("zstd in a WAL",)),
            findings=(FOUND, FOUND),
            unread=(Gap("/proc/7/fd", "not allowed"),),
            seen_by_others={"redirects followed with the prompt": 2},
            traced=(Descriptor("file", "/gateway/own.log", 3, False),),
            kept="/tmp/kept",
        )
    )
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        *(
            "LEAK: http://127.0.0.1:4000",
            "came to rest in 1 places",
            "6 of 7 found",
            "zstd in a WAL",
            "/gateway/data.db",
        ),
        *("sqlite free page > text", FOUND.canary, "/proc/7/fd", "redirects followed", "/gateway/own.log", "/tmp/kept"),
        *("3: 2 answered, 1 refused", "openai yes", "5.0 MB, 4 files", "42 s"),
    ):
        assert words in shown


def test_long_lists_are_capped_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    probe_shown.show(result(unread=tuple(Gap(f"/place/{number}", "why") for number in range(50))))
    shown = capsys.readouterr().out
    assert "30 more rows" in shown and shown.count("/place/") == 20


def test_evidence_is_signed_and_holds_counts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = ValueAPI(tmp_path / "home")
    service.cli("migrate")
    monkeypatch.setenv("VALUEAPI_HOME", str(service.home))

    async def ran(*_: Any, **__: Any) -> Result:
        return result(verdict=Verdict.LEAK, findings=(FOUND,))

    monkeypatch.setattr(probe.run, "probe_own", ran)
    monkeypatch.setattr(probe.run, "probe_target", ran)
    monkeypatch.setenv("KEY", "any")
    elsewhere = ("--gateway", "http://127.0.0.1:1", "--upstream-port", "1", "--key-env", "KEY", "--model", "m")
    for options in ((), ("--only", "good"), elsewhere):
        assert CliRunner().invoke(command_line(), ["probe", *options]).exit_code == 1
    # Nothing of another's gateway is ours.
    line, some = [
        json.loads(line)
        for line in (service.home / "log" / "events.jsonl").read_text().splitlines()
        if "bodies:probe:" in line
    ]
    assert (line["sample"], some["sample"]) == (False, True)
    assert line["event"] == "bodies:probe:leak" and line["findings"] == 1 and line["planted"] == 7
    assert FOUND.place not in str(line) and FOUND.canary not in str(line)
    checked = verify(service.home / "log")
    assert line["signature"] and checked.broken == 0


def test_without_a_home_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUEAPI_HOME", str(tmp_path / "none"))
    probe._record(result(), sample=False)
    assert not (tmp_path / "none").exists()
