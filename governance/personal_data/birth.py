"""Dates of birth: a date where a word says that it is one. Any other date is a time of ours."""

import re
from collections.abc import Iterator
from typing import Final

from governance.personal_data.kinds import Span

_WORDS: Final = (
    r"(?:\b(?:date[ _-]?of[ _-]?birth|birth[ _-]?(?:date|day)|dob|born(?: on)?|geburtsdatum|geb(?:oren)?(?: am)?"
    r"|date de naissance|n[ée]e? le|fecha de nacimiento|nacid[oa] el|data di nascita|nat[oa] il|geboortedatum"
    r"|data de nascimento|дата рождения|родил(?:ся|ась))|生年月日|出生日期|생년월일|تاريخ الميلاد|जन्म तिथि)"
)
_DATE: Final = (
    r"(?:(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)?\d\d"
    r"|\d{1,2}(?:st|nd|rd|th)?\.? (?:de )?[^\W\d_]{3,12}\.?,?(?: de)? (?:19|20)\d\d"
    r"|[^\W\d_]{3,12}\.? \d{1,2}(?:st|nd|rd|th)?,? (?:19|20)\d\d|(?:19|20)\d\d\s?年\s?\d{1,2}\s?月\s?\d{1,2}\s?日)"
)
_BIRTH: Final = re.compile(
    _WORDS + r"(?: is| was)?(?: on)?[\"']?[\s.:=：]{0,4}[\"']?(?P<date>" + _DATE + r")(?!\d)", re.IGNORECASE
)


def births(text: str) -> Iterator[Span]:
    for found in _BIRTH.finditer(text):
        yield found.start("date"), found.end("date"), 0.85
