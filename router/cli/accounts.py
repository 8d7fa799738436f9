"""`valueapi accounts`: accounts, people, API keys and Credits. Lists name nobody; an address is opened one at a time."""

import asyncio
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from governance.datamap import DataUse
from governance.errors import NotFound, Rejected
from governance.vault.blind_index import EmailIndex
from router.accounts import account, person
from router.accounts.api_key import ApiKeys
from router.accounts.desk import Links
from router.accounts.first_run import remove_first_run
from router.accounts.roles import Role
from router.app.stores import Stores, opened
from router.app.top_up import top_up
from router.billing import ledger
from router.cli.output import Json, out, print_json, table, verb
from router.settings import Settings

app = typer.Typer(help="Accounts, people, API keys and Credits.", no_args_is_help=True)
keys_app = typer.Typer(help="API keys of an account.", no_args_is_help=True)
app.add_typer(keys_app, name="api-keys")
AccountId = Annotated[UUID, typer.Argument(help="The account's id.")]


def _api_keys(stores: Stores) -> ApiKeys:
    return ApiKeys(stores.data, stores.keys, Links(stores.settings.base_url()), bump=stores.shared.bump)


@app.command("list")
@verb()
def list_(as_json: Json = False) -> None:
    """Every account with its tier, people by role, and balance in micro-credits."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            roles: dict[UUID, list[str]] = {}
            for one in await person.list_people(stores.data):
                roles.setdefault(one.account_id, []).append(one.role)
            listed = await account.list_accounts(stores.data)
            async with stores.data.session(DataUse.PAYMENT) as session:
                balances = {row.id: await ledger.balance(session, row.id) for row in listed}
        return [
            {
                "id": str(row.id),
                "tier": row.tier,
                "roles": roles.get(row.id, []),
                "balance_microcredits": balances[row.id],
                "created": row.created_at.date().isoformat(),
                "closed": row.closed_at is not None,
                "first_run": row.first_run,
                "kind": row.kind,
            }
            for row in listed
        ]

    table(asyncio.run(read()), as_json)


@app.command("find")
@verb()
def find(email: Annotated[str, typer.Argument(help="The person's e-mail address.")], as_json: Json = False) -> None:
    """The account of the person with this address, found by blind index."""

    async def read() -> dict[str, object]:
        async with opened(Settings.load()) as stores:
            subject_id = await EmailIndex(stores.keys).find(email)
            async with stores.data.session(DataUse.SUPPORT) as session:
                row = await person.person_of(session, subject_id) if subject_id is not None else None
            if row is None:
                raise NotFound("Nobody here has this address.")
            return {"account_id": str(row.account_id), "subject_id": str(row.subject_id), "role": row.role}

    found = asyncio.run(read())
    table([found], False) if not as_json else print_json(found)


@app.command("credit")
@verb()
def credit(
    account_id: AccountId,
    credits_: Annotated[int, typer.Argument(metavar="CREDITS", help="Whole Credits to add.", min=1)],
    key: Annotated[str, typer.Option(help="Idempotency key: the same key adds nothing twice.")],
    demo: Annotated[bool, typer.Option(help="A gift; it doesn't count towards the tier.")] = False,
) -> None:
    """Add Credits to an account, once per key; paid ones count towards its tier."""

    async def add() -> bool:
        async with opened(Settings.load()) as stores:
            return await top_up(stores, account_id, credits_ * ledger.CREDIT, f"cli:{key}", demo=demo)

    out.print(f"Added {credits_} Credits." if asyncio.run(add()) else "This key was used already: nothing was added.")


@app.command("tier")
@verb()
def tier(account_id: AccountId, name: Annotated[str, typer.Argument(help="A tier of the limits file.")]) -> None:
    """Move an account to another tier of rate limits."""
    from router.gateway.ratelimit import Tiers

    async def move() -> None:
        settings = Settings.load()
        if name not in {known.name for known in Tiers.load(settings.tiers)}:
            raise Rejected("The limits file has no tier of that name.", field="tier")
        async with opened(settings) as stores:
            await account.set_tier(stores.data, account_id, name, bump=stores.shared.bump)

    asyncio.run(move())
    out.print("Moved; it holds at once.")


@app.command("role")
@verb()
def role(
    subject_id: Annotated[UUID, typer.Argument(help="The person's subject id (`accounts find`).")],
    name: Annotated[Role, typer.Argument(help="The new role.")],
) -> None:
    """Give a person another role."""

    async def change() -> None:
        async with opened(Settings.load()) as stores:
            await person.set_role(stores.data, subject_id, name, bump=stores.shared.bump)

    asyncio.run(change())
    out.print("Changed; it holds at once.")


@app.command("close")
@verb()
def close(account_id: AccountId) -> None:
    """Close an account: its keys are refused from now on, and nobody signs in to it."""

    async def end() -> None:
        async with opened(Settings.load()) as stores:
            await account.close_account(stores.data, account_id, bump=stores.shared.bump)

    asyncio.run(end())
    out.print("Closed.")


@app.command("remove-first-run")
@verb()
def remove_first() -> None:
    """Remove first-run people who still have their first password, with their keys; production needs that."""

    async def remove() -> int:
        settings = Settings.load()
        async with opened(settings) as stores:
            removed = await remove_first_run(stores.data, stores.keys)
            stores.shared.bump()
        (settings.home / "first-run.json").unlink(missing_ok=True)
        return removed

    out.print(f"Removed {asyncio.run(remove())} people.")


@keys_app.command("list")
@verb()
def list_keys(account_id: AccountId, as_json: Json = False) -> None:
    """The account's keys: prefix and dates. Names are the person's own and stay sealed here."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            return [
                {name: value for name, value in asdict(view).items() if name not in ("name",)}
                for view in await _api_keys(stores).list(account_id, names=False)
            ]

    table(asyncio.run(read()), as_json)


@keys_app.command("create")
@verb(DataUse.NOTICES)
def create_key(
    subject_id: Annotated[UUID, typer.Argument(help="The person's subject id (`accounts find`).")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "Made by an operator",
    as_json: Json = False,
) -> None:
    """Make a key for a person; it is shown this once."""

    async def make() -> tuple[UUID, str]:
        async with opened(Settings.load()) as stores:
            async with stores.data.session(DataUse.SERVICE) as session:
                row = await person.person_of(session, subject_id)
            if row is None:
                raise NotFound("There is no such person.")
            made = await _api_keys(stores).create(row.account_id, subject_id, name)
            return made.id, made.secret

    key_id, secret = asyncio.run(make())
    if as_json:
        print_json({"id": str(key_id), "api_key": secret})
    else:
        out.print(f"{secret}\nIt is shown this once.", markup=False, soft_wrap=True)


@keys_app.command("revoke")
@verb()
def revoke_key(account_id: AccountId, key_id: Annotated[UUID, typer.Argument(help="The key's id.")]) -> None:
    """Refuse a key from now on, in every process."""

    async def revoke() -> None:
        async with opened(Settings.load()) as stores:
            await _api_keys(stores).revoke(account_id, key_id)

    asyncio.run(revoke())
    out.print("Revoked; it is refused at once.")
