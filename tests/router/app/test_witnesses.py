"""Every day the newest checkpoint goes to each witness of the settings, and one that knows another history fails the control."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.controls.control import Outcome
from governance.controls.log_witnessed import LogWitnessed
from governance.errors import ConfigurationError
from governance.evidence import checkpoint, folder, note
from governance.evidence.note import COSIGNATURE, NoteKey
from router.app import witnesses
from router.settings import Settings
from tests.governance.evidence.made import KEY, ORIGIN, make
from tests.simulators.mailgun import MailgunSimulator
from tests.simulators.witness import Witness

WITNESS_KEY = NoteKey("witness.example", bytes(32), COSIGNATURE)


@pytest.fixture
def asked() -> Iterator[Witness]:
    with Witness(ORIGIN, KEY.public, KEY.id) as running:
        yield running


def _control(settings: Settings) -> LogWitnessed:
    return LogWitnessed(witnesses.of(settings))


async def test_each_kind_of_witness_gets_the_newest_checkpoint(tmp_path: Path, asked: Witness) -> None:
    log = make(tmp_path / "log" / folder.NAME, 7)
    kept = tmp_path / "kept"
    kept.mkdir()
    key = NoteKey(asked.name, asked.public, COSIGNATURE)
    with MailgunSimulator() as mailgun:
        settings = Settings(
            home=tmp_path,
            witness_folders=str(kept),
            witnesses=f"{asked.url} {key}",
            witness_mail="auditor@example.org",
            mailgun_key="key-test",
            mailgun_domain="mail.example",
            mailgun_url=mailgun.url,
        )
        found = await _control(settings).run()
    assert (found.outcome, found.examined, found.failures) == (Outcome.PASSED, 3, ())
    assert checkpoint.read(note.parse((kept / "7.checkpoint").read_bytes())).size == asked.size == 7
    (mail,) = mailgun.accepted
    assert mail["to"] == ["auditor@example.org"] and "at 7 entries" in mail["subject"][0]
    # What was mailed is the whole signed note: it verifies as it stands in the mail.
    lines = mail["text"][0].split("\n\n", 2)[2].strip("\n").splitlines()
    read = note.parse("".join(f"{line}\n" for line in lines).encode())
    assert [each.name for each in read.signed_by([KEY])] == [ORIGIN]
    assert checkpoint.read(read).root == log.folder.tiles.root(7)


async def test_a_log_that_was_rewritten_is_seen_by_each(tmp_path: Path, asked: Witness) -> None:
    log, kept = make(tmp_path / "log" / folder.NAME, 7), tmp_path / "kept"
    kept.mkdir()
    key = NoteKey(asked.name, asked.public, COSIGNATURE)
    settings = Settings(home=tmp_path, witness_folders=str(kept), witnesses=f"{asked.url} {key}")
    assert (await _control(settings).run()).outcome is Outcome.PASSED
    shutil.rmtree(log.folder.path)
    make(tmp_path / "log" / folder.NAME, 5)
    found = await _control(settings).run()
    assert found.outcome is Outcome.FAILED and found.looked and len(found.failures) == 2
    assert found.failures[0].startswith("Witness folder 1: 7.checkpoint of the witness isn't a beginning")
    assert "larger log" in found.failures[1]


async def test_a_witness_that_cannot_be_reached_is_no_rewritten_log(tmp_path: Path) -> None:
    make(tmp_path / "log" / folder.NAME, 3)
    kept = tmp_path / "kept"
    kept.mkdir()
    settings = Settings(home=tmp_path, witness_folders=str(kept), witnesses=f"http://127.0.0.1:9 {WITNESS_KEY}")
    found = await _control(settings).run()
    assert found.outcome is Outcome.FAILED and not found.looked and found.examined == 1
    assert found.failures == ("Witness witness.example: The witness can't be reached.",)
    (kept / "3.checkpoint").unlink()
    kept.rmdir()
    assert len((await _control(settings).run()).failures) == 1  # write_once makes the folder anew


async def test_without_a_witness_nothing_is_proven(tmp_path: Path) -> None:
    found = await _control(Settings(home=tmp_path)).run()
    assert found.outcome is Outcome.UNPROVEN and "VALUEAPI_WITNESS_MAIL" in found.missing


@pytest.mark.parametrize(
    "text", ["https://w.example", f"ftp://w.example {WITNESS_KEY}", f"https://w.example {KEY}", f"{WITNESS_KEY}"]
)
def test_a_witness_without_address_or_key_of_its_own_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="VALUEAPI_WITNESSES"):
        witnesses.of(Settings(home=tmp_path, witnesses=text))


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs VALUEAPI_MAILGUN_KEY"):
        Settings.load(home=tmp_path, witness_mail="a@example.org")
    with pytest.raises(ConfigurationError, match="doesn't exist"):
        Settings.load(home=tmp_path, witness_folders=str(tmp_path / "no"))
