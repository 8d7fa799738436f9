"""`valueapi outbox`: mails that wait or were sent. Without Mailgun credentials this is where people read them."""

import asyncio
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from governance.datamap import DataUse
from governance.mail import outbox
from router.app.stores import opened
from router.cli.output import Json, out, print_json, table, verb
from router.settings import Settings

app = typer.Typer(help="Mails, sealed at rest.", no_args_is_help=True)


@app.command("list")
@verb()
def list_(as_json: Json = False) -> None:
    """The newest mails, sealed parts left closed."""

    async def read() -> list[dict[str, object]]:
        async with opened(Settings.load()) as stores:
            return [asdict(entry) for entry in await outbox.list_outbox(stores.data)]

    table(asyncio.run(read()), as_json)


@app.command("show")
@verb(DataUse.SUPPORT)
def show(mail_id: Annotated[UUID, typer.Argument(help="The mail's id.")], as_json: Json = False) -> None:
    """Open one mail."""

    async def read() -> dict[str, str]:
        async with opened(Settings.load()) as stores:
            mail = await outbox.read_mail(stores.data, mail_id)
        return {"id": str(mail.id), "to": mail.to, "subject": mail.subject, "text": mail.text}

    mail = asyncio.run(read())
    if as_json:
        print_json(mail)
    else:
        out.print(f"To: {mail['to']}\nSubject: {mail['subject']}\n\n{mail['text']}", markup=False, soft_wrap=True)
