"""`valueapi audit`: the transparency log, verified, listed, exported and witnessed."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.datamap import Store
from governance.errors import Conflict, Rejected
from governance.evidence import bundle, event_log, folder, own, pending, rebuild, verify, witness
from governance.evidence.entry import Entry, Opened
from governance.evidence.folder import LogFolder
from governance.evidence.note import NoteKey
from governance.evidence.verify import Report
from router.app.registers import REGISTERS
from router.app.stores import Stores, opened
from router.cli.output import Json, fail, out, print_json, table, verb
from router.settings import Settings
from router.surface import Exit

app = typer.Typer(help="The transparency log: what was done, provable to whoever trusts neither us nor our database.",
                  no_args_is_help=True)  # fmt: skip
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="The log's verifier key as you know it; default: the one beside the log, its own word."),
]
Witnesses = Annotated[list[str] | None, typer.Option("--witness", help="A witness's verifier key.")]
_CHECKPOINT_BYTES_MAX = 64 * 1024
_TRIES = 50
_TRY_S = 0.2


def _parsed(texts: list[str] | None) -> list[NoteKey]:
    return [NoteKey.parse(text) for text in texts or ()]


async def _given(stores: Stores, since: int = 0) -> list[Opened]:
    found = await pending.opened(Store.DATA, stores.data, since) + await pending.opened(
        Store.KEYS, stores.keys.db, since
    )
    return sorted(found, key=lambda each: each.position)


@app.command("verify")
@verb()
def verify_(
    path: Annotated[
        Path | None, typer.Argument(help="A log's folder, or a bundle; default: this home's log with its entries.")
    ] = None,
    key: Keys = None,
    witnesses: Witnesses = None,
    as_json: Json = False,
) -> None:
    """Check every entry, tile, checkpoint and signature, and say where something was changed."""
    keys, cosigners = _parsed(key), _parsed(witnesses)
    told: list[str] = []
    if path is None:
        report, told = asyncio.run(_home(keys, cosigners))
    elif path.is_dir():
        report = verify.folder(LogFolder(path), keys=keys, witnesses=cosigners)
    elif path.is_file():
        report = bundle.check(path.read_bytes(), keys=keys, witnesses=cosigners)
    else:
        raise Rejected(f"{path} is neither a folder nor a file.", field="path")
    _print(report, told, as_json, named=bool(keys) or path is None)


async def _home(keys: list[NoteKey], witnesses: list[NoteKey]) -> tuple[Report, list[str]]:
    """This home's log with the entries of its stores, and its event log against them."""
    async with opened(Settings.load()) as stores:
        report = await own.check(stores.log, REGISTERS, keys=keys, witnesses=witnesses)
        if report is None:
            fail("Nothing has been published yet.", Exit.INCOMPLETE)
        return report, await asyncio.to_thread(event_log.differences, stores.settings.log_folder, report.entries)


def _print(report: Report, told: list[str], as_json: bool, *, named: bool) -> None:
    ok = report.ok and not told
    found = {
        "ok": ok,
        "origin": report.origin,
        "keys": list(report.keys),
        "size": report.size,
        "checkpoints": report.checkpoints,
        "cosigned": report.cosigned,
        "opened": report.opened,
        "not_given": report.not_given,
        "lost": len(report.lost),
    }
    if as_json:
        print_json(found | {"findings": [asdict(each) for each in report.findings], "event_log": told})
    else:
        out.print(
            f"Log {report.origin}: {report.size} entries, {report.checkpoints} checkpoints ({report.cosigned} cosigned). "
            f"{report.opened} entries opened, {report.not_given} not given"
            + (f", {found['lost']} of them lost by a restore." if found["lost"] else "."),
            markup=False, soft_wrap=True,
        )  # fmt: skip
        if not named:
            out.print("Its key is its own word; name the one you know by --key.", markup=False, soft_wrap=True)
        for finding in report.findings:
            out.print(f"WRONG {finding.what}{_where(finding)}", markup=False, soft_wrap=True)
        for sentence in told:
            out.print(f"WRONG {sentence}", markup=False, soft_wrap=True)
    if not ok:
        fail("The transparency log isn't as it was published.")
    if not as_json:
        out.print("Everything fits.")


def _where(finding: verify.Finding) -> str:
    if finding.first is None or finding.end is None or finding.end == finding.first + 1:
        return ""
    return f" (positions {finding.first} to {finding.end - 1})"


