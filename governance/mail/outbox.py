"""The outbox: a mail is sealed into the transaction that causes it, and delivered later, at least once.

Without a configured sender mails stay here; `valueapi outbox list|show` reads them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ForeignKey, Integer, String, Uuid, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock, sinks
from governance.datamap import AtRest, Base, DataUse, LegalBasis, OnErasure, declared
from governance.db import Database, UtcDateTime, add_once
from governance.errors import Conflict, NotFound, VaultError
from governance.ids import uuid7
from governance.mail.render import render
from governance.mail.sender import Mail, MailSender, SendFailed
from governance.session_use import reading_for
from governance.subjects import DataSubject
from governance.vault.blind_index import normalise_email
from governance.vault.columns import SealedType, seal
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed

_USES = (DataUse.NOTICES, DataUse.SUPPORT)
# Wait before the second, third, … attempt; after the last one the mail has failed. About a day and a half in all.
_BACKOFF_SECONDS = (30, 120, 600, 3600, 4 * 3600, 12 * 3600, 18 * 3600)
_OURS_SECONDS = 300
# Longer than any send takes, so that a claim runs out only when its process died.
_CLAIM_SECONDS = 300


class MailState(StrEnum):
    """Where a mail stands."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


def _plain(kind: Any, seal_id: int, **options: Any) -> Mapped[Any]:
    return declared(
        kind,
        seal_id,
        "system.operations",
        _USES,
        retention="outbox",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
        **options,
    )


def _sealed(seal_id: int, category: str) -> Mapped[Sealed[str]]:
    return declared(
        SealedType(str),
        seal_id,
        category,
        _USES,
        at_rest=AtRest.SEALED,
        retention="outbox",
        on_erasure=OnErasure.SHRED,
    )


class OutboxMail(Base):
    """One mail to one person. `due_at` is when it may next be tried; claiming it moves `due_at` on."""

    __tablename__ = "outbox"

    id: Mapped[UUID] = _plain(Uuid, 280, primary_key=True)
    subject_id: Mapped[UUID] = declared(
        Uuid,
        281,
        "user.unique_id.pseudonymous",
        _USES,
        retention="outbox",
        on_erasure=OnErasure.DELETE,
        args=(ForeignKey(DataSubject.id),),
        index=True,
    )
    template: Mapped[str] = _plain(String(64), 282)
    recipient: Mapped[Sealed[str]] = _sealed(283, "user.contact.email")
    subject_line: Mapped[Sealed[str]] = _sealed(284, "user.account")
    body: Mapped[Sealed[str]] = _sealed(285, "user.account")
    state: Mapped[str] = _plain(String(16), 286)
    attempts: Mapped[int] = _plain(Integer, 287)
    failure: Mapped[str | None] = _plain(String(32), 288, nullable=True)
    created_at: Mapped[datetime] = _plain(UtcDateTime, 289)
    due_at: Mapped[datetime] = _plain(UtcDateTime, 290, index=True)
    sent_at: Mapped[datetime | None] = _plain(UtcDateTime, 291, nullable=True)
    idempotency_key: Mapped[str] = _plain(String(100), 292, unique=True)


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """What `outbox list` shows: nothing that is sealed."""

    id: UUID
    template: str
    state: str
    attempts: int
    failure: str | None
    created_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one run did, in mails."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0


async def enqueue(
    session: AsyncSession,
    keys: KeyStore,
    subject_id: UUID,
    template: str,
    to: str,
    values: Mapping[str, str | Sequence[str]],
    idempotency_key: str,
) -> UUID | None:
    """Add a mail to the caller's transaction; its id. The idempotency key holds ids and dates, nothing personal.

    None where the guard withholds the address or a value: then no mail is queued, and the transaction goes on.

    The same key again adds nothing and returns the first mail's id. Raises Conflict where that one is another template
    or person's, Rejected for a value or address that can't stand in a mail.
    """
    earlier = await _with_key(session, idempotency_key, subject_id, template)
    if earlier is not None:
        return earlier
    lines = (line for value in values.values() for line in ((value,) if isinstance(value, str) else value))
    if any(sinks.withholds(sinks.Sink.MAIL, line) for line in (to, *lines)):
        return None
    normalise_email(to)  # one address, nothing that a mailer could read as a list or a header
    subject_line, body = render(template, values)
    now = clock.now()
    row = OutboxMail(
        id=uuid7(),
        subject_id=subject_id,
        template=template,
        state=MailState.QUEUED,
        attempts=0,
        created_at=now,
        due_at=now,
        idempotency_key=idempotency_key,
    )
    await seal(keys, row, recipient=to, subject_line=subject_line, body=body)
    if not await add_once(session, row):
        # Another transaction was first with the key (or the subject has no row, which the second look doesn't explain).
        earlier = await _with_key(session, idempotency_key, subject_id, template)
        if earlier is None:
            raise Conflict("The mail belongs to a subject that doesn't exist.") from None
        return earlier
    return row.id


