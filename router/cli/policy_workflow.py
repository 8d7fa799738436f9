"""`valueapi policy draft|import|drafts|submit|approve|publish|withdraw`: from a draft to a published version, by two people."""

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from governance import clock, datamap
from governance.controls.control import Outcome
from governance.datamap import DataUse
from governance.errors import Rejected
from governance.period import Period
from governance.vault.blind_index import EmailIndex
from governance.vault.purpose import Actor, stating
from policies import check as checks
from policies import drafts, promises, versions
from policies import version as folders
from policies.version import TEXT, Version
from router.accounts import sign_in
from router.accounts.desk import Desk, Links
from router.accounts.passwords import Passwords
from router.accounts.roles import Role
from router.app.controls import kept, registry
from router.app.stores import Stores, opened
from router.cli.output import Json, fail, out, print_json, table, verb
from router.cli.policy_folder import known_series, seeded, write_folder
from router.settings import Settings

app = typer.Typer()
_LAWYERS = (Role.LEGAL, Role.PRIVACY_OFFICER)
Series = Annotated[str, typer.Argument(help="The series, as privacy or terms.")]
VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="As 2027-01.")]
By = Annotated[
    str, typer.Option(help="Your e-mail address; your password is asked for. Roles: legal, privacy_officer.")
]
PasswordFile = Annotated[
    Path | None, typer.Option(help="A file whose first line is the password; - is standard input. For scripts.")
]


@app.command("draft")
@verb()
def draft(
    series: Series,
    version: VersionName,
    to: Annotated[Path, typer.Option("--out", help="Where the folder <series>/<version> is made.")],
) -> None:
    """Write a folder to begin a new version with: what is in force now, under the new name. Nothing is kept yet."""

    settings = Settings.load()

    async def read() -> Version:
        async with opened(settings) as stores:
            await seeded(stores)
            now = await versions.in_force(stores.data, known_series(series))
            if now is None:
                fail("No version of that series is in force: write its folder, and keep it by `policy import`.")
            return await versions.get(stores.data, series, now.version)

    if not folders.NAME.fullmatch(version):
        raise Rejected("A version is named by year and month, as 2027-01; day and number may follow.", field="version")
    found = asyncio.run(read())
    soon = _notice(settings).after(clock.now()).date()
    front = {"version": version, "effective": soon.isoformat(), "summary": "TO BE WRITTEN"}
    text = found.files[TEXT].decode()
    for name, value in front.items():
        text = re.sub(rf"^{name}: .*$", f"{name}: {value}", text, count=1, flags=re.MULTILINE)
    folder = write_folder(to / series / version, {**found.files, TEXT: text.encode()})
    out.print(
        f"{folder} is the version of {found.version} under a new name. Write in it; `policy check` says what is in the way, "
        "`policy import` keeps it.",
        markup=False, soft_wrap=True,
    )  # fmt: skip


@app.command("import")
@verb()
def import_(
    folder: Annotated[Path, typer.Argument(help="A version's folder, …/<series>/<version>.")],
    by: By,
    password_file: PasswordFile = None,
) -> None:
    """Keep a folder as the draft of its version, in the place of what was kept before. It may still be anything."""
    version = folders.read(folder)

    async def write(stores: Stores, who: UUID, _role: Role) -> None:
        await drafts.keep(stores.data, version, who)

    _as(by, password_file, write)
    out.print(f"{version.name} is kept as a draft, SHA-256 {version.digest}.", markup=False, soft_wrap=True)


