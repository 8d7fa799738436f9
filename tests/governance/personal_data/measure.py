"""Precision and recall of the finder on the two labelled files, and the page that says them.

python -m tests.governance.personal_data.measure [--write]
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from governance.personal_data.detection import find
from governance.personal_data.kinds import CATEGORY, Found, Kind

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "privacy" / "personal-data-detection.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_MARK = re.compile(r"\[\[([A-Z_]+):(.+?)\]\]")


@dataclass
class Score:
    """Of one kind: labels found, labels missed, alarms that are none."""

    found: int = 0
    missed: int = 0
    false: int = 0

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.false) if self.found + self.false else 1.0

    @property
    def recall(self) -> float:
        return self.found / (self.found + self.missed) if self.found + self.missed else 1.0


def lines(name: str) -> list[tuple[str, list[Found]]]:
    """Each text of a file with its labels, as finds of score 1."""
    read = []
    for line in (HERE / name).read_text().splitlines():
        if line and not line.startswith("# "):
            read.append(_unmarked(line.replace("·", "").replace("\\n", "\n")))
    return read


def _unmarked(line: str) -> tuple[str, list[Found]]:
    text, labels, at = "", [], 0
    for mark in _MARK.finditer(line):
        text += line[at : mark.start()]
        labels.append(Found(Kind(mark[1]), len(text), len(text) + len(mark[2]), 1.0))
        text += mark[2]
        at = mark.end()
    return text + line[at:], labels


def same(a: Found, b: Found) -> bool:
    """The same kind at the same place: they share more than half of the longer one."""
    shared = min(a.end, b.end) - max(a.start, b.start)
    return a.kind is b.kind and 2 * shared > max(a.end - a.start, b.end - b.start)


def measure(name: str) -> tuple[dict[Kind, Score], list[str]]:
    """Scores by kind, and what went wrong as lines for whoever mends it."""
    scores = {kind: Score() for kind in Kind}
    wrong = []
    for text, labels in lines(name):
        finds = find(text)
        for label in labels:
            if any(same(label, each) for each in finds):
                scores[label.kind].found += 1
            else:
                scores[label.kind].missed += 1
                wrong.append(f"missed {label.kind}: {text[label.start : label.end]!r} in {text!r}")
        for each in finds:
            if not any(same(label, each) for label in labels):
                scores[each.kind].false += 1
                wrong.append(f"false {each.kind}: {text[each.start : each.end]!r} in {text!r}")
    return scores, wrong


def table(scores: dict[Kind, Score]) -> list[str]:
    """Markdown rows."""
    rows = ["| kind | category | labels | precision | recall |", "|---|---|---|---|---|"]
    for kind, score in scores.items():
        counted = f"{score.found + score.missed} | {score.precision:.3f} | {score.recall:.3f} |"
        rows.append(f"| `{kind}` | `{CATEGORY[kind]}` | {counted}")
    return rows


def page() -> str:
    """The page with what is measured now between its two marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    held, tuned = measure("held_out.txt")[0], measure("sample.txt")[0]
    parts = [
        f"Held out, {len(lines('held_out.txt'))} texts:",
        "",
        *table(held),
        "",
        f"Tuned on, {len(lines('sample.txt'))} texts:",
        "",
        *table(tuned),
    ]
    return before + BEGIN + "\n" + "\n".join(parts) + "\n" + END + after


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page())
    else:
        for name in sys.argv[1:] or ("sample.txt", "held_out.txt"):
            scores, wrong = measure(name)
            print(name, *wrong, *table(scores), sep="\n")
