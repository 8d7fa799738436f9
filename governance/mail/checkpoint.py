"""The newest checkpoint of the transparency log as a mail: who keeps it can tell later that the log was rewritten."""

from uuid import NAMESPACE_URL, uuid5

from governance.errors import Rejected
from governance.evidence.folder import LogFolder
from governance.mail.render import render
from governance.mail.sender import Mail, MailSender


async def send(where: LogFolder, to: str, sender: MailSender) -> None:
    """Past the outbox, since it is nobody's data: who calls tries again. The same checkpoint has the same Message-Id.

    Raises Rejected where there is no checkpoint yet, SendFailed.
    """
    latest = where.latest()
    if latest is None:
        raise Rejected("The transparency log has no checkpoint yet.")
    head, signed = latest
    subject, text = render(
        "checkpoint", {"origin": head.origin, "size": str(head.size), "checkpoint": str(signed).splitlines()}
    )
    await sender.send(Mail(uuid5(NAMESPACE_URL, f"{head.origin} {head.size} {to}"), to, subject, text))