@app.command("drafts")
@verb()
def drafts_(as_json: Json = False) -> None:
    """Every draft and how far it is, the last changed first."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            return [
                {
                    "series": each.series,
                    "version": each.version,
                    "stage": each.stage.value,
                    "changed": each.changed_at.isoformat(timespec="seconds"),
                    "reason": each.reason,
                    "digest": each.digest,
                }
                for each in await drafts.listed(stores.data)
            ]

    table(asyncio.run(read()), as_json)


@app.command("submit")
@verb()
def submit(series: Series, version: VersionName, by: By, password_file: PasswordFile = None) -> None:
    """Ask for approval of a draft, once nothing blocks it: what `policy check` says, and a promise without a passing control."""

    async def write(stores: Stores, who: UUID, _role: Role) -> list[str]:
        found = await drafts.get(stores.data, known_series(series), version)
        await seeded(stores)
        blocks = await _blocks(stores, found)
        if not blocks:
            await drafts.submit(stores.data, found, who, _notice(stores.settings))
        return blocks

    if blocks := _as(by, password_file, write):
        for each in blocks:
            out.print(f"BLOCKS  {each}", style="bold red", markup=False, soft_wrap=True)
        fail(f"{len(blocks)} things block: it stays a draft.")
    out.print("Submitted: somebody else reads it (`policy show --draft`, `policy diff --draft`) and approves it.")


@app.command("approve")
@verb()
def approve(
    series: Series,
    version: VersionName,
    by: By,
    digest: Annotated[
        str, typer.Option(help="SHA-256 of what you have read (`policy drafts`, `policy export --draft`).")
    ],
    password_file: PasswordFile = None,
) -> None:
    """Approve what was submitted; not by who wrote or submitted it."""

    async def write(stores: Stores, who: UUID, _role: Role) -> None:
        await drafts.approve(stores.data, known_series(series), version, digest, who)

    _as(by, password_file, write)
    out.print("Approved: `policy publish` makes it public.")


@app.command("publish")
@verb()
def publish(
    series: Series, version: VersionName, by: By, password_file: PasswordFile = None, as_json: Json = False
) -> None:
    """Publish what was approved: from now on it is readable at its address, and never changed."""

    async def write(stores: Stores, _who: UUID, role: Role) -> Version:
        await seeded(stores)
        found = await drafts.publish(stores.data, known_series(series), version, role.value, _notice(stores.settings))
        await stores.log.advance()
        return found

    found = _as(by, password_file, write)
    if as_json:
        print_json({"version": found.name, "digest": found.digest, "effective": found.effective.isoformat()})
    else:
        out.print(
            f"{found.name} is published and in force from {found.effective}. SHA-256 {found.digest}.",
            markup=False, soft_wrap=True,
        )  # fmt: skip


@app.command("withdraw")
@verb()
def withdraw(
    series: Series,
    version: VersionName,
    by: By,
    reason: Annotated[str, typer.Option(help="Why. Kept: name no person.")],
    password_file: PasswordFile = None,
) -> None:
    """Take back a draft that isn't published yet; it may be written anew."""

    async def write(stores: Stores, _who: UUID, _role: Role) -> None:
        await drafts.withdraw(stores.data, known_series(series), version, reason)

    _as(by, password_file, write)
    out.print("Withdrawn.")


def _as(by: str, password_file: Path | None, act: Callable[[Stores, UUID, Role], Coroutine[Any, Any, Any]]) -> Any:
    """What `act` returns, done as somebody of the staff who proves who they are. Raises SignInFailed, Rejected."""
    password = _password(password_file)

    async def work() -> Any:
        async with opened(Settings.load()) as stores:
            return await act(stores, *await _proved(stores, by, password))

    return asyncio.run(work())


async def _proved(stores: Stores, by: str, password: str) -> tuple[UUID, Role]:
    passwords = Passwords()
    try:
        links = Links(stores.settings.base_url())
        desk = Desk(stores.data, stores.keys, EmailIndex(stores.keys), passwords, links)
        with stating(Actor.PERSON, DataUse.AUTHENTICATION):
            who, role = await sign_in.who_is(desk, by, password)
    finally:
        passwords.close()
    if role not in _LAWYERS:
        raise Rejected(f"That takes a role of {' or '.join(_LAWYERS)}.", field="by")
    return who, role


def _password(file: Path | None) -> str:
    if file is None:
        return str(typer.prompt("Password", hide_input=True, err=True))
    try:
        with sys.stdin if str(file) == "-" else file.open() as lines:
            return lines.readline().rstrip("\n")
    except (OSError, UnicodeDecodeError):
        raise Rejected("The password file can't be read.", field="password_file") from None


async def _blocks(stores: Stores, version: Version) -> list[str]:
    """What is in the way of a submission."""
    controls = registry(stores)
    blocks = list(checks.check(version, datamap.registry(), controls.ids).blocks)
    if not blocks and version.series == "privacy":
        runs = await (await kept(stores)).judged()
        passing = {
            control.id
            for control in controls
            if (run := runs.get(control.id)) is not None
            and run.outcome is Outcome.PASSED
            and run.fresh(control.max_age)
        }
        blocks += promises.unshown(promises.of(version), passing)
    return blocks


def _notice(settings: Settings) -> Period:
    return Period.parse(settings.policy_notice)
