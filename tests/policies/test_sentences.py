"""A text is split the same way by whoever reads it, and nothing of it is lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import ConfigurationError
from policies.retention import IN_FORCE
from policies.sentences import sections, split

TEXT = """---
version: 2027-01
title: "Privacy Policy"
---
# Privacy Policy

Effective 1 January 2027

## 1. Who we are

We are Example Inc. We run (valueapi.ai) with U.S. Servers, e.g. In Ohio.
This line goes on.

2. What we do

We do this, including:

* First: one thing. And another.
* Second
  over two lines
1. third of the list
2. fourth of it

### 2.1 Details

See Art. 13 and No. 4 of it. "Is it true?" Yes! No. It is not.
"""


def flat(text: str) -> list[tuple[str, str]]:
    return [(each.id, each.text) for section in sections(text) for each in section.sentences]


def test_headings_lists_lead_ins_abbreviations_and_wrapped_lines() -> None:
    assert [(each.number, each.title) for each in sections(TEXT)] == [
        ("0", ""), ("1", "Who we are"), ("2", "What we do"), ("2.1", "Details"),
    ]  # fmt: skip
    assert flat(TEXT) == [
        ("0.1", "Effective 1 January 2027"),
        ("1.1", "We are Example Inc."),
        ("1.2", "We run (valueapi.ai) with U.S. Servers, e.g. In Ohio."),
        ("1.3", "This line goes on."),
        ("2.1", "We do this, including:"),
        ("2.2", "First: one thing."),
        ("2.3", "And another."),
        ("2.4", "Second over two lines"),
        ("2.5", "third of the list"),
        ("2.6", "fourth of it"),
        ("2.1.1", "See Art. 13 and No. 4 of it."),
        ("2.1.2", '"Is it true?"'),
        ("2.1.3", "Yes!"),
        ("2.1.4", "No."),
        ("2.1.5", "It is not."),
    ]


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        ("Providers (such as A, B, etc.) answer. We wait.", 2),
        ("We use A, B, etc. We wait.", 2),
        ("The list (see below. It is long.) ends. Here.", 2),
        ("Version 1.2.3 of valueapi.ai is out.", 1),
        ("Ask Dr. Müller or J. Smith. Ärzte too.", 2),
        ("It costs 5.00 EUR. 3 are free.", 2),
        ("我们不保存。您可以放心。", 2),
        ("Nous respectons vos droits. À bientôt.", 2),
        ("no end", 1),
        ("", 0),
    ],
)
def test_a_paragraph(block: str, parts: int) -> None:
    assert len(split(block)) == parts


def test_the_published_text_has_its_sentences() -> None:
    ids = dict(flat((IN_FORCE / "policy.md").read_text()))
    assert ids["2.6"] == "This is strictly for billing, rate-limiting, and security monitoring."
    assert ids["3.1"].startswith("We do NOT store the content of your API requests")
    assert ids["3.3"].endswith("(such as OpenAI, Anthropic, Google, DeepSeek, etc.) in real-time.")
    assert ids["11.1"].endswith("please contact us at privacy@valueapi.ai.")
    assert len(ids) == 53


def test_nothing_of_the_published_text_is_lost_or_told_twice() -> None:
    text = (IN_FORCE / "policy.md").read_text().split("\n---\n", 1)[1]
    kept = "".join(
        f"{each.number}{each.title}" * bool(each.title) + "".join(s.text for s in each.sentences)
        for each in sections(text)
    )
    plain = re.sub(r"^(\d+)\. ", r"\1", text.replace("•", ""), flags=re.MULTILINE)
    assert re.sub(r"\s", "", kept) == re.sub(r"\s", "", plain)


def test_one_number_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="two sections 3"):
        sections("3. One\n\nText.\n\n3. Two\n\nText.\n")


@given(st.text(alphabet="aB. \"'(?!)1é。", max_size=60))
def test_splitting_loses_no_character(block: str) -> None:
    assert "".join("".join(split(block)).split()) == "".join(block.split())
