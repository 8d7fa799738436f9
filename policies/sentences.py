"""A policy's text as numbered sentences, so that each can be bound to what keeps it.

A section is what a numbered heading (`2. Information We Collect`) or a Markdown heading begins; what stands before the
first is section 0. A sentence's id is its section and its place there: `2.5`. A list's lead-in and each of its items are
sentences, an item of two sentences is two. The title line, which repeats the front matter's, is none.
"""

import re
from dataclasses import dataclass
from itertools import count
from typing import Final

from governance.errors import ConfigurationError

FRONT_MATTER: Final = re.compile(r"\A---\n(?P<fields>.*?)\n---\n", re.DOTALL)
_TITLE: Final = re.compile(r"^title: *[\"']?(.+?)[\"']? *$", re.MULTILINE)
_MARKDOWN_HEADING: Final = re.compile(r"#{1,6} +(?:(?P<number>\d+(?:\.\d+)*)\.? +)?(?P<title>.+?)(?: +#+)?")
_NUMBERED_HEADING: Final = re.compile(r"(?P<number>\d+(?:\.\d+)*)\.? +(?P<title>[^\W\d_].*[^.!?:;,])")
_ITEM: Final = re.compile(r"[ \t]*(?:[•◦▪‣*+–-]|\(?(?:\d{1,2}|[a-z]{1,4})[.)]) +")
# A full stop ends a sentence where closing marks, white space and the start of another follow.
# A full stop ends a sentence where closing marks, white space and the start of another follow; 。 needs no space.
_END: Final = re.compile(r"[.!?…]+[\"'”’»)\]*_]*\s+(?=[\"'“‘«(\[*_]*(?:[^\W\d_a-z]|\d))|[。！？]+[”’」』）]*\s*(?=\S)")
_ABBREVIATIONS: Final = frozenset(("e.g", "i.e", "mr", "mrs", "ms", "dr", "prof", "st", "cf", "vs", "approx"))
"""What never ends a sentence. `etc.`, `Inc.` and the like may, and do where a capital letter follows."""
_BEFORE_NUMBERS: Final = frozenset(("no", "nos", "art", "arts", "sec", "para", "fig", "vol", "ch", "p", "pp"))
_INITIALS: Final = re.compile(r"(?:[A-Z]\.)*[A-HJ-Z]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a policy; white space within is single spaces."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, or an item of a list."""

    item: bool
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One section; the one before the first heading has the number 0 and no title."""

    number: str
    title: str
    blocks: tuple[Block, ...]

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        return tuple(sentence for block in self.blocks for sentence in block.sentences)


def sections(text: str) -> tuple[Section, ...]:
    """The sections of a policy's text, with or without front matter. Raises ConfigurationError where two have one number."""
    text = text.replace("\r\n", "\n")
    matter = FRONT_MATTER.match(text)
    title = found[1] if matter and (found := _TITLE.search(matter["fields"])) else None
    number, heading, blocks = "0", "", list[tuple[str, bool]]()
    done: list[Section] = []
    for place, (block, item) in enumerate(_blocks(text[matter.end() :] if matter else text)):
        head = _MARKDOWN_HEADING.fullmatch(block) or _NUMBERED_HEADING.fullmatch(block)
        if place == 0 and title is not None and block.lstrip("# ") == title:
            continue
        if head is None:
            blocks.append((block, item))
            continue
        done.append(_section(number, heading, blocks))
        number, heading, blocks = head["number"] or str(len(done)), head["title"], []
    done.append(_section(number, heading, blocks))
    numbers = [each.number for each in done]
    if twice := [each for each in numbers if numbers.count(each) > 1]:
        raise ConfigurationError(f"The policy's text has two sections {twice[0]}.")
    return tuple(each for each in done if each.title or each.blocks)


def _blocks(text: str) -> list[tuple[str, bool]]:
    """Paragraphs, headings and list items, each on one line, without its bullet; and whether it is an item."""
    blocks: list[tuple[str, bool]] = []
    fresh = True
    lines = text.split("\n")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        item = _ITEM.match(line)
        # `1. Something` alone is a heading; with more below it, an item of a list.
        alone = fresh and not following.strip()
        if not line.strip():
            fresh = True
        elif _MARKDOWN_HEADING.fullmatch(line) or (alone and _NUMBERED_HEADING.fullmatch(line.strip())):
            blocks.append((line.strip(), False))
            fresh = True
        elif item or fresh:
            blocks.append((" ".join(line[item.end() if item else 0 :].split()), item is not None))
            fresh = False
        else:
            begun, is_item = blocks[-1]
            blocks[-1] = (f"{begun} {' '.join(line.split())}", is_item)
    return blocks


def _section(number: str, title: str, blocks: list[tuple[str, bool]]) -> Section:
    place = count(1)
    made = (
        Block(item, tuple(Sentence(f"{number}.{next(place)}", text) for text in split(block))) for block, item in blocks
    )
    return Section(number, title, tuple(each for each in made if each.sentences))


def split(block: str) -> list[str]:
    """The sentences of one paragraph. Nothing ends one within brackets, nor after what is always an abbreviation."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(block):
        before = block[start : end.start()]
        if _open_brackets(block[start : end.end()]) or _abbreviates(before, block[end.end() :]):
            continue
        found.append(block[start : end.end()].strip())
        start = end.end()
    if rest := block[start:].strip():
        found.append(rest)
    return found


def _open_brackets(text: str) -> bool:
    return any(text.count(left) > text.count(right) for left, right in ("()", "[]", "（）"))


def _abbreviates(before: str, after: str) -> bool:
    word = re.split(r"[\s(\[\"“]", before)[-1]
    if word.lower() in _BEFORE_NUMBERS:
        return after[:1].isdigit()
    return word.lower() in _ABBREVIATIONS or _INITIALS.fullmatch(word) is not None
