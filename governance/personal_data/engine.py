"""Presidio's analyzer, put together so that it loads no model, asks no network and logs nothing. Imported by `detection`.

Presidio gives the analysis, its e-mail check against the public suffix list and its IBANs by country; the other forms are
ours, since its own raise alarms here: phone numbers and user agents come out as UK NHS numbers, cards and addresses.
"""

import logging
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import tldextract
from presidio_analyzer import AnalyzerEngine, LocalRecognizer, Pattern, RecognizerRegistry, RecognizerResult
from presidio_analyzer.nlp_engine import NoOpNlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer, IbanRecognizer

from governance.personal_data.birth import births
from governance.personal_data.contact import (
    EMAIL_PATTERN,
    PRIVATE_ENDINGS,
    addresses,
    is_office,
    phones,
    url_users,
)
from governance.personal_data.kinds import Kind, Span
from governance.personal_data.money import cards
from governance.personal_data.names import names
from governance.personal_data.national_ids import national_ids
from governance.personal_data.secrets import secrets

LANGUAGE = "en"  # Presidio wants one; no recogniser here depends on it

# Presidio logs values that it fails to check.
_log = logging.getLogger("presidio-analyzer")
_log.propagate = False
_log.handlers[:] = [logging.NullHandler()]
_log.setLevel(logging.CRITICAL + 1)


class _Email(EmailRecognizer):
    """With the public suffix list that comes with tldextract: by default it would be fetched."""

    suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, fallback_to_snapshot=True)

    def __init__(self) -> None:
        super().__init__(patterns=[Pattern("e-mail", EMAIL_PATTERN, 0.5)])

    def validate_result(self, pattern_text: str) -> bool:
        domain = pattern_text.replace("%40", "@").rpartition("@")[2].lower()
        known = bool(self.suffixes(domain).fqdn) or domain.rpartition(".")[2] in PRIVATE_ENDINGS
        return known and not is_office(pattern_text)


class _Ours(LocalRecognizer):
    """A recogniser from a function that gives spans."""

    def __init__(self, kind: Kind, spans: Callable[[str], Iterable[Span]]) -> None:
        self._spans = spans
        super().__init__(supported_entities=[kind.value], name=kind.value, supported_language=LANGUAGE)

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        about = {
            RecognizerResult.RECOGNIZER_NAME_KEY: self.supported_entities[0],
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
        }
        return [
            RecognizerResult(self.supported_entities[0], start, end, score, recognition_metadata=about)
            for start, end, score in self._spans(text)
        ]


@cache
def analyzer() -> AnalyzerEngine:
    """The one of this process."""
    recognizers = [
        _Email(),
        IbanRecognizer(),
        _Ours(Kind.PHONE, phones),
        _Ours(Kind.CARD, cards),
        _Ours(Kind.IP, addresses),
        _Ours(Kind.URL_USER, url_users),
        _Ours(Kind.NATIONAL_ID, national_ids),
        _Ours(Kind.BIRTH_DATE, births),
        _Ours(Kind.PERSON, names),
        _Ours(Kind.SECRET, secrets),
    ]
    engine = NoOpNlpEngine(models=[{"lang_code": LANGUAGE, "model_name": "none"}])
    engine.load()
    registry = RecognizerRegistry(recognizers=recognizers, supported_languages=[LANGUAGE])
    return AnalyzerEngine(nlp_engine=engine, registry=registry, supported_languages=[LANGUAGE])
