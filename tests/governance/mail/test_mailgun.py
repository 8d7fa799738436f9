"""Mailgun over a real socket, through its official SDK."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from governance import outbound
from governance.ids import uuid7
from governance.mail.mailgun import MailgunSender
from governance.mail.sender import Mail, SendFailed
from tests.simulators.mailgun import MailgunSimulator

MAIL = Mail(uuid7(), "ada@example.org", "Subject with ü & +", "First line\n\nhttps://x.example/?token=a+b%20&c\n")


@pytest.fixture
def simulator() -> Iterator[MailgunSimulator]:
    with MailgunSimulator() as running:
        yield running


@pytest.fixture
async def sender(simulator: MailgunSimulator) -> AsyncIterator[MailgunSender]:
    made = MailgunSender(simulator.key, simulator.domain, simulator.url, "ValueAPI <privacy@valueapi.example>")
    yield made
    await made.aclose()


async def test_a_mail_arrives_whole_and_untracked(simulator: MailgunSimulator, sender: MailgunSender) -> None:
    outbound.take()
    await sender.send(MAIL)
    assert outbound.take() == {"127.0.0.1"}
    assert simulator.accepted == [
        {
            "from": ["ValueAPI <privacy@valueapi.example>"],
            "to": ["ada@example.org"],
            "subject": ["Subject with ü & +"],
            "text": [MAIL.text],
            "h:Message-Id": [f"<{MAIL.id}@valueapi.example>"],
            "h:Auto-Submitted": ["auto-generated"],
            "o:tracking": ["no"],
        }
    ]
    assert simulator.content_types == ["application/x-www-form-urlencoded"]


@pytest.mark.parametrize(
    ("status", "permanent", "ours"),
    [(400, True, False), (401, False, True), (404, False, True), (429, False, False), (500, False, False)],
)
async def test_a_refusal_says_what_it_means_for_the_mail(
    simulator: MailgunSimulator, sender: MailgunSender, status: int, permanent: bool, ours: bool
) -> None:
    simulator.faults.append(status)
    with pytest.raises(SendFailed) as caught:
        await sender.send(MAIL)
    assert (caught.value.failure, caught.value.permanent, caught.value.ours) == (f"status-{status}", permanent, ours)
    assert len(simulator.seen) == 1  # the SDK doesn't retry by itself


async def test_a_wrong_key_is_our_trouble(simulator: MailgunSimulator) -> None:
    sender = MailgunSender("key-wrong", simulator.domain, simulator.url, "privacy@valueapi.example")
    with pytest.raises(SendFailed) as caught:
        await sender.send(MAIL)
    await sender.aclose()
    assert caught.value.failure == "status-401" and caught.value.ours
    assert "key-wrong" not in repr(sender)


@pytest.mark.parametrize(("header", "seconds"), [("17", 17), ("soon", None), ("9" * 30, None), (None, None)])
async def test_retry_after_is_read_when_it_is_seconds(
    simulator: MailgunSimulator, sender: MailgunSender, header: str | None, seconds: int | None
) -> None:
    simulator.faults.append(429)
    simulator.retry_after = header
    with pytest.raises(SendFailed) as caught:
        await sender.send(MAIL)
    assert caught.value.retry_after_s == seconds


async def test_taken_but_reported_failed_is_sent_again_under_the_same_id(
    simulator: MailgunSimulator, sender: MailgunSender
) -> None:
    simulator.faults.append("hang-up")
    with pytest.raises(SendFailed) as caught:
        await sender.send(MAIL)
    assert caught.value.failure == "network"
    await sender.send(MAIL)
    assert len({form["h:Message-Id"][0] for form in simulator.accepted}) == 1 and len(simulator.accepted) == 2


async def test_nobody_listening_is_a_network_failure_and_no_log_names_the_reader(
    simulator: MailgunSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sender = MailgunSender(simulator.key, simulator.domain, "http://127.0.0.1:9", "privacy@valueapi.example")
    with pytest.raises(SendFailed) as caught:
        await sender.send(MAIL)
    await sender.aclose()
    assert caught.value.failure == "network" and caught.value.ours
    assert caught.value.__cause__ is None and "ada" not in str(caught.value)
    assert not [record for record in caplog.records if record.name.startswith("mailgun")]


@pytest.mark.parametrize("fault", [None, 400, 500, "hang-up"])
async def test_no_log_at_any_level_holds_address_text_or_key(
    simulator: MailgunSimulator, sender: MailgunSender, caplog: pytest.LogCaptureFixture, fault: int | str | None
) -> None:
    caplog.set_level(logging.DEBUG)
    if fault is not None:
        simulator.faults.append(fault)
    try:
        await sender.send(MAIL)
    except SendFailed:
        assert fault is not None
    written = "\n".join(record.getMessage() + str(record.exc_info or "") for record in caplog.records)
    assert all(word not in written for word in ("ada", "First line", "token", simulator.key, str(MAIL.id)))


async def test_an_address_of_the_api_that_the_sdk_refuses_is_no_traceback() -> None:
    sender = MailgunSender("k", "mail.example", "http://mail-sim", "privacy@valueapi.example")
    with pytest.raises(SendFailed) as caught:
        await sender.send(MAIL)
    assert caught.value.failure == "sender-error" and caught.value.ours
