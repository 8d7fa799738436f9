"""Kinds of personal data that are looked for, as Presidio names its entities, and the Fides category of each."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What was found. Names are Presidio's where it has one."""

    EMAIL = "EMAIL_ADDRESS"
    PHONE = "PHONE_NUMBER"
    IBAN = "IBAN_CODE"
    CARD = "CREDIT_CARD"
    IP = "IP_ADDRESS"
    URL_USER = "URL_USER"  # a URL whose authority names a user: `https://anna:pw@host/`
    NATIONAL_ID = "NATIONAL_ID"  # which: `national_ids`
    BIRTH_DATE = "DATE_OF_BIRTH"
    PERSON = "PERSON"  # a name that a cue announces; a bare name isn't found
    SECRET = "SECRET"  # noqa: S105  no personal data, but what opens it


Span = tuple[int, int, float]
"""Start and end in characters, and a score from 0 to 1."""

CATEGORY: Final[dict[Kind, str]] = {
    Kind.EMAIL: "user.contact.email",
    Kind.PHONE: "user.contact.phone_number",
    Kind.IBAN: "user.financial.bank_account",
    Kind.CARD: "user.financial.credit_card",
    Kind.IP: "user.device.ip_address",
    Kind.URL_USER: "user.authorization.credentials",
    Kind.NATIONAL_ID: "user.government_id",
    Kind.BIRTH_DATE: "user.demographic.date_of_birth",
    Kind.PERSON: "user.name",
    Kind.SECRET: "user.authorization.credentials",
}
"""The Fides data category of each kind (fideslang)."""


@dataclass(frozen=True, slots=True)
class Found:
    """One find: where it stands in the text, in characters, and how sure it is (0 to 1). Never what it says."""

    kind: Kind
    start: int
    end: int
    score: float

    @property
    def category(self) -> str:
        return CATEGORY[self.kind]