async def _with_key(session: AsyncSession, idempotency_key: str, subject_id: UUID, template: str) -> UUID | None:
    known = select(OutboxMail.id, OutboxMail.subject_id, OutboxMail.template).where(
        OutboxMail.idempotency_key == idempotency_key
    )
    with reading_for(session, DataUse.NOTICES):
        found = (await session.execute(known)).one_or_none()
    if found is None:
        return None
    if (found.subject_id, found.template) != (subject_id, template):
        raise Conflict("Another mail has this idempotency key.")
    return cast(UUID, found.id)


async def queued(db: Database, idempotency_keys: Collection[str]) -> set[str]:
    """Those of the keys under which a mail was queued, whatever became of it."""
    query = select(OutboxMail.idempotency_key).where(OutboxMail.idempotency_key.in_(idempotency_keys))
    async with db.session(DataUse.NOTICES) as session:
        return set(await session.scalars(query))


async def deliver(db: Database, sender: MailSender, *, limit: int = 50) -> Delivered:
    """Send what is due, oldest first, up to `limit` mails; any number of processes may run this at once.

    At least once: a kill between sending and marking sends that one mail again when its claim has run out, with the
    same Message-Id. A mail whose subject's key is gone is failed unsent.
    """
    sent = deferred = failed = 0
    for _ in range(limit):
        row = await _claim(db)
        if row is None:
            break
        # A crash here: nothing was sent; the claim runs out and the mail is tried again, one attempt poorer.
        try:
            await sender.send(await _open(row, DataUse.NOTICES))
        except VaultError:
            await _mark(db, row.id, state=MailState.FAILED, failure="no-key")
            failed += 1
        except SendFailed as error:
            given_up = error.permanent or (not error.ours and row.attempts > len(_BACKOFF_SECONDS))
            if given_up:
                await _mark(db, row.id, state=MailState.FAILED, failure=error.failure)
                failed += 1
                continue
            await _defer(db, row, error)
            deferred += 1
            if error.ours:
                break
        else:
            # A crash here: the mail was sent and isn't marked; it goes out once more after the claim.
            await _mark(db, row.id, state=MailState.SENT, failure=None, sent_at=clock.now())
            sent += 1
    return Delivered(sent, deferred, failed)


async def _claim(db: Database) -> OutboxMail | None:
    now = clock.now()
    async with db.transaction(DataUse.NOTICES) as session:
        row = await session.scalar(
            select(OutboxMail)
            .where(OutboxMail.state == MailState.QUEUED, OutboxMail.due_at <= now)
            .order_by(OutboxMail.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)  # PostgreSQL; SQLite's transaction holds the write lock already
        )
        if row is not None:
            row.attempts += 1
            row.due_at = now + timedelta(seconds=_CLAIM_SECONDS)
    return row


async def _defer(db: Database, row: OutboxMail, error: SendFailed) -> None:
    attempts = row.attempts - 1 if error.ours else row.attempts
    seconds = _OURS_SECONDS if error.ours else _BACKOFF_SECONDS[row.attempts - 1]
    due_at = clock.now() + timedelta(seconds=max(seconds, error.retry_after_s or 0))
    await _mark(db, row.id, failure=error.failure, attempts=attempts, due_at=due_at)


async def _mark(db: Database, mail_id: UUID, **values: object) -> None:
    async with db.transaction(DataUse.NOTICES) as session:
        mine = OutboxMail.id == mail_id, OutboxMail.state == MailState.QUEUED
        await session.execute(update(OutboxMail).where(*mine).values(**values))


async def _open(row: OutboxMail, use: DataUse) -> Mail:
    return Mail(row.id, await row.recipient.open(use), await row.subject_line.open(use), await row.body.open(use))


async def list_outbox(db: Database, *, limit: int = 100) -> list[OutboxEntry]:
    """The newest mails first, sealed parts left closed."""
    columns = (
        OutboxMail.id,
        OutboxMail.template,
        OutboxMail.state,
        OutboxMail.attempts,
        OutboxMail.failure,
        OutboxMail.created_at,
        OutboxMail.sent_at,
    )
    async with db.session(DataUse.SUPPORT) as session:
        rows = await session.execute(select(*columns).order_by(OutboxMail.id.desc()).limit(limit))
        return [OutboxEntry(*row) for row in rows]


async def read_mail(db: Database, mail_id: UUID, use: DataUse = DataUse.SUPPORT) -> Mail:
    """One mail, opened. Raises NotFound, or VaultError where its subject's key is gone."""
    async with db.session(use) as session:
        row = await session.get(OutboxMail, mail_id)
    if row is None:
        raise NotFound("There is no such mail.")
    return await _open(row, use)
