"""What a person may do here. A role belongs to a person, not to an account."""

from enum import StrEnum


class Role(StrEnum):
    """Roles; everyone who signs up is a user, the others are given by an operator."""

    USER = "user"
    LEGAL = "legal"
    AUDITOR = "auditor"
    PRIVACY_OFFICER = "privacy_officer"
    OPERATOR = "operator"
