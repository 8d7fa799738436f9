"""Mails about incidents: to the people affected (GDPR Art. 34), and to staff while something is to be done (Art. 33(1))."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import Conflict
from governance.incidents import affected, notice
from governance.incidents.drafts import TEMPLATES, gaps, values, when
from governance.incidents.incident import Severity
from governance.incidents.notice import Told
from governance.incidents.opening import locked
from governance.incidents.record import Record, State
from governance.mail import outbox
from governance.vault.keys import KeyStore

_REMINDER: Final = "incident-due"
_BEFORE_DUE_HOURS: Final = (0, 6, 24, 48, 72)
_GRAVE: Final = (Severity.HIGH, Severity.CRITICAL)
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(weeks=1)
_NEEDED: Final = ("facts", "nature", "categories", "consequences", "measures")


def stage(record: Record, now: datetime) -> str | None:
    """Which reminder is due by now, as a word that stands for it; None where nobody need be reminded.

    Once a word: days and weeks are counted from the opening, which never moves.
    """
    incident, due = record.incident, record.due_at
    age = now - incident.opened_at
    days, weeks = age // _DAY, age // _WEEK
    if record.state is State.CLOSED:
        return None
    if due is not None and now < due + _DAY:
        return next((f"{hours}h" for hours in _BEFORE_DUE_HOURS if due - now <= timedelta(hours=hours)), "72h")
    if record.breach is not None and record.missing():
        return f"breach-{days}"
    if record.assessment is not None:
        return f"close-{weeks}" if now >= record.assessment.assessed_at + _WEEK else None
    grave = incident.severity in _GRAVE
    if not days:
        return "opened" if grave else None
    again = days - 1 if grave else weeks
    return f"unassessed-{again}" if again else "unassessed"


async def unreminded(db: Database, record: Record, people: list[UUID]) -> list[UUID]:
    """Those of the people who haven't the reminder that is due now."""
    word = stage(record, clock.now())
    if word is None:
        return []
    keys = {_key(record, word, person): person for person in people}
    known = await outbox.queued(db, keys)
    return [person for key, person in keys.items() if key not in known]


async def remind(db: Database, keys: KeyStore, record: Record, subject_id: UUID, to: str) -> None:
    """Queue the reminder that is due now for one of the staff; once each."""
    now = clock.now()
    word = stage(record, now)
    if word is None:
        return
    incident = record.incident
    what, sentence = _waiting(record, now)
    said: dict[str, str | list[str]] = {
        "what": what,
        "sentence": sentence,
        "incident": str(incident.id),
        "severity": incident.severity,
        "opened": when(incident.opened_at),
        "missing": record.missing() or ["Close it: nothing else is left to be done."],
    }
    async with db.transaction(DataUse.NOTICES) as session:
        await outbox.enqueue(session, keys, subject_id, _REMINDER, to, said, _key(record, word, subject_id))


def _waiting(record: Record, now: datetime) -> tuple[str, str]:
    """Subject line and first sentence of a reminder."""
    due = record.due_at
    if due is not None and due <= now:
        return (
            "Overdue: a breach of personal data isn't notified",
            f"The 72 hours of Art. 33(1) GDPR ended at {when(due)}, and the authority isn't told.",
        )
    if due is not None:
        return (
            f"A breach of personal data must be notified by {when(due)}",
            f"The authority must be told by {when(due)}, unless a risk to people is unlikely (Art. 33(1) GDPR).",
        )
    if record.breach is not None and record.missing():
        return (
            "A breach of personal data isn't dealt with yet",
            "The authority was told of a breach, or need not be; other things are still to be done.",
        )
    if record.assessment is not None:
        return (
            "An incident waits to be closed",
            f"An incident was assessed as a {record.assessment.kind}, and isn't closed.",
        )
    return "An incident waits for assessment", "An incident was opened and nobody has assessed it yet."


def ready(record: Record, contact: str) -> None:
    """Raises Conflict where the notice to people would have gaps, or it is no breach."""
    if missing := [name for name in gaps(record, contact) if name in _NEEDED]:
        raise Conflict(f"People can't be told yet: {', '.join(missing)} aren't known (`incidents assess`).")


async def tell(
    db: Database,
    keys: KeyStore,
    record: Record,
    subject_id: UUID,
    to: str,
    contact: str,
    *,
    begun_by: str | None = None,
) -> bool:
    """Queue the notice to one affected person, once; False where they were told before, or the guard withholds it.

    `begun_by`: the role that begins a sending; with the first notice of it stands on record that people are told.
    Raises NotFound, and with `begun_by` Conflict where it is no breach or is closed.
    """
    said, incident_id = values(record, contact), record.incident.id
    async with db.transaction(DataUse.LEGAL_OBLIGATION) as session:
        await locked(session, incident_id)  # before people's rows, as everywhere: so nobody waits in a circle
        row = await affected.untold(session, incident_id, subject_id)
        if row is None:
            return False
        key = f"incident:{incident_id}:{subject_id}"
        if await outbox.enqueue(session, keys, subject_id, TEMPLATES[Told.SUBJECTS], to, said, key) is None:
            return False
        row.told_at = clock.now()
        if begun_by is not None:
            await notice.subjects_told(session, incident_id, by=begun_by)
    # A crash before this line leaves all of it, or nothing: nobody is told without a record of it.
    return True


async def told_otherwise(db: Database, incident_id: UUID, people: Iterable[UUID], *, by: str) -> int:
    """Record that people on the list were told by other means than a mail from here; how many weren't told before.

    Raises NotFound, Conflict where it is no breach or is closed.
    """
    now, told = clock.now(), 0
    async with db.transaction(DataUse.LEGAL_OBLIGATION) as session:
        await locked(session, incident_id)
        for subject_id in people:
            if (row := await affected.untold(session, incident_id, subject_id)) is not None:
                row.told_at, told = now, told + 1
        if told:
            await notice.subjects_told(session, incident_id, by=by)
    return told


def _key(record: Record, word: str, subject_id: UUID) -> str:
    return f"incident:{record.incident.id}:{word}:{subject_id}"
