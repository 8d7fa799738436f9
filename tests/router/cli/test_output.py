"""Tables for people: as a table where it fits the terminal, else stacked, whole and unfolded."""

import pytest
from rich.console import Console
from typer.testing import CliRunner

from router.cli import output
from router.cli.main import command_line

ACCOUNT = "01a213d6-f970-7757-889b-dba2e155a4fd"
ROW = {"id": ACCOUNT, "roles": ["legal", "user"], "balance_microcredits": 10_000_000, "mend": "", "closed": False}


def shown(monkeypatch: pytest.MonkeyPatch, width: int, *rows: dict[str, object]) -> list[str]:
    console = Console(width=width, highlight=False)
    monkeypatch.setattr(output, "out", console)
    with console.capture() as printed:
        output.table(rows, False)
    return printed.get().splitlines()


def test_a_row_is_one_line_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 120, ROW, ROW)
    assert len([line for line in lines if ACCOUNT in line and "10000000" in line and "legal, user" in line]) == 2


def test_what_does_not_fit_is_stacked_and_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 80, ROW, ROW | {"roles": [], "closed": "[red]"})
    assert [line.split() for line in lines] == [
        [ACCOUNT],
        ["roles", "legal,", "user"],
        ["balance", "microcredits", "10000000"],
        ["closed", "no"],
        [ACCOUNT],
        ["roles", "-"],
        ["balance", "microcredits", "10000000"],
        ["closed", "[red]"],
    ]


def test_the_data_map_can_be_read_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=80, highlight=False)
    monkeypatch.setattr(output, "out", console)
    with console.capture() as printed:
        assert CliRunner().invoke(command_line(), ["datamap"]).exit_code == 0
    lines = [line.rstrip() for line in printed.get().splitlines()]
    assert "api_key.name" in lines and "  at rest        sealed" in lines
    assert max(map(len, lines)) <= 80
