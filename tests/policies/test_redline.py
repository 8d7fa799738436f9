"""A redline gives back both texts, marks what changed by word, and shows what is gone in its place."""

from hypothesis import given
from hypothesis import strategies as st

from policies import redline, version
from policies.redline import Change, Line
from policies.retention import IN_FORCE
from policies.version import Version
from tests.policies.conftest import Made

OLD = "We do NOT store the content of your API requests (prompts) or the resulting completions."


def sides(lines: list[Line]) -> tuple[list[str], list[str]]:
    """The older and the newer text, as the lines have them."""
    old, new = [], []
    for line in lines:
        for side, other in ((old, Change.ADDED), (new, Change.REMOVED)):
            text = "".join(piece.text for piece in line.pieces if piece.change is not other)
            if text:
                side.append(text)
    return old, new


def text(found: Version) -> list[str]:
    made = []
    for section in found.sections:
        made += [f"{section.number}. {section.title}"] if section.title else []
        made += [sentence.text for sentence in section.sentences]
    return made


def test_a_reworded_sentence_is_marked_by_word(made: Made) -> None:
    old, new = version.read(IN_FORCE), version.read(made(changes={"We do NOT store": "We may store"}))
    lines = redline.between(old, new)
    [changed] = [line for line in lines if line.changed]
    assert changed.id == "3.1"
    assert [(piece.change, piece.text.strip()) for piece in changed.pieces if piece.change is not Change.SAME] == [
        (Change.REMOVED, "do NOT"), (Change.ADDED, "may"),
    ]  # fmt: skip
    assert sides(lines) == (text(old), text(new))


def test_what_was_removed_stands_where_it_was(made: Made) -> None:
    new, old = version.read(IN_FORCE), version.read(made(changes={OLD: f"{OLD} Zebras graze quietly under acacias."}))
    lines = redline.between(old, new)
    place = next(place for place, line in enumerate(lines) if line.changed)
    assert lines[place - 1].pieces[0].text == OLD
    assert [piece.change for piece in lines[place].pieces] == [Change.REMOVED]
    assert not [line for line in redline.between(new, new) if line.changed]


SENTENCES = st.lists(st.sampled_from(["A b c.", "A b d.", "E f g h.", "I j.", "K l m n o p.", "Q."]), max_size=8)


@given(SENTENCES, SENTENCES)
def test_both_texts_come_back(before: list[str], after: list[str]) -> None:
    head = "---\nversion: 2026-03\ntitle: T\neffective: 2026-03-01\nmaterial: true\nlanguages: [en]\nsummary: S\n---\n"
    old, new = (
        version.made("terms", "2026-03", {"policy.md": (head + "\n\n".join(texts) + "\n").encode()})
        for texts in (before, after)
    )
    assert sides(redline.between(old, new)) == (text(old), text(new))
