"""`valueapi policy`: versions of policies and terms, checked, compared, exported and listed."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from governance import datamap
from governance.errors import NotFound
from policies import announcements, redline, versions
from policies import check as checks
from policies import version as folders
from policies.announcements import PolicyAnnouncement
from policies.redline import Change
from policies.version import SERIES, Version
from policies.versions import PolicyVersion
from router.app.controls import registry
from router.app.stores import opened
from router.cli import policy_workflow
from router.cli.output import Json, fail, out, print_json, table, verb
from router.cli.policy_folder import found, known_series, seeded, write_folder
from router.settings import Settings

app = typer.Typer(help="Policies and terms: their versions and texts.", no_args_is_help=True)
app.add_typer(policy_workflow.app)
Series = Annotated[str, typer.Argument(help=f"One of {', '.join(SERIES)}.")]
Draft = Annotated[bool, typer.Option("--draft", help="The draft of that name, as it is kept (`policy drafts`).")]
VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="As 2026-03.")]


@app.command("history")
@verb()
def history(
    series: Annotated[str | None, typer.Argument(help="Of one series; default: of all.")] = None, as_json: Json = False
) -> None:
    """Every published version, the newest first, with its digest and its entry in the transparency log."""
    if series is not None:
        known_series(series)

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            await seeded(stores)
            rows = await versions.history(stores.data, series)
            told = await announcements.told(stores.data)
            return [_row(row, versions.current(rows, row.series) is row, told.get(row.id)) for row in rows]

    table(asyncio.run(read()), as_json)


def _row(row: PolicyVersion, in_force: bool, told: PolicyAnnouncement | None) -> dict[str, object]:
    return {
        "series": row.series,
        "version": row.version,
        "in_force": in_force,
        "effective": row.effective_on.isoformat(),
        "material": row.material,
        "summary": row.summary,
        "published": row.published_at.isoformat(timespec="seconds"),
        "published_by": row.published_by,
        "told": told.told if told is not None else None,
        "digest": row.digest,
        "evidence": str(row.entry_id),
    }


@app.command("export")
@verb()
def export(
    series: Series,
    version: VersionName,
    to: Annotated[Path, typer.Option("--out", help="Where the folder <series>/<version> is made.")],
    draft: Draft = False,
    as_json: Json = False,
) -> None:
    """Write a version's folder, file by file as it was published; nothing that is there is written over."""
    read = asyncio.run(_read(series, version, draft=draft))
    folder = write_folder(to / read.series / read.version, read.files)
    if as_json:
        print_json({"folder": str(folder.absolute()), "digest": read.digest})
    else:
        out.print(f"{folder} has {len(read.files)} files, SHA-256 {read.digest}.", markup=False, soft_wrap=True)


async def _read(series: str, version: str, *, draft: bool) -> Version:
    async with opened(Settings.load()) as stores:
        return await found(stores, series, version, draft=draft)


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
    checked = checks.check(version, datamap.registry(), asyncio.run(read()))
    if as_json:
        print_json(
            {
                "version": version.name,
                "digest": version.digest,
                "blocks": checked.blocks,
                "without_control": checked.without_control,
                "findings": [
                    {
                        "rule": each.rule, "sentence": each.sentence, "against": each.against, "what": each.what,
                        "source": each.source, "proposal": each.proposal,
                    }
                    for each in checked.findings
                ],
            }
        )  # fmt: skip
    else:
        _print(version, checked)
    if checked.blocks:
        raise typer.Exit(1)


def _print(version: Version, checked: checks.Checked) -> None:
    text = {sentence.id: sentence.text for section in version.sections for sentence in section.sentences}
    for each in checked.blocks:
        out.print(f"BLOCKS  {each}", style="bold red", markup=False, soft_wrap=True)
    for finding in checked.findings:
        where = f"{finding.sentence} against {finding.against}" if finding.against else finding.sentence
        out.print(f"{where}  {finding.what} ({finding.source})", style="bold", markup=False, soft_wrap=True)
        for name in (finding.sentence, finding.against):
            if name in text:
                out.print(f"  {name}: “{text[name]}”", markup=False, soft_wrap=True)
        out.print(f"  Consider: {finding.proposal}", markup=False, soft_wrap=True)
    if checked.without_control:
        out.print(f"No control yet: {', '.join(checked.without_control)}.", markup=False, soft_wrap=True)
    blocked = f"{len(checked.blocks)} things block" if checked.blocks else "Nothing blocks"
    out.print(f"{version.name}: {blocked}; {len(checked.findings)} findings about the text.")


@app.command("diff")
@verb()
def diff(
    series: Series,
    since: Annotated[str, typer.Argument(help="The older version, as 2026-03.")],
    until: Annotated[str, typer.Argument(help="The newer one, or a version's folder.")],
    draft: Draft = False,
    as_json: Json = False,
) -> None:
    """What changed between two versions, sentence by sentence; [-removed-] and {+added+} words."""

    async def read() -> tuple[Version, Version]:
        async with opened(Settings.load()) as stores:
            old = await found(stores, series, since, draft=False)
            try:
                return old, await found(stores, series, until, draft=draft)
            except NotFound:
                if draft:
                    raise
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
    series: Series,
    version: Annotated[str | None, typer.Argument(help="Default: the one in force.")] = None,
    draft: Draft = False,
) -> None:
    """Print a version's text."""

    async def read() -> Version:
        async with opened(Settings.load()) as stores:
            name = version
            if name is None:
                await seeded(stores)
                now = await versions.in_force(stores.data, known_series(series))
                if now is None:
                    fail("No version is in force yet.")
                name = now.version
            return await found(stores, series, name, draft=draft)

    typer.echo(asyncio.run(read()).files[folders.TEXT].decode())
