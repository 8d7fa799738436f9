"""What blocks a version is said beside the file and the sentence; what legal should know of the text blocks nothing."""

from pathlib import Path

import pytest

from policies import check, findings, version
from policies.retention import IN_FORCE
from policies.sentences import Sentence
from tests.policies.conftest import Made
from tests.shipped import shipped


def checked(folder: Path) -> check.Checked:
    return check.check(version.read(folder), shipped(), ["ledger-balanced"])


def test_the_version_in_force_is_blocked_by_nothing() -> None:
    found = checked(IN_FORCE)
    assert (
        found.blocks == ()
        and "ledger-balanced" not in found.without_control
        and "requests-on-time" in found.without_control
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("policy.md", "We do NOT store the content", "We may store the content", "3.1 is misquoted"),
        ("policy.md", "Please read this Privacy Policy carefully.", "", "promises.yaml: "),
        ("retention.yaml", "  - id: usage\n", "  - id: usages\n", "retention rule"),
        ("recipients.yaml", "name: OpenAI", "name: OpenBrain", "isn't named by sentence"),
        ("collection.yaml", "words: Email address", "words: Postal address", "collection.yaml"),
        ("promises.yaml", "evidence_max_age: P2D", "evidence_max_age: soon", "promises.yaml"),
    ],
)
def test_what_disagrees_blocks(made: Made, name: str, old: str, new: str, said: str) -> None:
    folder = made()
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    found = checked(folder)
    assert any(said in each for each in found.blocks) and found.findings == ()


def test_terms_have_no_promises(made: Made) -> None:
    found = checked(made(series="terms"))
    assert (found.blocks, found.findings, found.without_control) == ((), (), ())


def test_the_text_in_force_is_read_as_a_lawyer_would() -> None:
    found = checked(IN_FORCE).findings
    text = {each.id: each.text for section in version.read(IN_FORCE).sections for each in section.sentences}
    strict = next(each for each in found if each.rule == "strict-purpose")
    assert "strictly for billing" in text[strict.sentence] and strict.against is not None
    assert "trends" in text[strict.against]
    consent = [each for each in found if each.rule == "consent-by-use"]
    assert [each.sentence[0] for each in consent] == ["9"] and "49" in consent[0].source
    posted = next(each for each in found if each.rule == "posted-only")
    assert text[posted.sentence].endswith('"Last updated" date.')
    missing = [each.source for each in found if each.rule == "required-content"]
    assert {"GDPR Art. 13(1)(c)", "GDPR Art. 13(2)(d)", "GDPR Art. 13(2)(f)"} <= set(missing)
    assert "GDPR Art. 13(1)(e)" not in missing  # recipients are named
    assert len(found) >= 10 and all(each.proposal for each in found)


@pytest.mark.parametrize("rule", findings.RULES, ids=lambda rule: rule.__name__)
def test_each_rule_finds_nothing_in_a_text_without_its_words(rule: findings.Rule) -> None:
    plain = [Sentence("1.1", "Cats sleep.")]
    assert list(rule(plain)) == [] or rule is findings._required
