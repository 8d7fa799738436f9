"""The retention schedule as governance sees it: rules by id, checked against the columns that name them, both ways.

GDPR Art. 5(1)(e), Art. 13(2)(a). The text of the rules ships with the policy version that promises them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from governance.datamap import DeclaredColumn
from governance.errors import DeclarationError
from governance.period import Period
from governance.vault.limits import Limit, Starts

_STARTS = {
    "row_created": Starts.CREATION,
    "year_end": Starts.YEAR_END,
    "account_closed": Starts.SUBJECT,
    "service_ended": Starts.SUBJECT,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `period` is an ISO 8601 duration from the event named by `starts`."""

    id: str
    title: str
    starts: str
    period: str
    action: str
    basis: str
    source: str
    owner: str

    @property
    def limit(self) -> Limit:
        """What this means for the keys of values that rest under the rule."""
        return Limit(_STARTS.get(self.starts, Starts.OBJECT), Period.parse(self.period))


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rules of one policy version."""

    rules: dict[str, Rule]

    def limits(self) -> dict[str, Limit]:
        """By rule id; the vault asks for it when it seals."""
        return {rule.id: rule.limit for rule in self.rules.values()}

    def check(self, columns: Iterable[DeclaredColumn]) -> None:
        """Raises DeclarationError for the first column whose rule is missing, or rule that no column names."""
        named = set()
        for column in columns:
            rule = column.declaration.retention
            if rule not in self.rules:
                raise DeclarationError(
                    f"Column {column.name} names the retention rule {rule!r}, which the schedule lacks."
                )
            named.add(rule)
        unused = sorted(self.rules.keys() - named)
        if unused:
            raise DeclarationError(f"The retention rule {unused[0]!r} is named by no column.")
