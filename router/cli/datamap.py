"""`valueapi datamap`: the declarations as a table, JSON, or a Fides manifest; and the check that CI runs."""

import asyncio
from collections.abc import Mapping
from itertools import groupby
from typing import Annotated, Literal

import typer
import yaml

import router.migrations.tables  # noqa: F401  every table must be known
from governance.datamap import registry
from policies import retention
from reports import data_map
from router.app.stores import opened
from router.cli.output import Json, out, table, verb
from router.settings import Settings


@verb()
def datamap(
    format_: Annotated[
        Literal["table", "fides"], typer.Option("--format", help="table, or a Fides manifest.")
    ] = "table",
    check: Annotated[bool, typer.Option("--check", help="Only check columns and schedule against each other.")] = False,
    uses: Annotated[
        bool, typer.Option("--uses", help="Sealed columns: the uses they declare against those they were opened for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Every stored column: what it holds, why, how it rests, how long, and what erasure does to it."""
    schedule = retention.load()
    columns = list(registry())
    schedule.check(columns)
    if check:
        out.print(f"{len(columns)} columns are declared and match the {len(schedule.rules)} rules of the schedule.")
    elif uses:
        _print_uses(data_map.uses(columns, asyncio.run(_seen())), as_json)
    elif format_ == "fides":
        typer.echo(yaml.safe_dump(data_map.fides(columns), sort_keys=False), nl=False)
    else:
        rows = data_map.rows(columns, schedule)
        table(rows if as_json else [_short(row) for row in rows], as_json)


async def _seen() -> Mapping[tuple[str, str], int]:
    async with opened(Settings.load()) as stores:
        return await stores.keys.openings.seen(stores.data)


def _print_uses(rows: list[data_map.Row], as_json: bool) -> None:
    if as_json:
        table(rows, as_json)
        return
    for column, uses in groupby(rows, key=lambda row: row["column"]):
        out.print(str(column), style="bold", markup=False)
        for row in uses:
            told = "" if row["declared"] else "  not declared"
            out.print(f"  {row['use']:<48} opened {row['opened']:>8}{told}", markup=False)


def _short(row: data_map.Row) -> data_map.Row:
    """What a person asks first; the JSON form has the rest."""
    kept = ("seal_id", "data_category", "data_uses", "at_rest", "retention", "period", "on_erasure")
    return {"column": f"{row['table']}.{row['column']}"} | {name: row[name] for name in kept}
