"""`valueapi scan`: searches files and folders for what must not be in them. It needs no home, no settings and no service."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.report import Report
from governance.bodies.scanner.search import Progress as Told
from governance.bodies.scanner.search import Search
from governance.errors import Rejected
from router.cli.output import Json, err, fail, out, print_json, table, verb
from router.surface import Exit

_UNREAD_SHOWN = 20


@verb()
def scan(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; folders with all below them.")],
    needle_file: Annotated[
        list[Path],
        typer.Option("--needle-file", help="A file that holds what to look for; may be given several times."),
    ],
    needles_per_line: Annotated[
        bool, typer.Option("--needles-per-line", help="Every line of a needle file is a needle of its own.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find needles, or 16 bytes of one, in any encoding or compression that they may rest in: 0 nothing found, 1 found."""
    needles = [needle for file in needle_file for needle in _needles(file, needles_per_line)]
    if not needles:
        fail("No needle: the needle files are empty.", Exit.USAGE)
    with _shown(not as_json) as told:
        search = Search(needles, progress=told)
        for path in paths:
            if not path.exists():
                fail(f"{search.shown(str(path))} doesn't exist.", Exit.USAGE)
        for path in paths:
            search.path(path)
    report = search.report()
    if as_json:
        print_json({"found": bool(report.findings), "void": _void(report), **asdict(report)})
    else:
        _print(report)
    if report.findings:
        raise typer.Exit(Exit.FAILED)
    if _void(report):
        fail("Nothing could be read: that nothing was found says nothing.", Exit.USAGE)


def _needles(file: Path, per_line: bool) -> Iterator[Needle]:
    try:
        value = file.read_bytes()
    except OSError as error:
        fail(f"{file} can't be read: {error.strerror}.", Exit.USAGE)
    values = value.splitlines() if per_line else [value.removesuffix(b"\n").removesuffix(b"\r")]
    for number, each in enumerate(values, 1):
        name = f"{file.name}:{number}" if per_line else file.name
        if not each and (per_line or not value):
            continue
        try:
            yield Needle(name, each)
        except Rejected as rejected:
            fail(f"{name}: {rejected}", Exit.USAGE)


def _void(report: Report) -> bool:
    """Nothing was read, though something is there."""
    return not report.bytes_read and (bool(report.unread) or not report.files)


@contextmanager
def _shown(wanted: bool) -> Iterator[Told]:
    """How much was read, for people at a terminal alone."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not (wanted and sys.stderr.isatty())) as bar:
        task = bar.add_task("scanning", total=None)
        yield lambda done, total, place: bar.update(task, completed=done, total=total)


def _print(report: Report) -> None:
    """Found places, gaps, and how much was read. Nothing of a needle is in any of it."""
    if report.findings:
        table([asdict(finding) for finding in report.findings], False, title="Found")
    if report.unread:
        table([asdict(gap) for gap in report.unread[:_UNREAD_SHOWN]], False, title="Not read")
    places = len({finding.place for finding in report.findings})
    rate = report.bytes_read / 1e6 / max(report.seconds, 1e-6)
    found = f"found in {places} places" if report.findings else "nothing found"
    out.print(
        f"{report.files} files, {report.bytes_read / 1e6:.1f} MB, {rate:.0f} MB/s: {found}. Not read: {len(report.unread)}.",
        markup=False,
        soft_wrap=True,
    )
