"""`valueapi probe`: sends canaries through a gateway, ours or any, and looks for them wherever bytes came to rest."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from governance.bodies.verdict import Verdict
from governance.errors import ConfigurationError, ValueAPIError
from router.app.probe_process import EXIT
from router.app.stores import opened
from router.cli import probe_self, probe_shown
from router.cli.output import Json, err, print_json, verb
from router.probe import evidence, run
from router.probe.case import Credential, Headers, only
from router.probe.cases.lanes import lanes
from router.probe.result import Result
from router.probe.target import Target
from router.settings import Settings
from router.surface import Dialect


@verb()
def probe(
    self_: Annotated[bool, typer.Option("--self", help="The running service of this home, with few cases.")] = False,
    workers: Annotated[int, typer.Option(help="Own instance: its serving processes.", min=1, max=64)] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Own instance: leave its home where it is.")] = False,
    gateway: Annotated[str | None, typer.Option(help="Probe this gateway instead: its URL.")] = None,
    upstream_port: Annotated[
        int | None, typer.Option(help="Gateway: the port of this machine that its upstream was set to.")
    ] = None,
    key_env: Annotated[str | None, typer.Option(help="Gateway: environment variable that holds an API key.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="Gateway: file that holds an API key.")] = None,
    wire: Annotated[list[Dialect] | None, typer.Option(help="Gateway: wires that it speaks; default openai.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Gateway: models to ask for, NAME or WIRE=NAME.")] = None,
    header: Annotated[list[str] | None, typer.Option(help="Gateway: NAME: VALUE, sent with every request.")] = None,
    pid: Annotated[list[int] | None, typer.Option(help="Gateway: its processes.")] = None,
    look: Annotated[list[Path] | None, typer.Option(help="Gateway: files and folders that it writes.")] = None,
    log: Annotated[list[Path] | None, typer.Option(help="Gateway: what it prints.")] = None,
    postgres: Annotated[
        str | None, typer.Option(help="Its database by SQL; own instance: a server for scratch databases.")
    ] = None,
    postgres_data: Annotated[Path | None, typer.Option(help="The PostgreSQL server's data directory.")] = None,
    redis: Annotated[str | None, typer.Option(help="Its Redis or Valkey.")] = None,
    shared_places: Annotated[
        bool, typer.Option(help="Look at /dev/shm, temp folders and core dump places, at what changed since the start.")
    ] = True,
    settle: Annotated[
        float | None,
        typer.Option(
            help="Seconds to wait after the last request for what is written late; gateway: 10, own instance: 0.",
            min=0.0,
            max=3600.0,
        ),
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Follow write calls with strace.")] = False,
    only_: Annotated[list[str] | None, typer.Option("--only", help="Only cases whose name holds this.")] = None,
    as_json: Json = False,
) -> None:
    """Does anything of a prompt or completion come to rest? Exit 0: no, 1: it leaks, 2: the run is void."""
    if self_:
        raise typer.Exit(EXIT[Verdict(probe_self.run(as_json))])
    options = run.Options(
        postgres=postgres,
        postgres_data=(postgres_data,) if postgres_data is not None else (),
        redis=redis,
        shared=shared_places,
        trace=trace,
        cases=only(only_) if only_ else run.Options().cases,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it still ends what it started
    with _progress() as progress:
        if gateway is None:
            result = asyncio.run(
                run.probe_own(options, workers=workers, keep=keep, settles_s=settle or 0.0, progress=progress)
            )
        else:
            if upstream_port is None:
                raise ConfigurationError("--gateway needs --upstream-port: where the gateway's upstream was set to.")
            target = Target(
                url=gateway,
                lanes=tuple(
                    lane
                    for each in wire or [Dialect.OPENAI]
                    for name in _models(each, model)
                    for lane in lanes(each, name)
                ),
                keys={Credential.GOOD: _key(key_env, key_file)},
                headers=_headers(header or []),
                pids=tuple(pid or ()),
                look=(*(look or ()), *(log or ())),
                postgres=(postgres,) if postgres else (),
                redis=(redis,) if redis else (),
            )
            settles_s = run.SETTLES_S if settle is None else settle
            result = asyncio.run(
                run.probe_target(target, options, upstream_port=upstream_port, settles_s=settles_s, progress=progress)
            )
    if gateway is None:  # what is known of another's gateway is no evidence about ours
        _record(result, sample=bool(only_))
    if as_json:
        print_json(result.as_json())
    else:
        probe_shown.show(result)
    raise typer.Exit(EXIT[result.verdict])


def _key(name: str | None, file: Path | None) -> str:
    if (name is None) == (file is None):
        raise ConfigurationError("--gateway needs one of --key-env and --key-file.")
    try:
        key = os.environ.get(name, "") if name is not None else file.read_text() if file is not None else ""
    except OSError:
        raise ConfigurationError("The file of --key-file can't be read.") from None
    if not key.strip():
        raise ConfigurationError("The API key is empty: set the variable of --key-env, or fill the file of --key-file.")
    return key.strip()


def _models(wire: Dialect, given: list[str] | None) -> list[str]:
    """Models for this wire: those that name it, and those that name none."""
    wires = {each.value for each in Dialect}
    named = [name.partition("=") for name in given or []]
    found = [rest if head == wire else whole for whole, (head, _, rest) in zip(given or [], named, strict=True)
             if head == wire or head not in wires]  # fmt: skip
    if not found:
        raise ConfigurationError(f"--gateway needs a --model for the {wire} wire.")
    return found


def _headers(given: list[str]) -> Headers:
    pairs = [text.partition(":") for text in given]
    if not all(colon and name.strip() for name, colon, _ in pairs):
        raise ConfigurationError("--header takes NAME: VALUE.")
    return tuple((name.strip().encode(), value.strip().encode()) for name, _, value in pairs)


def _record(result: Result, *, sample: bool) -> None:
    """Leave evidence in the operator's own home, where there is one."""

    async def leave(settings: Settings) -> None:
        async with opened(settings):
            await evidence.record(result, sample=sample)

    try:
        settings = Settings.load()
        if not settings.log_folder.is_dir():
            return
        asyncio.run(leave(settings))
    except ValueAPIError as error:
        err.print(f"The result isn't in the event log: {error}", style="yellow", markup=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[run.Progress]:
    """One bar a stage on standard error."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def told(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bars.update(task, total=1, completed=1)
                tasks[stage] = bars.add_task(stage, total=total, shown="")
            shown = f"{done}/{total}" if total else f"{done // 2**20} MB" if done else ""
            bars.update(tasks[stage], completed=done, total=total, shown=shown)

        yield told
        for task in tasks.values():
            bars.update(task, total=1, completed=1)
