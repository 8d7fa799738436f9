"""Sends through Mailgun with its official SDK: `POST /v3/{domain}/messages`, form-encoded, Basic auth (`api`, key).

API: documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages; answers by status: `.../responses`.
The SDK is imported at first use, since it costs 0.4 s. Its loggers, which quote exceptions, are silenced: a failure is
a short code here.
"""

import logging
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

from governance import outbound
from governance.mail.sender import Mail, SendFailed

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 20.0
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
# 401 and 403: our key; 404: our domain ("can be temporal", says Mailgun). Neither says anything about the mail.
_OURS = frozenset({401, 403, 404})


def silence_sdk() -> None:
    """The SDK logs nothing from now on; its loggers are children of this one and inherit the level."""
    logging.getLogger("mailgun").setLevel(logging.CRITICAL + 1)


class MailgunSender:
    """A `MailSender` for one sending domain. Close it with `aclose`."""

    def __init__(self, key: str, domain: str, url: str, sender: str) -> None:
        self._key = key
        self._domain = domain
        self._url = url
        self._sender = sender
        self._client: Any = None

    def __repr__(self) -> str:
        return f"<MailgunSender {self._domain} ***>"

    async def send(self, mail: Mail) -> None:
        """Hand one mail over. Raises SendFailed; its code is a status or `network`."""
        outbound.saw(urlsplit(self._url).hostname or self._url)
        try:
            answer = await self._connect().messages.create(data=self._form(mail), domain=self._domain)
            status, retry_after = int(answer.status_code), answer.headers.get("retry-after", "")
        except Exception as error:
            # Whatever the SDK raises may quote the request, so its type alone decides and nothing of it goes on.
            raise SendFailed("network" if _is_transport(error) else "sender-error", ours=True) from None
        if status == 200:
            return
        seconds = int(retry_after) if retry_after.isdigit() and len(retry_after) < 6 else None
        permanent = status not in _TRY_AGAIN and status not in _OURS
        raise SendFailed(f"status-{status}", permanent=permanent, ours=status in _OURS, retry_after_s=seconds)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _form(self, mail: Mail) -> dict[str, str]:
        domain = parseaddr(self._sender)[1].rpartition("@")[2] or self._domain
        return {
            "from": self._sender,
            "to": mail.to,
            "subject": mail.subject,
            "text": mail.text,
            # The same for every attempt, so that whoever receives a mail twice can drop one (RFC 5322 section 3.6.4).
            "h:Message-Id": f"<{mail.id}@{domain}>",
            "h:Auto-Submitted": "auto-generated",  # RFC 3834 section 5: no out-of-office answers
            "o:tracking": "no",  # no open pixel and no rewritten links
        }

    def _connect(self) -> Any:
        if self._client is None:
            from mailgun.client import AsyncClient
            from mailgun.config import RetryPolicy

            silence_sdk()
            self._client = AsyncClient(
                auth=("api", self._key),
                api_url=self._url,
                timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
                retry_policy=RetryPolicy(max_retries=0),  # the outbox retries, and remembers that it did
            )
        return self._client


def _is_transport(error: Exception) -> bool:
    from mailgun.handlers.error_handler import ApiError

    return isinstance(error, ApiError)
