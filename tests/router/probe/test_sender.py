"""The sender and the hostile upstream, face to face: no gateway between them, so each outcome is known."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from router.probe.case import Case, Credential
from router.probe.cases.lanes import OF_WIRE, lanes
from router.probe.cases.matrix import matrix
from router.probe.sender import Outcome, Sender
from router.probe.upstream.server import Upstream, running
from router.surface import Dialect

KEYS = {Credential.GOOD: "any"}


def direct(wire: Dialect, keep: Callable[[str], bool]) -> list[Case]:
    return matrix(lanes(wire, "model"), (Credential.GOOD,), web=False, keep=keep)


async def send(cases: Sequence[Case], patience_s: float = 5.0) -> tuple[dict[str, Outcome], Upstream]:
    upstream = Upstream({case.tag: case for case in cases}, hang_s=0.5)
    async with running(upstream) as port:
        done: list[Outcome] = []
        sent = await Sender(f"http://127.0.0.1:{port}", KEYS, patience_s=patience_s).send_all(cases, done.append)
        assert sorted(done, key=lambda outcome: outcome.case) == sorted(sent, key=lambda outcome: outcome.case)
    return {outcome.case: outcome for outcome in sent}, upstream


@pytest.mark.parametrize("wire", list(OF_WIRE))
async def test_a_good_answer_brings_its_canary_on_every_lane(wire: Dialect) -> None:
    cases = direct(wire, lambda name: name.endswith(("/good", "/a tool call", "/slow")))
    sent, upstream = await send(cases)
    assert {name: outcome.status for name, outcome in sent.items()} == dict.fromkeys(sent, 200)
    assert [name for name, outcome in sent.items() if not outcome.answered] == []
    assert upstream.carried == {case.tag for case in cases}


async def test_errors_have_their_status_and_quote_what_was_sent() -> None:
    cases = direct(Dialect.OPENAI, lambda name: name.startswith(("chat/4", "chat/5")) and "HTML" not in name)
    sent, _ = await send(cases)
    assert {outcome.status for outcome in sent.values()} == {400, 401, 403, 404, 422, 429, 500, 503}
    assert all(int(name.split("/")[1].split()[0]) == outcome.status for name, outcome in sent.items())
    # The canary is in the error's text: a gateway that keeps such texts keeps it.
    assert all(outcome.answered for outcome in sent.values())


async def test_what_breaks_off_hangs_or_lies_is_told_apart() -> None:
    wanted = ("cut", "reset", "closed at once", "hang", "hang-midway", "a redirect", "an error with status 200")
    cases = direct(Dialect.ANTHROPIC, lambda name: name.startswith("messages-stream/") and name.endswith(wanted))
    sent, upstream = await send(cases, patience_s=2.0)
    told = {name.split("/")[1]: outcome for name, outcome in sent.items()}
    assert told["closed at once"].status is None and told["hang"].status is None
    assert told["hang-midway"].status == 200 and not told["hang-midway"].answered
    assert told["a redirect"].status == 307 and told["an error with status 200"].status == 200
    assert upstream.redirected.total() == 0  # nobody followed it


async def test_a_caller_that_leaves_leaves() -> None:
    cases = direct(Dialect.OPENAI, lambda name: name.startswith("chat-stream/caller leaves"))
    sent, _ = await send(cases)
    assert len(sent) == 4 and {outcome.how for outcome in sent.values()} == {"left"}


async def test_what_only_a_prompt_should_reach_is_noticed() -> None:
    cases = direct(Dialect.OPENAI, lambda name: name in ("openai/header cookie", "openai/bad key", "openai/query"))
    _, upstream = await send(cases)
    assert sorted(upstream.sent_on) == [
        "openai/bad key/credential/key", "openai/header cookie/metadata/header cookie", "openai/query/metadata/query",
    ]  # fmt: skip


async def test_broken_bytes_harm_neither() -> None:
    cases = direct(Dialect.OPENAI, lambda name: name.startswith("openai/") and "body" not in name)
    good = direct(Dialect.OPENAI, lambda name: name == "chat/good")
    sent, _ = await send([*cases, *good][:-1], patience_s=1.0)
    assert len(sent) == len(cases)
    sent, _ = await send(good)
    assert sent["chat/good"].answered


async def test_nobody_there_is_an_outcome_too() -> None:
    [case] = direct(Dialect.OPENAI, lambda name: name == "chat/good")
    upstream = Upstream({}, hang_s=0.1)
    async with running(upstream) as port:
        pass
    await asyncio.sleep(0)
    outcome = await Sender(f"http://127.0.0.1:{port}", KEYS).send(case)
    assert (outcome.status, outcome.how, outcome.answered) == (None, "connection refused or broken", False)
