"""What of an erased subject, or of a period that is over, an old copy could still give away: nothing, or it is counted.

Pure: rows in, counts out. The opener says whether a value opens with today's keys, and never what it says.
Art. 17(1); a backup can't be rewritten, so it must be noise (Art. 32(1)(a)).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from sqlalchemy import Table

from governance.backup.read import Row
from governance.datamap import Base, Declaration, KeyBasis
from governance.ids import NIL
from governance.vault.columns import sealed_names


class Opener(Protocol):
    """Today's keys and today's subjects."""

    async def can_open(self, envelope: bytes, seal_id: int, subject_id: UUID, row_id: UUID) -> bool:
        """Whether the value opens. Raises KeyUnavailable where that can't be told: a missing root key proves nothing."""

    async def erased(self, subject_id: UUID) -> bool:
        """Whether the subject isn't, or is no longer, one of ours."""

    async def expired(self, retention: str, row_id: UUID) -> bool:
        """Whether the period of the rule is over for a row."""


@dataclass(slots=True)
class Finding:
    """One sealed column. `erased` stands for an erased subject or a period that is over, `kept` for what a legal basis
    keeps of an erased subject (Art. 17(3)): its key opens it for that basis alone."""

    column: str
    values: int = 0
    of_erased: int = 0
    of_erased_opened: int = 0
    of_kept: int = 0
    of_kept_opened: int = 0
    of_living: int = 0
    of_living_opened: int = 0


@dataclass(frozen=True, slots=True)
class EraseCheck:
    """The findings by column, and tables of the copy that nobody declared: they were not looked into."""

    findings: list[Finding]
    unknown_tables: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing of an erased subject or of an expired period opens."""
        return not any(finding.of_erased_opened for finding in self.findings)


def sealed_columns() -> dict[Table, tuple[str, ...]]:
    """Sealed columns of the data store by table."""
    return {table: names for table in Base.metadata.sorted_tables if (names := sealed_names(table))}


def wanted() -> dict[Table, list[str]]:
    """The columns that the check reads."""
    return {
        table: [*(name for name in ("id", "subject_id") if name in table.columns), *names]
        for table, names in sealed_columns().items()
    }


def _declaration(table: Table, name: str) -> Declaration:
    declaration: Declaration = table.columns[name].info["declaration"]
    return declaration


async def check(rows: Iterable[Row], opener: Opener, *, subject_id: UUID | None = None) -> list[Finding]:
    """Count over the rows of `wanted()`; one subject's alone where one is named."""
    columns = {
        str(table.name): {name: (_declaration(table, name), Finding(f"{table.name}.{name}")) for name in names}
        for table, names in sealed_columns().items()
    }
    for table_name, row in rows:
        owner = row.get("subject_id") or NIL
        if subject_id is not None and owner != subject_id:
            continue
        gone = owner != NIL and await opener.erased(owner)
        for name, (declaration, finding) in columns[table_name].items():
            envelope = row.get(name)
            if envelope is None:
                continue
            opens = await opener.can_open(envelope, declaration.seal_id, owner, row["id"])
            finding.values += 1
            expired = await opener.expired(declaration.retention, row["id"])
            if expired or (gone and declaration.on_erasure.basis is KeyBasis.ERASABLE):
                finding.of_erased += 1
                finding.of_erased_opened += opens
            elif gone:
                finding.of_kept += 1
                finding.of_kept_opened += opens
            else:
                finding.of_living += 1
                finding.of_living_opened += opens
    return [finding for table in columns.values() for _, finding in table.values()]
