"""Every sentence of the text is bound, word for word, or nobody can load the register."""

import shutil
from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from governance.period import Period
from policies import promises
from policies.promises import PromiseKind
from policies.retention import IN_FORCE

FROM_THE_START = frozenset(
    (
        *(
            "bodies-not-stored",
            "pii-sealed",
            "retention-enforced",
            "erasure-complete",
            "requests-on-time",
            "consent-recorded",
        ),
        *("policy-current", "purpose-limited", "keys-rotated", "recipients-declared", "undeclared-personal-data"),
        *("transport-encrypted", "backups-erased", "ledger-balanced", "access-logged"),
    )
)
PAGE = Path(__file__).parents[2] / "docs" / "privacy" / "promises.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(IN_FORCE, tmp_path / "version"))


def change(folder: Path, old: str, new: str, name: str = "promises.yaml") -> Path:
    text = (folder / name).read_text()
    assert text.count(old) >= 1
    (folder / name).write_text(text.replace(old, new, 1))
    return folder


def test_the_version_in_force_is_bound_completely() -> None:
    register = promises.load()
    by_id = {each.id: each for each in register.statements}
    assert len(by_id) == 53 and all((each.promise is None) != (each.notice is None) for each in register.statements)
    assert register.controls >= FROM_THE_START, "a control that serves no promise"
    stored = by_id["3.1"].promise
    assert stored is not None and stored.kind is PromiseKind.ENFORCED and stored.controls == ("bodies-not-stored",)
    assert stored.evidence_max_age == Period.parse("P2D")


def test_the_narrower_sentence_wins() -> None:
    """Section 2's "strictly for" over section 4's usage trends."""
    by_id = {statement.id: promise for statement, promise in promises.load().promises}
    assert {number for number, promise in by_id.items() if promise.narrowed_by} == {"4.6"}
    assert by_id["4.6"].narrowed_by == "2.6" and set(by_id["2.6"].controls) <= set(by_id["4.6"].controls)


def test_what_code_cannot_see_is_attested_and_nothing_automatic_stands_for_it() -> None:
    attested = {each.id: promise for each, promise in promises.load().promises if promise.kind is PromiseKind.ATTESTED}
    assert set(attested) == {"5.5", "7.1", "7.2"} and all(promise.attestations for promise in attested.values())
    assert attested["5.5"].controls == ()


def test_the_page_says_what_every_control_looks_at() -> None:
    rows = [line.split("|")[1].strip(" `") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(promises.load().controls)


def _item(number: str, following: str) -> str:
    text = (IN_FORCE / "promises.yaml").read_text()
    return text[text.index(f'      - id: "{number}"') : text.index(f'      - id: "{following}"')]


BROKEN = {
    "a sentence left out": (_item("3.1", "3.2"), "", r"sentence 3\.1 of the policy's text isn't covered"),
    "the last sentence left out": (
        _item("8.6", "8.7"), "", r"sentence 8\.6 of the policy's text isn't covered",
    ),
    "a sentence twice": (_item("3.1", "3.2"), _item("3.1", "3.2") * 2, r"sentence 3\.2 of the policy's text isn't covered"),
    "two in another order": (
        _item("3.1", "3.3"), _item("3.2", "3.3") + _item("3.1", "3.2"), r"sentence 3\.1 of the policy's text isn't covered",
    ),
    "one word changed": ("We do NOT store the content", "We do not store the content", r"3\.1 is misquoted"),
    "a word left out": ("strictly for billing", "for billing", r"2\.6 is misquoted"),
    "a title changed": ('title: "Contact Us"', 'title: "Contact"', "title of section 11 is misquoted"),
    "a sentence of ours": (_item("10.3", "11.1"), _item("10.3", "11.1").replace(
        '  - section: "11"', '      - id: "10.4"\n        text: We are good.\n        notice: so\n  - section: "11"'),
        r"10\.4 isn't in the policy's text"),
    "neither promise nor notice": (
        "        notice: >-\n          Says who the operator is and what it does.\n", "", "a promise or a notice",
    ),
    "a promise that nothing shows": ("controls: [bodies-not-stored]", "controls: []", "names what shows it"),
    "attested by nothing": ("attestations: [edge-network]", "attestations: []", "attestations stand with"),
    "a document where a control is meant": (
        "          kind: verified\n", "          kind: verified\n          attestations: [edge-network]\n",
        "attestations stand with",
    ),
    "a period that is none": ("evidence_max_age: P2D", "evidence_max_age: two days", "evidence_max_age: .*ISO 8601"),
    "a kind that is none": ("          kind: enforced", "          kind: hoped", "kind: .*hoped"),
    "a control that is no id": ("[bodies-not-stored]", "[Bodies not stored]", "controls.0"),
    "narrowed by a notice": ('narrowed_by: "2.6"', 'narrowed_by: "1.1"', r"4\.6 is narrowed by no promise"),
    "a field of another version": ("          kind: enforced", "          owner: x\n          kind: enforced", "owner"),
    "no YAML": ("sections:", "sections: [", "can't be read"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_register_that_does_not_cover_its_text_is_refused_with_the_place(folder: Path, how: str) -> None:
    old, new, words = BROKEN[how]
    with pytest.raises(ConfigurationError, match=words):
        promises.load(change(folder, old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("We do NOT store", "We store", r"3\.1 is misquoted"),
        ("in real-time.", "in real-time. We keep a copy.", r"sentence 3\.4 of the policy's text|3\.4 is misquoted"),
        ("11. Contact Us", "11. Contact Us\n\nNobody answers.\n\n12. More", "11"),
        ("9. International Data Transfers", "9. Transfers", "title of section 9 is misquoted"),
        (
            "please contact us at privacy@valueapi.ai.",
            "please contact us at privacy@valueapi.ai. Thanks.",
            r"sentence 11\.2",
        ),
    ],
)
def test_a_text_that_changed_under_the_register_is_refused(folder: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        promises.load(change(folder, old, new, "policy.md"))


def test_a_version_without_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        promises.load(tmp_path)
