"""`valueapi doctor`: what is configured, what is missing, and how to mend it."""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from governance.backup import in_use
from governance.bodies import attestation, standing
from governance.bodies.confine import Kept
from governance.bodies.probe_run import CONTROL
from governance.datamap import Store, registry
from governance.db import Database
from governance.errors import ValueAPIError
from governance.evidence import folder
from governance.evidence.folder import LogFolder
from governance.period import Period
from governance.vault import event_signature
from governance.vault.keyrings import open_keyring
from governance.vault.keys import KeyStore
from policies import retention
from router.app import confinement, confinement_left, figures, setup
from router.cli.output import Json, out, print_json, table, verb
from router.gateway.ratelimit import Tiers
from router.migrations import version
from router.providers.catalog import Catalog
from router.settings import Settings
from router.surface import Exit

Row = dict[str, object]


def _row(what: str, ok: bool, found: str, mend: str = "") -> Row:
    return {"check": what, "ok": ok, "found": found, "mend": "" if ok else mend}


async def _stores(settings: Settings) -> list[Row]:
    rows = []
    for store, url in ((Store.DATA, settings.data_store()), (Store.KEYS, settings.key_store())):
        kind = "SQLite file" if url.startswith("sqlite") else "PostgreSQL"
        database = Database(url) if not url.startswith("sqlite") or _exists(url) else None
        if database is None:
            rows.append(_row(f"{store.value} store", False, f"{kind}: not there", "run `valueapi migrate`"))
            continue
        try:
            old = await version.pending(database, store)
            rows.append(
                _row(f"{store.value} store", not old, f"{kind}: {'older than this program' if old else 'current'}",
                     "run `valueapi migrate`")
            )  # fmt: skip
        except Exception as error:
            mend = "start the database, or correct its URL"
            rows.append(_row(f"{store.value} store", False, f"{kind}: {type(error).__name__}", mend))
        finally:
            await database.aclose()
    return rows


def _data_is_there(settings: Settings) -> bool:
    url = settings.data_store()
    return not url.startswith("sqlite") or _exists(url)


def _exists(url: str) -> bool:
    return Path(url.split(":///", 1)[1]).is_file()


async def _keyring(settings: Settings) -> Row:
    kind = settings.keyring.partition(":")[0]
    try:
        keyring = await open_keyring(settings)
        try:
            number = len(await keyring.root_ids())
        finally:
            await keyring.aclose()
    except ValueAPIError as error:
        mend = "run `valueapi migrate`, or put right what VALUEAPI_KEYRING names"
        return _row("root key", False, f"keyring {kind}: {error}", mend)
    return _row("root key", True, f"keyring {kind}: reached, {number} root key{'s' if number != 1 else ''}")


def _declarations() -> Row:
    try:
        retention.load().check(registry())
    except ValueAPIError as error:
        return _row("declarations", False, str(error), "declare the column, or add the rule")
    return _row("declarations", True, f"{len(list(registry()))} columns match the retention schedule")


def _providers(settings: Settings) -> list[Row]:
    try:
        catalog = Catalog.load(
            settings.providers,
            production=settings.production,
            allow_insecure=settings.allow_insecure_upstreams,
            simulator_url=None,
        )
        Tiers.load(settings.tiers)
    except ValueAPIError as error:
        return [_row("providers", False, str(error), "correct the file")]
    active = [provider.id for provider in catalog.providers if provider.active]
    inactive = [f"{p.id}: {p.inactive}" for p in catalog.providers if not p.active and not p.simulator]
    simulated = not settings.production and settings.simulator != "off"
    found = f"active: {', '.join(active) or 'none'}" + (
        "; simulator in development" if not active and simulated else ""
    )
    mend = "set a provider's key: " + "; ".join(inactive)
    unknown = [provider.id for provider in catalog.providers if provider.active and not provider.data_policy.known]
    rows = [_row("providers", bool(active) or simulated, found, mend)]
    if unknown:
        mend = "declare their data policy for the host and credential in use, or expect requests that deny to fail"
        rows.append(_row("data policies", False, f"unknown: {', '.join(unknown)}", mend))
    return rows


def _mail(settings: Settings) -> Row:
    if settings.mailgun_key is not None:
        return _row("mail", True, "Mailgun")
    mend = "set VALUEAPI_MAILGUN_KEY and VALUEAPI_MAILGUN_DOMAIN; until then read mails with `valueapi outbox`"
    return _row("mail", not settings.production, "outbox only: mails stay sealed until they are read", mend)


def _transport(settings: Settings) -> Row:
    local = settings.host in ("127.0.0.1", "::1", "localhost")
    found = "TLS" if settings.tls_cert else "plain http on this machine" if local else "plain http on a network address"
    mend = "set VALUEAPI_TLS_CERT and VALUEAPI_TLS_KEY, or listen on 127.0.0.1 behind a proxy that speaks TLS"
    return _row("transport", bool(settings.tls_cert) or local, found, mend)


def _events(settings: Settings) -> Row:
    if not (settings.log_folder / event_signature.PUBLIC).is_file():
        return _row("event log", True, "nothing signed yet")
    told = event_signature.verify(settings.log_folder)
    found = f"{told.signed} lines signed, {told.unsigned} unsigned, {told.broken} altered"
    return _row("event log", told.broken == 0, found, "somebody changed the log: compare it with a copy")


