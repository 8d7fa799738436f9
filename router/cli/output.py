"""How commands print: a table for people, JSON for scripts, a sentence and an exit code for what went wrong."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from governance.errors import ConfigurationError, ValueAPIError
from router.surface import Exit

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
F = TypeVar("F", bound=Callable[..., Any])


def table(rows: Sequence[Mapping[str, object]], as_json: bool, *, title: str | None = None) -> None:
    """Print rows; all have the same keys. An empty list says so."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        out.print("Nothing to show.")
        return
    shown = Table(title=title, title_justify="left", show_lines=False)
    for name in rows[0]:
        shown.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row.values()))
    out.print(shown)


@contextmanager
def progress_bar(title: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while long work goes on; called with what is done and the total."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not shown) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_json(value: object) -> None:
    """Indented JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(item) for item in value)
    return str(value)


def fail(sentence: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Print one sentence on standard error and leave."""
    err.print(sentence, style="bold red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def plain_errors(command: F) -> F:
    """Turn typed errors into a sentence and an exit code; nothing of a value, a URL or a traceback is shown."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except ConfigurationError as error:
            fail(str(error), Exit.USAGE)
        except ValueAPIError as error:
            fail(str(error))
        except SQLAlchemyError as error:
            fail(f"The database refused ({type(error).__name__}): run `valueapi doctor`.")
        except ConnectionError:
            fail("A store can't be reached: run `valueapi doctor`.")

    return run  # type: ignore[return-value]
