"""The outbox: sealed into the caller's transaction, delivered at least once, by any number of processes."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import Conflict, NotFound, Rejected, UseRefused
from governance.ids import uuid7
from governance.mail import outbox
from governance.mail.outbox import Delivered, MailState, OutboxMail, deliver, enqueue, list_outbox, read_mail
from governance.mail.sender import Mail, SendFailed
from governance.sinks import Sink
from governance.subjects import add_subject, new_subject
from governance.vault.keys import KeyStore
from tests.services.guarding import PROMPT, guarding

Stores = tuple[Database, KeyStore]
VALUES = {"prefix": "sk-va-1234", "name": "laptop", "page": "https://api.example/portal/keys"}
TO = "Ada@example.org"


class Recorder:
    """A sender that keeps what it is given, and fails as told, before or after taking the mail."""

    def __init__(self, *outcomes: SendFailed | BaseException | None, taken: bool = False) -> None:
        self.outcomes = list(outcomes)
        self.mails: list[Mail] = []
        self.taken = taken

    async def send(self, mail: Mail) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is None or self.taken:
            self.mails.append(mail)
        if outcome is not None:
            raise outcome


class MovableClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **units: float) -> None:
        self.time += timedelta(**units)


@pytest.fixture
def now() -> Iterator[MovableClock]:
    moved = MovableClock()
    clock.install(moved)
    yield moved
    clock.install(None)


async def put(stores: Stores, subject_id: UUID, key: str = "k1", to: str = TO, template: str = "key-created") -> UUID:
    data, keys = stores
    async with data.transaction(DataUse.NOTICES) as session:
        return await enqueue(session, keys, subject_id, template, to, VALUES, key)


async def test_a_mail_with_a_fragment_of_a_body_is_not_queued_and_the_transaction_goes_on(
    stores: Stores, subject_id: UUID, event_log: Path
) -> None:
    data, keys = stores
    with guarding(f"{TO} {VALUES['page']}") as guard:
        async with data.transaction(DataUse.SERVICE) as session:
            leaking = {**VALUES, "name": PROMPT[:60]}
            assert await enqueue(session, keys, subject_id, "key-created", TO, leaking, "leaking") is None
            assert await enqueue(session, keys, subject_id, "key-created", PROMPT[:50], VALUES, "to") is None
            assert await enqueue(session, keys, subject_id, "key-created", TO, VALUES, "fine") is not None
        assert {sink for sink, _ in guard.places} == {Sink.MAIL}
        assert str(next(iter(guard.places))[1]).startswith("tests/governance/mail/test_outbox.py:")
    assert [mail.template for mail in await list_outbox(data)] == ["key-created"]


async def test_a_mail_is_delivered_once_with_its_parts(stores: Stores, subject_id: UUID) -> None:
    mail_id = await put(stores, subject_id)
    sender = Recorder()
    assert await deliver(stores[0], sender) == Delivered(sent=1)
    assert await deliver(stores[0], sender) == Delivered()
    (mail,) = sender.mails
    assert (mail.id, mail.to) == (mail_id, TO)
    assert "laptop" in mail.text and "API key" in mail.subject
    assert repr(mail) == f"<Mail {mail_id} ***>"
    (entry,) = await list_outbox(stores[0])
    assert (entry.state, entry.attempts, entry.failure) == ("sent", 1, None)
    assert entry.sent_at is not None


async def test_nothing_of_it_rests_readable(stores: Stores, subject_id: UUID) -> None:
    await put(stores, subject_id)
    async with stores[0].engine.connect() as connection:
        row = (await connection.execute(text("SELECT recipient, subject_line, body, template FROM outbox"))).one()
    resting = b"|".join(bytes(part) for part in row[:3])
    assert all(word not in resting for word in (b"Ada", b"example", b"laptop", b"API key"))
    assert row.template == "key-created"


async def test_it_is_read_for_a_declared_use_only(stores: Stores, subject_id: UUID) -> None:
    mail_id = await put(stores, subject_id)
    assert (await read_mail(stores[0], mail_id)).to == TO
    with pytest.raises(UseRefused):
        await read_mail(stores[0], mail_id, DataUse.ANALYTICS)
    with pytest.raises(NotFound):
        await read_mail(stores[0], uuid7())


async def test_it_goes_with_the_callers_transaction(stores: Stores, subject_id: UUID) -> None:
    data, keys = stores
    with pytest.raises(ZeroDivisionError):
        async with data.transaction(DataUse.NOTICES) as session:
            await enqueue(session, keys, subject_id, "key-created", TO, VALUES, "k1")
            raise ZeroDivisionError
    assert await list_outbox(data) == []


async def test_the_same_key_is_one_mail_and_another_input_a_conflict(stores: Stores, subject_id: UUID) -> None:
    first = await put(stores, subject_id)
    assert await put(stores, subject_id) == first
    with pytest.raises(Conflict):
        await put(stores, subject_id, template="confirm")
    assert len(await list_outbox(stores[0])) == 1


async def test_many_at_once_with_one_key_are_one_mail(stores: Stores, subject_id: UUID) -> None:
    ids = await asyncio.gather(*(put(stores, subject_id) for _ in range(6)))
    assert len(set(ids)) == 1
    assert len(await list_outbox(stores[0])) == 1


@pytest.mark.parametrize(
    "to", ["a@example.org, b@example.org", "a@example.org\nBcc: b@example.org", "Ada <a@example.org>"]
)
async def test_one_address_and_no_header(stores: Stores, subject_id: UUID, to: str) -> None:
    with pytest.raises(Rejected) as caught:
        await put(stores, subject_id, to=to)
    assert "example" not in str(caught.value)


async def test_a_failure_waits_longer_each_time_and_ends(stores: Stores, subject_id: UUID, now: MovableClock) -> None:
    await put(stores, subject_id)
    sender = Recorder(*[SendFailed("status-500")] * 20)
    gaps = []
    while (await list_outbox(stores[0]))[0].state == MailState.QUEUED:
        before = now.time
        while (await deliver(stores[0], sender)) == Delivered():
            now.forward(seconds=120)
        gaps.append((now.time - before).total_seconds())
    assert gaps[0] == 0 and gaps[1:] == sorted(gaps[1:]) and len(gaps) == 8
    assert 24 < sum(gaps) / 3600 < 48
    (entry,) = await list_outbox(stores[0])
    assert (entry.state, entry.attempts, entry.failure) == ("failed", 8, "status-500")
    assert len(sender.outcomes) == 12 and sender.mails == []


async def test_what_the_other_side_asks_for_is_waited_for(stores: Stores, subject_id: UUID, now: MovableClock) -> None:
    await put(stores, subject_id)
    sender = Recorder(SendFailed("status-429", retry_after_s=900))
    assert await deliver(stores[0], sender) == Delivered(deferred=1)
    now.forward(seconds=899)
    assert await deliver(stores[0], sender) == Delivered()
    now.forward(seconds=1)
    assert await deliver(stores[0], sender) == Delivered(sent=1)


async def test_a_refused_mail_fails_and_the_others_go(stores: Stores, subject_id: UUID) -> None:
    await put(stores, subject_id, "k1")
    await put(stores, subject_id, "k2")
    sender = Recorder(SendFailed("status-400", permanent=True))
    assert await deliver(stores[0], sender) == Delivered(sent=1, failed=1)


async def test_our_own_trouble_stops_the_batch_and_costs_no_mail_an_attempt(
    stores: Stores, subject_id: UUID, now: MovableClock
) -> None:
    await put(stores, subject_id, "k1")
    await put(stores, subject_id, "k2")
    for _ in range(10):
        sender = Recorder(SendFailed("status-401", ours=True))
        assert await deliver(stores[0], sender) == Delivered(deferred=1)
        assert sender.outcomes == []
        now.forward(minutes=5)
    assert {entry.attempts for entry in await list_outbox(stores[0])} == {0}
    assert await deliver(stores[0], Recorder()) == Delivered(sent=2)


async def test_killed_before_sending_it_is_sent_after_the_claim(
    stores: Stores, subject_id: UUID, now: MovableClock
) -> None:
    await put(stores, subject_id)
    with pytest.raises(KeyboardInterrupt):
        await deliver(stores[0], Recorder(KeyboardInterrupt()))
    sender = Recorder()
    assert await deliver(stores[0], sender) == Delivered()  # still claimed: its process may be alive
    now.forward(minutes=6)
    assert await deliver(stores[0], sender) == Delivered(sent=1)


async def test_killed_after_sending_it_goes_twice_under_one_id(
    stores: Stores, subject_id: UUID, now: MovableClock
) -> None:
    await put(stores, subject_id)
    first, second = Recorder(KeyboardInterrupt(), taken=True), Recorder()
    with pytest.raises(KeyboardInterrupt):
        await deliver(stores[0], first)
    now.forward(minutes=6)
    await deliver(stores[0], second)
    assert [mail.id for mail in first.mails] == [mail.id for mail in second.mails]


async def test_two_processes_never_send_one_mail_twice(stores: Stores, subject_id: UUID) -> None:
    for number in range(8):
        await put(stores, subject_id, f"k{number}")
    senders = [Recorder() for _ in range(3)]
    counts = await asyncio.gather(*(deliver(stores[0], sender) for sender in senders))
    ids = [mail.id for sender in senders for mail in sender.mails]
    assert sum(count.sent for count in counts) == len(ids) == len(set(ids)) == 8


async def test_a_mail_to_an_erased_person_is_not_there(stores: Stores, subject_id: UUID) -> None:
    data, keys = stores
    await put(stores, subject_id, "k1")
    await keys.erase_subject(subject_id)
    sender = Recorder()
    assert await deliver(data, sender) == Delivered() and sender.mails == []
    assert await list_outbox(data) == []


async def test_a_mail_to_who_is_erased_while_it_goes_out_fails_unsent(
    stores: Stores, subject_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    await put(stores, subject_id, "k1")
    other = await new_subject(keys)
    async with data.transaction(DataUse.SERVICE) as session:
        add_subject(session, other)
    await put(stores, other, "k2")
    claim = outbox._claim

    async def erased_meanwhile(db: Database) -> OutboxMail | None:
        row = await claim(db)
        if row is not None and row.subject_id == subject_id:
            await keys.erase_subject(subject_id)
        return row

    monkeypatch.setattr(outbox, "_claim", erased_meanwhile)
    sender = Recorder()
    assert await deliver(data, sender) == Delivered(sent=1, failed=1)
    mails = OutboxMail.__table__
    async with data.engine.connect() as connection:
        rows = await connection.execute(select(mails.c.subject_id, mails.c.failure))
        assert {row.subject_id: row.failure for row in rows} == {subject_id: "no-key", other: None}