def _confinement(settings: Settings) -> list[Row]:
    """A row a measure, as the running processes found them when they tried; those that are held alike share their words."""
    running = confinement_left.left(settings.run_folder)
    if not running:
        return [_row("confinement", True, "the service isn't running")]
    rows = []
    for name in Kept:
        measures = [measure for one in running for measure in one.measures if measure.name is name]
        held = all(measure.held for measure in measures)
        told = Counter(f"{'held' if measure.held else 'NOT held'}: {measure.detail}" for measure in measures)
        found = "; ".join(f"{words} ({number} of {len(running)} processes)" for words, number in told.items())
        # What a machine for development has as swap is no fault of its set-up; it is said all the same.
        ok = held or (name is Kept.SWAP and not settings.production)
        mend = next((measure.mend for measure in measures if not measure.held), "")
        rows.append(_row(f"confinement: {name.replace('_', ' ')}", ok, found, mend))
    return rows


def _layers(settings: Settings) -> list[Row]:
    """Whether the guard and the watch are on: in the running processes, and by the settings of this command."""
    running, by_settings = confinement_left.turned_off(settings.run_folder), confinement.turned_off(settings)
    rows = []
    for name, what, mend in (
        (confinement.GUARD, "body guard", "set VALUEAPI_BODY_GUARD=true and start again"),
        (confinement.WRITE_WATCH, "write watch", "set VALUEAPI_WRITE_WATCH=record or strict and start again"),
    ):
        found = f"off in {running[name]} running processes" if running[name] else "off by the settings"
        ok = not running[name] and name not in by_settings
        rows.append(_row(what, ok, "on" if ok else found, "" if ok else mend))
    return rows


async def _bodies(settings: Settings) -> Row:
    """How the control stands, as a serving process of this program would see it."""
    database, keys = Database(settings.data_store()), Database(settings.key_store())
    try:
        keyring = await open_keyring(settings)
        try:
            signer = await attestation.checker(KeyStore(keys, keyring))
        finally:
            await keyring.aclose()
        now = await standing.read(database, signer, setup.running(settings), Period.parse(settings.self_probe_max_age))
    except Exception as error:
        return _row(CONTROL, False, type(error).__name__, "start the database, or run `valueapi migrate`")
    finally:
        await database.aclose()
        await keys.aclose()
    age = f"; last probe: {now.verdict}, {now.age_seconds} seconds ago" if now.verdict is not None else ""
    mend = (
        "find out where the content came from (`valueapi incidents list --open`), and acknowledge the incident"
        if now.state == "red"
        else "let the service run, or probe it now: `valueapi jobs run self-probe`"
    )
    # While developing nothing has to be proven yet; a leak is one anywhere.
    ok = now.stands or not (settings.production or now.state == "red")
    return _row(CONTROL, ok, f"{now.state}: {now.why}{age}", mend)


def _transparency(settings: Settings) -> Row:
    where = LogFolder(settings.log_folder / folder.NAME)
    try:
        latest = where.latest()
    except ValueAPIError as error:
        return _row("transparency log", False, str(error), "run `valueapi audit verify`")
    if latest is None:
        return _row("transparency log", True, "nothing published yet")
    return _row("transparency log", True, f"{latest[0].size} entries as {latest[0].origin}")


def _places(settings: Settings) -> dict[str, object]:
    """Where a process of this home may write, and which processes may: all of them, and which one only starts others."""
    processes = in_use.holders(settings.run_folder)
    transparency = settings.log_folder / folder.NAME
    writable = (
        *settings.writable_folders(),
        transparency,
        *sorted(path for path in transparency.rglob("*") if path.is_dir()),
        settings.data_folder / "journal",
        confinement_left.folder(settings.run_folder),
        *figures.folders(settings.run_folder),
    )
    return {
        "home": str(settings.home.absolute()),
        "log_target": "standard output",
        "temporary_folder": tempfile.gettempdir(),
        "writable_folders": [str(folder.absolute()) for folder in writable],
        "process_ids": processes,
        "supervisor_process_id": _supervisor(processes),
        "python": sys.version.split()[0],
    }


def _supervisor(processes: list[int]) -> int | None:
    """The one that started workers: it serves nothing, and restarts those that die."""
    parents = {_parent(process) for process in processes if _is_worker(process)}
    return next((process for process in processes if process in parents), None)


def _is_worker(process: int) -> bool:
    try:
        return b"router.app.worker" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _parent(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])  # proc_pid_stat(5)
    except OSError:
        return None


@verb()
def doctor(
    settings_list: Annotated[bool, typer.Option("--settings", help="List every setting with its meaning.")] = False,
    as_json: Json = False,
) -> None:
    """What is configured, what is missing, and how to mend it."""
    if settings_list:
        listed: list[Row] = [
            {"setting": f"VALUEAPI_{name.upper()}", "default": str(field.default), "meaning": field.description or ""}
            for name, field in Settings.model_fields.items()
        ]
        table(listed, as_json)
        return
    settings = Settings.load()
    rows = [
        _row("mode", True, settings.mode),
        asyncio.run(_keyring(settings)),
        *asyncio.run(_stores(settings)),
        _declarations(),
        *_providers(settings),
        _mail(settings),
        _transport(settings),
        _events(settings),
        *_confinement(settings),
        *_layers(settings),
        *([asyncio.run(_bodies(settings))] if _data_is_there(settings) else []),
        _transparency(settings),
    ]
    bad = [row for row in rows if not row["ok"]]
    places = _places(settings)
    if as_json:
        print_json({"ok": not bad, "checks": rows, **places})
    else:
        table(rows, False)
        out.print(f"State lies under {places['home']}; logs go to {places['log_target']}.", markup=False)
    raise typer.Exit(Exit.FAILED if bad else Exit.OK)
