"""Reads `retention.yaml` of a policy version."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from governance.errors import ConfigurationError
from governance.period import Period
from governance.retention.schedule import Rule, Schedule
from policies.files import Files, parsed

IN_FORCE = Path(__file__).parent / "privacy" / "2026-03"
"""The folder whose schedule, recipients and collection the program itself goes by; it must know them before a store opens."""
_NAME = "retention.yaml"


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    title: str
    starts: Literal[
        "row_created", "year_end", "account_closed", "key_revoked", "session_expired", "lease_closed", "service_ended"
    ]
    period: str
    action: Literal["delete", "aggregate_then_delete", "shred", "null", "pseudonymise"]
    basis: str
    source: str
    owner: str

    @field_validator("period")
    @classmethod
    def _iso_8601(cls, value: str) -> str:
        Period.parse(value)
        return value


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    rules: list[_Rule]


def load(files: Files = IN_FORCE) -> Schedule:
    """The schedule of a version. Raises ConfigurationError naming the file and the place."""
    rules: dict[str, Rule] = {}
    for rule in parsed(files, _NAME, _File).rules:
        if rule.id in rules:
            raise ConfigurationError(f"{_NAME}: the rule {rule.id!r} stands twice.")
        rules[rule.id] = Rule(**rule.model_dump())
    return Schedule(rules)
