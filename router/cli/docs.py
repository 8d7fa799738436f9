"""`valueapi docs`: generated pages, written or checked. A page that is stale fails the check."""

from pathlib import Path
from typing import Annotated, Any

import typer

import router.app.controls
import router.migrations.tables  # noqa: F401  every table must be known
from governance.controls.control import Control
from governance.datamap import registry
from policies import promises, retention
from reports import control_matrix, data_map
from router.cli import api_page
from router.cli.main import command_line
from router.cli.output import fail, out, verb


def pages(command: Any) -> dict[str, str]:
    """Every generated page by its path below the project's root; `command` is the root of the command line."""
    return {
        "docs/privacy/data-map.md": data_map.markdown(registry(), retention.load()),
        "docs/privacy/controls.md": control_matrix.markdown(Control.__subclasses__(), promises.load()),
        "docs/api.md": api_page.markdown(command),
    }


@verb()
def docs(
    write: Annotated[bool, typer.Option("--write", help="Write the pages.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail where a page is stale.")] = False,
) -> None:
    """Generated pages of the documentation. Run it in the project's root."""
    wanted = pages(typer.main.get_command(command_line()))
    stale = [path for path, text in wanted.items() if not Path(path).is_file() or Path(path).read_text() != text]
    if write:
        for path in stale:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(wanted[path])
        out.print(f"{len(stale)} pages written." if stale else "All pages were up to date.")
    elif check and stale:
        fail(f"Stale: {', '.join(stale)}. Run `make docs`.")
    else:
        out.print(f"{len(wanted)} pages, {len(stale)} stale.")
