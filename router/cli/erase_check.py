"""`valueapi erase-check`: tries today's keys on an old copy of the data."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from governance.backup import read
from governance.backup.erase_check import EraseCheck, check, wanted
from governance.backup.opener import KeyOpener
from governance.datamap import Base
from governance.vault.purpose import Bulk
from policies import retention
from router.app.stores import opened
from router.cli.output import Json, fail, out, print_json, table, verb
from router.settings import Settings
from router.surface import Exit


@verb(bulk=Bulk.CHECK)
def erase_check(
    backup: Annotated[Path, typer.Option(help="An old copy of the data store: a backup, or a raw SQLite file.")],
    subject: Annotated[UUID | None, typer.Option(help="Look at one subject alone.")] = None,
    as_json: Json = False,
) -> None:
    """What of an erased subject or an expired period an old copy of the data can still give away: nothing."""

    async def run() -> EraseCheck:
        settings = Settings.load()
        async with opened(settings) as stores:
            opener = KeyOpener(stores.keys, stores.data, retention.load().limits())
            with read.opened(backup, settings.run_folder) as copy:
                findings = await check(copy.rows(wanted()), opener, subject_id=subject)
                unknown = sorted(copy.tables() - Base.metadata.tables.keys() - {"alembic_version"})
        return EraseCheck(findings, unknown)

    result = asyncio.run(run())
    findings = [asdict(finding) for finding in result.findings]
    if as_json:
        print_json({"ok": result.ok, "findings": findings, "unknown_tables": result.unknown_tables})
    else:
        table(findings, False)
    opened_count = sum(finding.of_erased_opened for finding in result.findings)
    gone_count = sum(finding.of_erased for finding in result.findings)
    if not result.ok:
        fail(f"{opened_count} values of erased subjects or expired periods can still be opened.")
    if result.unknown_tables:
        fail(f"Not looked into, since nobody declares them: {', '.join(result.unknown_tables)}.", Exit.INCOMPLETE)
    if not as_json:
        kept = sum(finding.of_kept_opened for finding in result.findings)
        out.print(f"{gone_count} values of erased subjects or expired periods; nothing of them can be opened.")
        out.print(f"{kept} values of erased subjects are kept under a legal basis and open for that alone.")
