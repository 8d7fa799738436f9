"""The sender of mails that the settings name."""

from governance.mail.mailgun import MailgunSender
from router.settings import Settings


def sender(settings: Settings) -> MailgunSender | None:
    """None without Mailgun credentials: mails stay in the outbox."""
    if settings.mailgun_key is None or settings.mailgun_domain is None:
        return None
    key = settings.mailgun_key.get_secret_value()
    return MailgunSender(key, settings.mailgun_domain, settings.mailgun_url, settings.mail_from)
