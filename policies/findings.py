"""Reads a policy's text as a lawyer would: where its sentences disagree, or promise what no mechanism can give.

A finding names the sentence, the rule with its source, and a wording to consider. It blocks nothing: the text is legal's.
Each rule looks for its words in English text; what it doesn't find says nothing about a text in other words.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from policies.sentences import Sentence
from policies.version import Version


@dataclass(frozen=True, slots=True)
class Finding:
    """`sentence`: its id, or where the text lacks one; `against`: the id of the sentence that it disagrees with."""

    rule: str
    sentence: str
    what: str
    source: str
    proposal: str
    against: str | None = None


Rule = Callable[[Sequence[Sentence]], Iterator[Finding]]


def read(version: Version) -> list[Finding]:
    """Everything that the rules find in a privacy policy, in the order of the text."""
    if version.series != "privacy":
        return []
    text = [sentence for section in version.sections for sentence in section.sentences]
    order = {sentence.id: place for place, sentence in enumerate(text)}
    found = [finding for rule in RULES for finding in rule(text)]
    return sorted(found, key=lambda finding: order.get(finding.sentence, len(order)))


def _having(text: Sequence[Sentence], pattern: str) -> list[Sentence]:
    return [each for each in text if re.search(pattern, each.text, re.IGNORECASE)]


def _strict_purpose(text: Sequence[Sentence]) -> Iterator[Finding]:
    for strict in _having(text, r"\b(strictly|solely|exclusively|only) for\b.*\b(billing|security|rate-limiting)\b"):
        for wider in _having(text, r"\b(analy[sz]e|monitor)\b.*\b(trends|usage)\b|\busage trends\b"):
            if wider.id != strict.id:
                yield Finding(
                    "strict-purpose",
                    strict.id,
                    "It limits the data to named purposes, and another sentence uses it for one that isn't among them.",
                    "GDPR Art. 5(1)(b), 13(1)(c)",
                    "Name the statistical purpose here as well, or say there that trends are made of aggregated data alone.",
                    against=wider.id,
                )


def _consent_by_use(text: Sequence[Sentence]) -> Iterator[Finding]:
    for each in _having(text, r"\bby (using|accessing)\b.*\bconsent\b|\bconsent to\b.*\b(transfer|processing)\b"):
        yield Finding(
            "consent-by-use",
            each.id,
            "Consent that follows from use is none: it must be explicit, informed of the risks, and free to refuse.",
            "GDPR Art. 4(11), 7, 49(1)(a)",
            "Say on which decision of adequacy or which standard contractual clauses each transfer rests, and ask for no consent.",
        )


def _bound_by_notice(text: Sequence[Sentence]) -> Iterator[Finding]:
    for each in _having(text, r"\bby (using|accessing|accessing or using)\b.*\b(agree|bound)\b"):
        yield Finding(
            "bound-by-notice",
            each.id,
            "A privacy notice informs; whoever reads it isn't bound by it, and use makes no agreement to it.",
            "GDPR Art. 12(1), 13; EDPB Guidelines 05/2020, 3.1",
            "Say that the notice describes the processing, and put what is agreed to into the terms of service.",
        )


def _posted_only(text: Sequence[Sentence]) -> Iterator[Finding]:
    for each in _having(text, r"\b(by posting|on this page)\b"):
        if re.search(r"\bmaterial\b|\bchanges\b", each.text, re.IGNORECASE) and not _having([each], r"\be-?mail\b"):
            yield Finding(
                "posted-only",
                each.id,
                "Material changes are told by a page that nobody need look at; people are to be told directly.",
                "GDPR Art. 12(1), 13(3); Guidelines on transparency WP260, 29 to 31",
                "Say that material changes are mailed to account holders some time before they take effect.",
            )


def _review_yourself(text: Sequence[Sentence]) -> Iterator[Finding]:
    for each in _having(text, r"\b(advised|encouraged|responsible)\b.*\b(review|check)\b"):
        yield Finding(
            "review-yourself",
            each.id,
            "It is the controller who tells of changes; people need not look for them.",
            "Guidelines on transparency WP260, 29",
            "Leave the sentence out, once changes are told directly.",
        )


def _unlimited_security(text: Sequence[Sentence]) -> Iterator[Finding]:
    for each in _having(text, r"\b(ensure|guarantee)s?\b.*\b(secur|safe)|\b100 ?% secure\b|\bindustry[- ]standard\b"):
        if not _having([each], r"\b(no|not|cannot|can't)\b"):
            yield Finding(
                "unlimited-security",
                each.id,
                "It promises a result that no measure can give, or names a standard that isn't one.",
                "GDPR Art. 32(1): a level of security appropriate to the risk",
                "Name the measures themselves: sealed at rest under a key of the person, TLS in transit, and so on.",
            )


_ITEMS: Final = (
    (
        "identity of the controller with a postal address",
        "13(1)(a)",
        r"\b(street|stra(ss|ß)e|avenue|postal|registered (office|address))\b",
    ),
    ("legal basis of each purpose", "13(1)(c)", r"\blegal bas[ie]s\b|\blegitimate interest|\bArt(icle|\.) ?6\b"),
    ("recipients or categories of them", "13(1)(e)", r"\b(providers|processor|recipients|third part)"),
    (
        "safeguards of transfers to third countries",
        "13(1)(f)",
        r"\b(standard contractual clauses|adequacy|data privacy framework)\b",
    ),
    (
        "how long data is kept, in figures or criteria",
        "13(2)(a)",
        r"\b\d+ (days|months|years)\b|\bas long as\b|\bretain",
    ),
    ("right of access", "13(2)(b)", r"\baccess\b"),
    ("right to rectification", "13(2)(b)", r"\b(rectif|correct)"),
    ("right to erasure", "13(2)(b)", r"\beras"),
    ("right to restriction", "13(2)(b)", r"\brestrict"),
    ("right to object", "13(2)(b)", r"\bobject\b"),
    ("right to portability", "13(2)(b)", r"\b(portab|transfer the data)"),
    ("right to withdraw consent", "13(2)(c)", r"\bwithdraw"),
    (
        "right to complain to a supervisory authority",
        "13(2)(d)",
        r"\b(supervisory|data protection) authorit|\blodge a complaint",
    ),
    (
        "whether data must be given, and what follows if not",
        "13(2)(e)",
        r"\b(required|obliged) to provide\b|\bfailure to provide\b",
    ),
    ("automated decisions, or that there are none", "13(2)(f)", r"\bautomated\b|\bprofiling\b"),
)


def _required(text: Sequence[Sentence]) -> Iterator[Finding]:
    for what, article, pattern in _ITEMS:
        if not _having(text, pattern):
            yield Finding(
                "required-content",
                "missing",
                f"The text doesn't say: {what}.",
                f"GDPR Art. {article}",
                f"Add a sentence on the {what}."
                if not what.startswith(("how", "whether"))
                else f"Add a sentence that says {what}.",
            )


RULES: Final[tuple[Rule, ...]] = (
    _strict_purpose, _consent_by_use, _bound_by_notice, _posted_only, _review_yourself, _unlimited_security, _required,
)  # fmt: skip