@app.command("log")
@verb()
def log(
    limit: Annotated[int, typer.Option(min=1, help="How many of the last entries.")] = 20, as_json: Json = False
) -> None:
    """The last entries, the newest first; those without a position wait for the service."""

    async def read() -> list[dict[str, Any]]:
        async with opened(Settings.load()) as stores:
            entries = await pending.newest(Store.DATA, stores.data, limit)
            entries += await pending.newest(Store.KEYS, stores.keys.db, limit)
            waits = 1 << 62
            entries.sort(key=lambda each: (each[0] if each[0] is not None else waits, each[1].id), reverse=True)
            return [_row(position, entry) for position, entry in entries[:limit]]

    rows = asyncio.run(read())
    if not as_json:
        rows = [row | {"position": "waits" if row["position"] is None else row["position"]} for row in rows]
    shown = (
        rows if as_json else [row | {"detail": " ".join(f"{k}={v}" for k, v in row["detail"].items())} for row in rows]
    )
    table(shown, as_json)


def _row(position: int | None, entry: Entry) -> dict[str, Any]:
    return {
        "position": position,
        "time": entry.time.isoformat(timespec="seconds"),
        "type": entry.type.value,
        "subject": str(entry.subject) if entry.subject is not None else None,
        "detail": dict(entry.detail),
        "id": str(entry.id),
    }


@app.command("export")
@verb()
def export(
    file: Annotated[Path, typer.Option("--out", help="The bundle to write.")],
    since: Annotated[int, typer.Option(min=0, help="From this position on, for who has what came before.")] = 0,
    as_json: Json = False,
) -> None:
    """Write a bundle that anybody checks offline, with `audit verify` or docs/privacy/verify_log.py."""
    if not file.absolute().parent.is_dir() or file.is_symlink() or (file.exists() and not file.is_file()):
        raise Rejected("A bundle is a new file, or takes the place of one, in a folder that is there.", field="out")

    async def make() -> int:
        async with opened(Settings.load()) as stores:
            await _advanced(stores)
            given = await _given(stores, since)
            return await asyncio.to_thread(bundle.write, stores.log.folder, given, file, since)

    size = asyncio.run(make())
    if as_json:
        print_json({"file": str(file.absolute()), "since": since, "size": size})
    else:
        out.print(f"{file} holds the log from {since} to {size}.", markup=False, soft_wrap=True)


async def _advanced(stores: Stores) -> None:
    """What is pending is in the log. Raises Conflict where another process keeps writing."""
    for _ in range(_TRIES):
        if await stores.log.advance() is not None:
            return
        await asyncio.sleep(_TRY_S)
    raise Conflict("Another process is writing to the transparency log: try again.")


@app.command("rebuild")
@verb()
def rebuild_(
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint that somebody outside has kept: nothing may contradict it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the log's folder again out of the stores' entries, where it was lost or put back from an old copy."""
    try:
        known = _head_of(checkpoint) if checkpoint is not None else None
    except OSError:
        raise Rejected("The checkpoint can't be read.", field="checkpoint") from None

    async def make() -> tuple[int, int]:
        async with opened(Settings.load()) as stores:
            return await rebuild.rebuild(stores.log, known)

    before, size = asyncio.run(make())
    if as_json:
        print_json({"before": before, "size": size, "compared": known is not None})
        return
    out.print(f"The log's folder has {size} entries again; {size - before} were written anew.")
    if known is None:
        out.print(
            "Compare its checkpoint with one that somebody outside has kept: `audit rebuild --checkpoint` would have."
        )


def _head_of(file: Path) -> bytes:
    """Its first bytes: a checkpoint has no more."""
    with file.open("rb") as opened_file:
        return opened_file.read(_CHECKPOINT_BYTES_MAX)


@app.command("witness")
@verb()
def witness_(
    to: Annotated[Path | None, typer.Option("--folder", help="A folder outside our reach, for the checkpoint.")] = None,
    url: Annotated[str | None, typer.Option(help="A witness's submission prefix (c2sp.org/tlog-witness).")] = None,
    key: Annotated[str | None, typer.Option(help="With --url: the witness's verifier key.")] = None,
) -> None:
    """Leave the newest checkpoint with somebody else: who has it sees when the log is put back or rewritten."""
    if (to is None) == (url is None) or (url is None) != (key is None):
        raise Rejected("Name a --folder, or a --url with its --key.", field="folder")
    where = LogFolder(Settings.load().log_folder / folder.NAME)
    if to is not None:
        out.print(f"Left as {witness.to_folder(where, to)}.", markup=False, soft_wrap=True)
    elif url is not None and key is not None:
        head = asyncio.run(witness.ask(where, url, NoteKey.parse(key)))
        out.print(f"The checkpoint of {head.size} entries is cosigned.")
