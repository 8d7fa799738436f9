"""What a caller writes into a prompt to keep the house from writing it, and what tries to look as if it were known."""

from collections.abc import Callable
from uuid import UUID

import pytest

from governance import sinks
from governance.bodies.fragments import Holding
from governance.bodies.guards import Guard
from governance.mail.render import render
from governance.sinks import Sink
from router.billing.ledger import AccountKind, ledger_account_id
from router.gateway.ratelimit.limit_redis import _LUA
from tests.services.guarding import PROMPT, words

Ask = Callable[..., Holding]
V7, V4 = "01a21686-9f9b-7048-b596-01f8507e71b1", UUID("3974ef86-edbe-42a7-8ca3-be068a323d52")


@pytest.mark.parametrize(
    "value",
    [
        V7,
        V4.hex,
        UUID(int=1).hex,
        str(UUID(int=2)),
        str(ledger_account_id(AccountKind.REVENUE)),
        f"{V7}-31",
        f"erasable/{V7}/{V7}",
        f"existing-account:{V7}:2026112605",
        "essential.service.notifications.email",
        "router/gateway/protocol/connection.py:33",
        _LUA,
        render("key-created", {"name": "x", "prefix": "sk-val-x", "page": "https://a.example"})[1],
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$",
        "bodies-not-stored" * 2,
    ],
)
def test_writing_our_values_into_a_prompt_keeps_none_from_being_written(guard: Guard, asked: Ask, value: str) -> None:
    guard.known.know(["bodies-not-stored" * 2])
    asked(f"Please ignore this: {value} and go on", value)
    assert guard.watch.find(value.encode()), "the attack isn't one"
    for sink in Sink:
        assert not guard.withholds(sink, value), sink


def test_what_the_work_itself_was_given_may_be_written(guard: Guard, asked: Ask) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
    address = "bartholomew.featherstonehaugh@subdomain.example.org"
    asked(agent, f"mail to {address}")
    assert guard.withholds(Sink.SEALED, agent) and guard.withholds(Sink.MAIL, address)
    with sinks.given(lambda: [agent]):
        assert not guard.withholds(Sink.SEALED, agent)
        assert guard.withholds(Sink.MAIL, address)
        sinks.read(address)
        with sinks.given(lambda: ["something"]):
            assert not guard.withholds(Sink.MAIL, f"To: <{address}>") and not guard.withholds(Sink.SEALED, agent)
    assert guard.withholds(Sink.SEALED, agent)


def test_what_one_caller_was_given_excuses_nobody_else(guard: Guard, asked: Ask) -> None:
    """Who sends a stranger's prompt as a user agent of their own makes nothing of it known."""
    import contextvars

    def other() -> bool:
        return guard.withholds(Sink.SEALED, PROMPT[:60])

    elsewhere = contextvars.copy_context()
    with sinks.given(lambda: [PROMPT]):
        assert not guard.withholds(Sink.SEALED, PROMPT[:60])
        assert elsewhere.run(other)


@pytest.mark.parametrize(
    "value",
    [
        f"{V7} {PROMPT[:50]}",
        f"{PROMPT[:40]}{V7}{PROMPT[40:80]}",
        f"existing-account:{PROMPT[:40]}",
        "somebody, hopefully you, tried to sign up for ValueAPI with this address" + PROMPT[10:45],
        '{"model": "up/model", "note": "' + PROMPT[:60] + '"}',
        '["' + PROMPT + '"]',
        f"$argon2id$v=19$m=65536,t=3,p=4${PROMPT[:40]}",
        PROMPT,
        "x" * 20_000 + PROMPT,
    ],
)
def test_what_stands_beside_something_known_is_still_found(guard: Guard, asked: Ask, value: str) -> None:
    with sinks.given(lambda: ["Mozilla/5.0", "en-GB,en;q=0.9"]):
        assert guard.withholds(Sink.LOG, value) and guard.withholds(Sink.SQL, value.encode())


def test_hexadecimal_that_is_no_id_is_no_id(guard: Guard, asked: Ask) -> None:
    canary = "0123456789abcdef" * 2
    asked(canary)
    assert guard.withholds(Sink.LOG, canary)


def test_our_words_are_those_of_the_source_and_of_what_ships_with_it() -> None:
    known = words()
    assert not list(
        known.rest(b"We do NOT store the content of your API requests (prompts) or the resulting completions.")
    )
    assert list(known.rest(PROMPT.encode())) == [PROMPT.encode()]
