"""How commands print: a table for people, JSON for scripts, a sentence and an exit code for what went wrong."""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, NoReturn, Protocol, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from governance.datamap import DataUse
from governance.errors import ConfigurationError, ValueAPIError
from governance.vault.purpose import Actor, Bulk, grant, stating
from router.surface import Exit


def _case(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/#-]{0,63}", text):
        raise typer.BadParameter("an id: letters, digits and . _ / # -, 64 at most; nothing personal")
    return text


Case = Annotated[
    str | None,
    typer.Option(callback=_case, help="The request or ticket that this is for, an id: recorded for the person."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]
out = Console(highlight=False, emoji=False)  # an event named x:key:y has no emoji in it
err = Console(stderr=True, highlight=False, emoji=False)
_ANY_WIDTH = 10_000  # columns: wider than any table, so that one is measured as it would like to be
F = TypeVar("F", bound=Callable[..., Any])


def table(rows: Sequence[Mapping[str, object]], as_json: bool, *, title: str | None = None) -> None:
    """Print rows; all have the same keys. An empty list says so. What doesn't fit as a table is stacked."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        out.print("Nothing to show.")
        return
    shown = Table(title=title, title_justify="left", show_lines=False)
    for name in rows[0]:
        shown.add_column(_label(name), overflow="fold")
    for row in rows:
        shown.add_row(*(escape(_cell(value)) for value in row.values()))
    if out.measure(shown, options=out.options.update(width=_ANY_WIDTH)).maximum <= out.width:
        out.print(shown)
    else:
        _stacked(rows)


def _stacked(rows: Sequence[Mapping[str, object]]) -> None:
    """What is too wide for the terminal as a table: a block a row, headed by its first value."""
    for row in rows:
        (_, head), *rest = row.items()
        out.print(_cell(head), style="bold", markup=False)
        block = Table.grid(padding=(0, 2))
        for name, value in rest:
            if value != "":
                block.add_row("", _label(name), escape(_cell(value)))
        out.print(block)


class Bar(Protocol):
    """Called with what is done, the total, and what is being done if that is news."""

    def __call__(self, done: int, total: int, doing: str | None = None) -> None: ...


@contextmanager
def progress_bar(title: str, *, shown: bool = True) -> Iterator[Bar]:
    """A bar on standard error while long work goes on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not shown) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int, doing: str | None = None) -> None:
            bar.update(task, completed=done, total=total, description=doing)

        yield show


def print_json(value: object) -> None:
    """Indented JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def _label(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)


def fail(sentence: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Print one sentence on standard error and leave."""
    err.print(sentence, style="bold red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def verb(*uses: DataUse, bulk: Bulk | None = None) -> Callable[[F], F]:
    """Every command is one: it states the uses that it opens personal values for, as the operator, and turns typed
    errors into a sentence and an exit code; nothing of a value, a URL or a traceback is shown.

    A command that opens something takes `--case`, which is recorded with the opening for the person whose data it is.
    """

    def decorate(command: F) -> F:
        granted = grant(command, bulk) if bulk is not None else None

        @wraps(command)
        def run(*args: Any, case: str | None = None, **options: Any) -> Any:
            try:
                with stating(Actor.OPERATOR, *uses, case=case, granted=granted):
                    return command(*args, **options)
            except ConfigurationError as error:
                fail(str(error), Exit.USAGE)
            except ValueAPIError as error:
                fail(str(error))
            except SQLAlchemyError as error:
                fail(f"The database refused ({type(error).__name__}): run `valueapi doctor`.")
            except ConnectionError:
                fail("A store can't be reached: run `valueapi doctor`.")

        if uses:
            _takes_case(run, command)
        return run  # type: ignore[return-value]

    return decorate


def _takes_case(run: Callable[..., Any], command: Callable[..., Any]) -> None:
    """Show `run`'s own option to what parses the command line."""
    signature = inspect.signature(command)
    option = inspect.Parameter("case", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Case)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "case": Case}
