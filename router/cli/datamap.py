"""`valueapi datamap`: the declarations as a table, JSON, or a Fides manifest; and the check that CI runs."""

from typing import Annotated, Literal

import typer
import yaml

import router.migrations.tables  # noqa: F401  every table must be known
from governance.datamap import registry
from policies import retention
from reports import data_map
from router.cli.output import Json, out, plain_errors, table


@plain_errors
def datamap(
    format_: Annotated[
        Literal["table", "fides"], typer.Option("--format", help="table, or a Fides manifest.")
    ] = "table",
    check: Annotated[bool, typer.Option("--check", help="Only check columns and schedule against each other.")] = False,
    as_json: Json = False,
) -> None:
    """Every stored column: what it holds, why, how it rests, how long, and what erasure does to it."""
    schedule = retention.load()
    columns = list(registry())
    schedule.check(columns)
    if check:
        out.print(f"{len(columns)} columns are declared and match the {len(schedule.rules)} rules of the schedule.")
    elif format_ == "fides":
        typer.echo(yaml.safe_dump(data_map.fides(columns), sort_keys=False), nl=False)
    else:
        rows = data_map.rows(columns, schedule)
        if not as_json:
            for row in rows:
                row["column"] = f"{row.pop('table')}.{row['column']}"
                del row["store"], row["legal_basis"], row["starts"]
        table(rows, as_json)
