"""`valueapi policy`: versions of policies and terms, checked, compared, exported and listed."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from governance import datamap
from governance.errors import NotFound, Rejected
from policies import check as checks
from policies import redline, versions
from policies import version as folders
from policies.redline import Change
from policies.version import SERIES, Version
from policies.versions import PolicyVersion
from router.app.controls import registry
from router.app.stores import Stores, opened
from router.cli.output import Json, fail, out, print_json, table, verb
from router.settings import Settings

app = typer.Typer(help="Policies and terms: their versions and texts.", no_args_is_help=True)
Series = Annotated[str, typer.Argument(help=f"One of {', '.join(SERIES)}.")]
VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="As 2026-03.")]


def _known(series: str) -> str:
    if series not in SERIES:
        raise Rejected(f"There is no series of that name: give one of {', '.join(SERIES)}.", field="series")
    return series


async def _seeded(stores: Stores) -> None:
    """A home that no service has run on yet has the versions that ship, too."""
    await versions.seed(stores.data, versions.shipped())


@app.command("history")
@verb()
def history(
    series: Annotated[str | None, typer.Argument(help="Of one series; default: of all.")] = None, as_json: Json = False
) -> None:
    """Every published version, the newest first, with its digest and its entry in the transparency log."""
    if series is not None:
        _known(series)

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            await _seeded(stores)
            rows = await versions.history(stores.data, series)
            return [_row(row, versions.current(rows, row.series) is row) for row in rows]

    table(asyncio.run(read()), as_json)


def _row(row: PolicyVersion, in_force: bool) -> dict[str, object]:
    return {
        "series": row.series,
        "version": row.version,
        "in_force": in_force,
        "effective": row.effective_on.isoformat(),
        "material": row.material,
        "summary": row.summary,
        "published": row.published_at.isoformat(timespec="seconds"),
        "published_by": row.published_by,
        "digest": row.digest,
        "evidence": str(row.entry_id),
    }


@app.command("export")
@verb()
def export(
    series: Series,
    version: VersionName,
    to: Annotated[Path, typer.Option("--out", help="Where the folder <series>/<version> is made.")],
    as_json: Json = False,
) -> None:
    """Write a version's folder, file by file as it was published; nothing that is there is written over."""

    async def read() -> Version:
        async with opened(Settings.load()) as stores:
            await _seeded(stores)
            return await versions.get(stores.data, _known(series), version)

    found = asyncio.run(read())
    folder = to / found.series / found.version
    try:
        folder.mkdir(parents=True)
        for name, data in found.files.items():
            (folder / name).write_bytes(data)
    except FileExistsError:
        raise Rejected(f"{folder} is there already.", field="out") from None
    except OSError:
        raise Rejected(f"{folder} can't be written.", field="out") from None
    if as_json:
        print_json({"folder": str(folder.absolute()), "digest": found.digest})
    else:
        out.print(f"{folder} has {len(found.files)} files, SHA-256 {found.digest}.", markup=False, soft_wrap=True)


@app.command("check")
@verb()
def check(
    folder: Annotated[Path, typer.Argument(help="A version's folder, …/<series>/<version>.")], as_json: Json = False
) -> None:
    """Say what keeps a version from being published, and what legal should know of its text. Exit 1 where something blocks."""

    async def read() -> frozenset[str]:
        async with opened(Settings.load()) as stores:
            return frozenset(registry(stores).ids)

    version = folders.read(folder)
    found = checks.check(version, datamap.registry(), asyncio.run(read()))
    if as_json:
        print_json(
            {
                "version": version.name,
                "digest": version.digest,
                "blocks": found.blocks,
                "without_control": found.without_control,
                "findings": [
                    {
                        "rule": each.rule, "sentence": each.sentence, "against": each.against, "what": each.what,
                        "source": each.source, "proposal": each.proposal,
                    }
                    for each in found.findings
                ],
            }
        )  # fmt: skip
    else:
        _print(version, found)
    if found.blocks:
        raise typer.Exit(1)


def _print(version: Version, found: checks.Checked) -> None:
    text = {sentence.id: sentence.text for section in version.sections for sentence in section.sentences}
    for each in found.blocks:
        out.print(f"BLOCKS  {each}", style="bold red", markup=False, soft_wrap=True)
    for finding in found.findings:
        where = f"{finding.sentence} against {finding.against}" if finding.against else finding.sentence
        out.print(f"{where}  {finding.what} ({finding.source})", style="bold", markup=False, soft_wrap=True)
        for name in (finding.sentence, finding.against):
            if name in text:
                out.print(f"  {name}: “{text[name]}”", markup=False, soft_wrap=True)
        out.print(f"  Consider: {finding.proposal}", markup=False, soft_wrap=True)
    if found.without_control:
        out.print(f"No control yet: {', '.join(found.without_control)}.", markup=False, soft_wrap=True)
    blocked = f"{len(found.blocks)} things block" if found.blocks else "Nothing blocks"
    out.print(f"{version.name}: {blocked}; {len(found.findings)} findings about the text.")


@app.command("diff")
@verb()
def diff(
    series: Series,
    since: Annotated[str, typer.Argument(help="The older version, as 2026-03.")],
    until: Annotated[str, typer.Argument(help="The newer one, or a version's folder.")],
    as_json: Json = False,
) -> None:
    """What changed between two versions, sentence by sentence; [-removed-] and {+added+} words."""

    async def read() -> tuple[Version, Version]:
        async with opened(Settings.load()) as stores:
            await _seeded(stores)
            old = await versions.get(stores.data, _known(series), since)
            try:
                return old, await versions.get(stores.data, series, until)
            except NotFound:
                return old, folders.read(Path(until))

    lines = [line for line in redline.between(*asyncio.run(read())) if line.changed]
    if as_json:
        print_json(
            [{"id": line.id, "pieces": [[piece.change.value, piece.text] for piece in line.pieces]} for line in lines]
        )
        return
    for line in lines:
        out.print(f"{line.id}  {_marked(line)}", markup=False, soft_wrap=True)
    if not lines:
        out.print("The texts are alike.")


def _marked(line: redline.Line) -> str:
    marks = {Change.SAME: "{}", Change.REMOVED: "[-{}-]", Change.ADDED: "{{+{}+}}"}
    return "".join(marks[piece.change].format(piece.text) for piece in line.pieces)


@app.command("show")
@verb()
def show(
    series: Series, version: Annotated[str | None, typer.Argument(help="Default: the one in force.")] = None
) -> None:
    """Print a version's text."""

    async def read() -> Version:
        async with opened(Settings.load()) as stores:
            await _seeded(stores)
            name = version
            if name is None:
                now = await versions.in_force(stores.data, _known(series))
                if now is None:
                    fail("No version is in force yet.")
                name = now.version
            return await versions.get(stores.data, _known(series), name)

    typer.echo(asyncio.run(read()).files[folders.TEXT].decode())
