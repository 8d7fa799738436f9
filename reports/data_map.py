"""The data map: every stored column with what it holds, why, how, how long, and what erasure does. Derived, never typed.

GDPR Art. 30(1)(c), (f); the Fides form is a dataset manifest of fideslang 3 (github.com/ethyca/fideslang).
"""

from collections.abc import Iterable, Mapping
from itertools import groupby

from governance.datamap import AtRest, DeclaredColumn, Store
from governance.retention.schedule import Schedule

Row = dict[str, object]


def rows(columns: Iterable[DeclaredColumn], schedule: Schedule) -> list[Row]:
    """One plain row a column, for tables and JSON."""
    return [
        {
            "seal_id": column.declaration.seal_id,
            "store": column.store.value,
            "table": column.table,
            "column": column.column,
            "data_category": column.declaration.data_category,
            "data_uses": sorted(use.value for use in column.declaration.data_uses),
            "at_rest": column.declaration.at_rest.value,
            "retention": column.declaration.retention,
            "period": schedule.rules[column.declaration.retention].period,
            "starts": schedule.rules[column.declaration.retention].starts,
            "on_erasure": column.declaration.on_erasure.value,
            "legal_basis": column.declaration.legal_basis.value,
        }
        for column in columns
    ]


def uses(columns: Iterable[DeclaredColumn], seen: Mapping[tuple[str, str], int]) -> list[Row]:
    """One row a use of a sealed column: whether it is declared, and how often the column was opened for it."""
    found: list[Row] = []
    for column in columns:
        if column.declaration.at_rest is AtRest.SEALED:
            declared = {use.value for use in column.declaration.data_uses}
            opened = {use for name, use in seen if name == column.name}
            found += [
                {
                    "column": column.name,
                    "use": use,
                    "declared": use in declared,
                    "opened": seen.get((column.name, use), 0),
                }
                for use in sorted(declared | opened)
            ]
    return found


def markdown(columns: Iterable[DeclaredColumn], schedule: Schedule) -> str:
    """The page `docs/privacy/data-map.md`."""
    out = [
        "# Data map",
        "",
        "Generated from the declarations on the columns (`make docs`); CI fails when it is stale. Every stored column is",
        "here, since one without a declaration can't be imported. The data store and the key store share no transaction",
        "and no backup.",
        "",
    ]
    for (store, table), group in groupby(rows(columns, schedule), key=lambda row: (row["store"], row["table"])):
        out += [
            f"## {table} ({store})",
            "",
            "| column | id | category | uses | at rest | kept | erasure | legal basis |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in group:
            uses = row["data_uses"]
            shown = ", ".join(f"`{use}`" for use in uses) if isinstance(uses, list) else ""
            out.append(
                f"| `{row['column']}` | {row['seal_id']} | `{row['data_category']}` | {shown} | {row['at_rest']} | "
                f"{row['retention']}: {row['period']} from {row['starts']} | {row['on_erasure']} | {row['legal_basis']} |"
            )
        out.append("")
    return "\n".join(out)


def fides(columns: Iterable[DeclaredColumn]) -> dict[str, object]:
    """A Fides manifest: one dataset a store, `{"dataset": [...]}`."""
    listed = list(columns)
    datasets = []
    for store in Store:
        collections = []
        mine = (column for column in listed if column.store is store)
        for table, group in groupby(mine, key=lambda column: column.table):
            fields = [
                {
                    "name": column.column,
                    "data_categories": [column.declaration.data_category],
                    "description": f"{column.declaration.at_rest.value}; kept by rule {column.declaration.retention}; "
                    f"erasure: {column.declaration.on_erasure.value}",
                }
                for column in group
            ]
            collections.append({"name": table, "fields": fields})
        datasets.append(
            {
                "fides_key": f"valueapi_{store.value}",
                "name": f"ValueAPI {store.value} store",
                "description": "Derived from the declarations on the columns.",
                "collections": collections,
            }
        )
    return {"dataset": datasets}
