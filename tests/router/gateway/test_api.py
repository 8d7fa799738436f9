"""What one request takes, gives back and costs, when it ends in the middle: real purse, real buckets, real sockets."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from governance.datamap import DataUse
from governance.errors import UseRefused
from governance.mail import outbox
from governance.subjects import add_subject, new_subject
from governance.vault.keys import KeyStore
from router.accounts.principal import Principal
from router.gateway import admission, api
from router.gateway.admission import Admission
from router.providers.dialects import openai
from tests.router.billing.book import Flaky
from tests.router.gateway.rig import CHAT, CONTEXT, MODEL, rigged
from tests.router.gateway.scripted import Script, Server, says, serving

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
Ledger = tuple[Flaky, KeyStore]
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
EVENTS_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def answer(value: dict[str, Any], status: bytes = b"200 OK") -> bytes:
    body = json.dumps(value).encode()
    return (JSON_HEAD % (len(body), body)).replace(b"200 OK", status)


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(text: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
GOOD = answer({"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}], "usage": USAGE})


# --- what it may open -------------------------------------------------------------------------------------------------


async def test_nothing_that_runs_for_a_request_opens_a_personal_value(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealed value, or a key to open one with, asked for in the middle of a chat request: whoever's it is."""
    data, keys = ledger
    subject_id = await new_subject(keys)
    async with data.transaction(DataUse.SERVICE) as session:
        add_subject(session, subject_id)
        mail = await outbox.enqueue(
            session, keys, subject_id, "key-created", "ada@example.org", {"prefix": "p", "name": "n", "page": "x"}, "k"
        )
    key = await keys.subject_key(subject_id)
    refused: list[str] = []

    async def steal(self: Admission, principal: Principal) -> Any:
        for attempt in (outbox.read_mail(data, mail), keys.key(key.id), keys.preload([subject_id])):
            try:
                await attempt
            except UseRefused as error:
                refused.append(str(error))
        return await take(self, principal)

    take = Admission.take_request
    monkeypatch.setattr(Admission, "take_request", steal)
    async with serving(says(GOOD)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        assert (await rig.ask().done()).status == 200
    assert len(refused) == 3 and all("opens nothing" in each for each in refused)


# --- what is refused before a provider is asked ------------------------------------------------------------------------


async def test_embeddings_whose_answer_cant_be_taken_arent_asked_for(tmp_path: Path, ledger: Ledger) -> None:
    vectors = answer({"data": [{"embedding": "AAA="}], "usage": {"prompt_tokens": 7, "total_tokens": 7}})
    body = {"model": MODEL, "input": ["a"] * 100, "dimensions": 1000}  # the rig takes a MiB
    async with serving(says(vectors)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask(body, "/v1/embeddings").done()
        told = json.loads(asked.body)["error"]
        assert (asked.status, told["code"], told["param"]) == (400, "answer_too_large", "input")
        assert server.connections == 0 and (await rig.taken(), rig.reserved()) == ([0, 0], 0)
        for fits in ({"encoding_format": "base64"}, {"input": ["a"] * 80}, {"dimensions": None}):
            assert (await rig.ask(body | fits, "/v1/embeddings").done()).status == 200


async def test_an_answer_that_is_too_large_says_so(tmp_path: Path, ledger: Ledger) -> None:
    """Nobody knew how long the vectors would be."""
    vectors = answer({"data": [{"embedding": [0.5] * 300_000}], "usage": {"prompt_tokens": 7, "total_tokens": 7}})
    async with serving(says(vectors)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask({"model": MODEL, "input": ["a"]}, "/v1/embeddings").done()
        told = json.loads(asked.body)["error"]
        assert (asked.status, told["code"]) == (502, "answer_too_large") and "fewer inputs" in told["message"]
        row = await rig.usage()
        assert row.charge_microcredits == row.input_tokens == 10 and row.estimated
        assert (await rig.taken(), rig.reserved()) == ([10, 10], 0)


async def test_an_answer_that_is_too_large_costs_what_was_set_aside_for_its_output(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Its count stands in what isn't read; free, a caller could ask for such answers on purpose."""
    message = {"role": "assistant", "content": "x" * (1 << 20)}
    long = answer({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE})
    async with serving(says(long)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask({**CHAT, "n": 3}).done()
        assert asked.status == 502
        row = await rig.usage()
        assert (row.output_tokens, row.estimated) == (300, True)


# --- what admission took ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("canary"), asyncio.CancelledError()])
async def test_whatever_ends_admission_gives_everything_back(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    async with serving(says(GOOD)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        with monkeypatch.context() as broken:
            broken.setattr(openai, "refuse", fails)
            asked = rig.ask()
            await asyncio.gather(asked.task, return_exceptions=True)
        assert asked.status == (500 if isinstance(error, RuntimeError) else None) and b"canary" not in asked.body
        assert (await rig.taken(), rig.reserved(), rig.in_flight()) == ([0, 0], 0, 0)
        assert server.connections == 0
        assert (await rig.ask().done()).status == 200


async def test_a_caller_that_leaves_while_credits_are_set_aside_takes_nothing_along(
    tmp_path: Path, ledger: Ledger
) -> None:
    db = ledger[0]
    async with serving(says(GOOD)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        db.gate = asyncio.Event()
        try:
            asked = rig.ask()
            await db.waiting.wait()  # the lease's transaction is about to commit
            assert await rig.taken() != [0, 0]
            asked.leave()
            await asked.done()
            assert (await rig.taken(), rig.reserved(), rig.in_flight(), asked.status) == ([0, 0], 0, 0, None)
        finally:
            db.gate.set()
            db.gate = None
        assert (await rig.ask().done()).status == 200


async def test_owners_are_hashed_and_refusals_looked_for_once_a_request(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return real(*args, **kwargs)

        return counted

    monkeypatch.setattr(openai, "refuse", counting("refuse", openai.refuse))
    monkeypatch.setattr(admission, "cell_key", counting("hash", admission.cell_key))
    failing = says(answer({}, b"500 Internal Server Error"))
    async with serving(failing) as server, rigged(tmp_path, *ledger, server.url, attempts_max=3) as rig:
        assert (await rig.ask().done()).status == 502
        assert len(server.bodies) == 3  # three plans were made
    assert calls == {"refuse": 1, "hash": 2}  # of the account and of the key


# --- leaving before an answer -----------------------------------------------------------------------------------------


@asynccontextmanager
async def not_answering(kind: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """An upstream's URL, and what is set when it is as far as it will come: the request's bytes, or half a handshake."""
    reached = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()

    async def shake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.read(1)) == b"\x16"  # TLS: a ClientHello
        await hang(reader, writer)
        writer.close()

    if kind == "reads":
        async with serving(hang) as server:
            yield server.url.removesuffix("/v1/x"), reached
        return
    listener = await asyncio.start_server(shake, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}", reached
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("kind", "prompt_bytes", "charged_tokens"),
    [("connects", 4_000, 0), ("reads", 4_000, None), ("reads", 100_000, CONTEXT)],
    ids=["nothing was sent", "the prompt was sent", "never more than the model reads"],
)
async def test_leaving_before_an_answer_costs_the_prompt_once_a_byte_of_it_may_have_left(
    tmp_path: Path, ledger: Ledger, kind: str, prompt_bytes: int, charged_tokens: int | None
) -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": "x" * prompt_bytes}]}
    estimate = -(-len(json.dumps(body)) // 4)
    async with not_answering(kind) as (url, reached), rigged(tmp_path, *ledger, url) as rig:
        asked = rig.ask(body)
        await reached.wait()
        assert rig.reserved() > 0
        asked.leave()
        await asked.done()
        row = await rig.usage()
        tokens = estimate if charged_tokens is None else charged_tokens
        assert (row.charge_microcredits, row.input_tokens, row.output_tokens) == (tokens, tokens, 0)
        assert (row.outcome, row.status, row.provider) == ("cancelled", 499, "up" if tokens else "")
        assert row.estimated is (tokens > 0)
        assert (rig.reserved(), await rig.taken(), rig.in_flight()) == (0, [tokens, tokens], 0)


async def test_leaving_a_count_costs_nothing(tmp_path: Path, ledger: Ledger) -> None:
    async with not_answering("reads") as (url, reached), rigged(tmp_path, *ledger, url, "anthropic") as rig:
        asked = rig.ask({"model": MODEL, "messages": CHAT["messages"]}, "/v1/messages/count_tokens")
        await reached.wait()
        asked.leave()
        await asked.done()
        row = await rig.usage()
        assert (row.charge_microcredits, row.input_tokens, row.outcome) == (0, 0, "cancelled")


# --- leaving at the very end ------------------------------------------------------------------------------------------


def counting_late(go_on: asyncio.Event) -> Script:
    """A stream that says its whole text, and the count of it only when `go_on` is set."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS_HEAD + chunk("x" * 400) + chunk("", "stop"))
        await writer.drain()
        await go_on.wait()
        writer.write(event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()

    return script


@pytest.mark.parametrize("counted", [True, False])
async def test_leaving_between_the_last_text_and_its_count(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    monkeypatch.setattr(api, "_COUNT_SECONDS", 60 if counted else 0.01)
    go_on = asyncio.Event()
    async with serving(counting_late(go_on)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = rig.ask({**CHAT, "stream": True})
        await asked.until(b'"finish_reason": "stop"')
        asked.leave()
        for _ in range(20):  # the gateway hears of it before the provider goes on
            await asyncio.sleep(0)
        if counted:
            go_on.set()
        await asked.done()
        row = await rig.usage()
        if counted:
            assert (row.input_tokens, row.output_tokens, row.estimated, row.outcome) == (10, 5, False, "completed")
            assert row.charge_microcredits == 10 + 5 * 4
        else:
            assert (row.output_tokens, row.estimated, row.outcome, row.status) == (100, True, "cancelled", 499)
        used = row.input_tokens + row.output_tokens
        assert (rig.reserved(), await rig.taken()) == (0, [used, used])


async def test_leaving_in_the_middle_of_the_text_waits_for_nothing(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_COUNT_SECONDS", 3600)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS_HEAD + chunk("x" * 40))
        await reader.read()

    async with serving(script) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = rig.ask({**CHAT, "stream": True})
        await asked.until(b"xxx")
        asked.leave()
        await asked.done()
        assert (await rig.usage()).outcome == "cancelled"


async def test_leaving_a_response_after_its_last_text_is_counted(tmp_path: Path, ledger: Ledger) -> None:
    """The Responses API has no finish reason: its done events say that the text is whole."""
    usage = {"input_tokens": 10, "output_tokens": 5}
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS_HEAD + event({"type": "response.output_text.delta", "delta": "x" * 400}))
        writer.write(event({"type": "response.output_text.done", "text": "x" * 400}))
        await writer.drain()
        await go_on.wait()
        writer.write(event({"type": "response.completed", "response": {"usage": usage}}))
        await writer.drain()
        writer.close()

    async with serving(script) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = rig.ask({"model": MODEL, "input": "hi", "stream": True}, "/v1/responses")
        await asked.until(b"output_text.done")
        asked.leave()
        await asyncio.sleep(0)
        go_on.set()
        await asked.done()
        row = await rig.usage()
        assert (row.input_tokens, row.output_tokens, row.estimated) == (10, 5, False)


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_what_can_not_be_estimated_costs_what_the_provider_counts(
    tmp_path: Path, ledger: Ledger, stream: bool
) -> None:
    """A file by its address may be a million tokens: who leaves early has had it read all the same."""
    usage = {"prompt_tokens": 4000, "completion_tokens": 50}
    go_on = asyncio.Event()
    begun = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if stream:
            writer.write(EVENTS_HEAD + chunk("x" * 40))
            await writer.drain()
        begun.set()
        await go_on.wait()
        if stream:
            writer.write(chunk("y", "stop") + event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
        else:
            message = {"role": "assistant", "content": "y"}
            writer.write(answer({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}))
        await writer.drain()
        writer.close()

    body = {**CHAT, "messages": [{"role": "user", "content": [PICTURE]}], "stream": stream}
    async with serving(script) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = rig.ask(body)
        await (asked.until(b"xxx") if stream else begun.wait())
        asked.leave()
        await asyncio.sleep(0.05)
        assert not asked.task.done()
        go_on.set()
        await asked.done()
        row = await rig.usage()
        assert (row.input_tokens, row.output_tokens, row.estimated) == (4000, 50, False)
        assert row.charge_microcredits == 4000 + 50 * 4


async def test_nothing_new_is_begun_for_a_caller_that_left(tmp_path: Path, ledger: Ledger) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await go_on.wait()
        writer.write(answer({}, b"500 Broken"))
        await writer.drain()

    body = {**CHAT, "messages": [{"role": "user", "content": [PICTURE]}]}
    async with serving(script) as server, rigged(tmp_path, *ledger, server.url, attempts_max=3) as rig:
        asked = rig.ask(body)
        await begun.wait()
        asked.leave()
        await asyncio.sleep(0.05)
        go_on.set()
        await asked.done()
        assert len(server.heads) == 1
        row = await rig.usage()
        assert (row.charge_microcredits, row.outcome, row.status) == (0, "cancelled", 499)


async def test_leaving_ends_the_upstream_once_what_it_read_is_counted(tmp_path: Path, ledger: Ledger) -> None:
    """Anthropic counts the prompt at the beginning of a stream."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started = {"message": {**MESSAGE, "content": [], "usage": {"input_tokens": 4000, "output_tokens": 1}}}
        writer.write(EVENTS_HEAD + b"event: message_start\n" + event({"type": "message_start", **started}))
        await writer.drain()
        await reader.read()

    source = {"type": "url", "url": "https://example.org/a.pdf"}
    content = [{"type": "document", "source": source}]
    body = {"model": MODEL, "max_tokens": 100, "stream": True, "messages": [{"role": "user", "content": content}]}
    async with serving(script) as server, rigged(tmp_path, *ledger, server.url, "anthropic") as rig:
        asked = rig.ask(body, "/v1/messages")
        await asked.until(b"message_start")
        asked.leave()
        await asked.done()
        row = await rig.usage()
        assert (row.input_tokens, row.outcome, row.status) == (4000, "cancelled", 499)


# --- what the provider counted is settled, whatever the caller is told ------------------------------------------------


def cut_call(finish: str) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "xx'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": USAGE}


TOOL = {"name": "f", "input_schema": {"type": "object"}}
FORCED = {**CHAT, "tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}}


async def test_a_cut_tool_call_is_an_answer_that_the_limit_ended(tmp_path: Path, ledger: Ledger) -> None:
    async with serving(says(answer(cut_call("length")))) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask(FORCED, "/v1/messages").done()
        told = json.loads(asked.body)
        assert asked.status == 200, told
        assert (asked.status, told["stop_reason"], told["content"]) == (200, "max_tokens", [])
        assert (await rig.usage()).charge_microcredits == 10 + 5 * 4


async def test_an_answer_that_can_not_be_translated_is_charged(tmp_path: Path, ledger: Ledger) -> None:
    """A caller may bring it about, and the provider has billed it."""
    async with serving(says(answer(cut_call("tool_calls")))) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask(FORCED, "/v1/messages").done()
        assert asked.status == 502
        row = await rig.usage()
        assert (row.charge_microcredits, row.status, row.outcome) == (10 + 5 * 4, 502, "failed")
        assert await rig.taken() == [15, 15]


async def test_a_stream_that_can_not_be_translated_is_charged_where_it_was_counted(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Nothing of it went out: what fails is the end of it."""
    script = says(EVENTS_HEAD, event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n", close=True)
    async with serving(script) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask({**FORCED, "stream": True}, "/v1/messages").done()
        assert asked.status == 502
        assert (await rig.usage()).charge_microcredits == 10 + 5 * 4


# --- the limits, corrected --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "status", "used"),
    [(GOOD, 200, 15), (answer({}, b"500 Internal Server Error"), 502, 0), (answer({}, b"400 Bad Request"), 400, 0),
     (answer({"choices": []}), 502, 0)],
    ids=["served", "failed", "the caller's mistake", "malformed"],
)  # fmt: skip
async def test_token_limits_count_what_was_used_in_the_end(
    tmp_path: Path, ledger: Ledger, said: bytes, status: int, used: int
) -> None:
    async with serving(says(said)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask().done()
        assert (asked.status, await rig.taken(), rig.reserved()) == (status, [used, used], 0)
        if used:
            # What the head said went out before the count was known: it shows the estimate.
            assert int(asked.headers["x-ratelimit-remaining-tokens"]) < 60_000 - 100


# --- Anthropic --------------------------------------------------------------------------------------------------------

MESSAGE = {
    "type": "message",
    "content": [{"type": "text", "text": "ok"}],
    "usage": {"input_tokens": 10, "cache_creation_input_tokens": 1000, "cache_read_input_tokens": 100, "output_tokens": 5},
}  # fmt: skip


async def test_cache_writes_are_charged_at_their_own_price(tmp_path: Path, ledger: Ledger) -> None:
    async with serving(says(answer(MESSAGE))) as server, rigged(tmp_path, *ledger, server.url, "anthropic") as rig:
        asked = await rig.ask(CHAT, "/v1/messages").done()
        assert asked.headers["x-valueapi-charge-microcredits"] == str(10 + 1250 + 10 + 20)
        row = await rig.usage()
        assert (row.charge_microcredits, row.input_tokens, row.cached_input_tokens) == (1290, 1110, 100)


async def messages(server: Server, tmp_path: Path, ledger: Ledger, dialect: str, *betas: bytes) -> tuple[int, bytes]:
    async with rigged(tmp_path, *ledger, server.url, dialect) as rig:
        asked = await rig.ask(CHAT, "/v1/messages", [(b"anthropic-beta", beta) for beta in betas]).done()
        assert asked.status is not None
        if asked.status == 400:
            assert (await rig.taken(), rig.reserved()) == ([0, 0], 0)
        return asked.status, asked.body


async def test_published_betas_go_on_all_of_them(tmp_path: Path, ledger: Ledger) -> None:
    first, second = b"interleaved-thinking-2025-05-14", b"context-1m-2025-08-07, effort-2025-11-24"
    async with serving(says(answer(MESSAGE))) as server:
        assert (await messages(server, tmp_path, ledger, "anthropic", first, second))[0] == 200
    assert b"anthropic-beta: " + first + b"," + second.replace(b" ", b"") + b"\r\n" in server.heads[0]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
async def test_an_unpublished_beta_is_refused_also_where_it_is_translated(
    tmp_path: Path, ledger: Ledger, dialect: str
) -> None:
    async with serving(says(answer(MESSAGE))) as server:
        status, body = await messages(server, tmp_path, ledger, dialect, b"pdfs-2024-09-25", b"files-api-2025-04-14")
    told = json.loads(body)
    assert status == 400 and told["type"] == "error" and told["error"]["type"] == "invalid_request_error"
    assert "'files-api-2025-04-14'" in told["error"]["message"] and server.connections == 0


# --- an upstream that refuses us, not the caller -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}},
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access"},
        },
    ],
)
async def test_a_400_about_our_own_key_or_purse_is_our_trouble(
    tmp_path: Path, ledger: Ledger, event_log: Path, said: dict[str, Any]
) -> None:
    """Google says so of a bad key, Anthropic of an empty purse: 502 to the caller, and the operator is told."""
    async with serving(says(answer(said, b"400 Bad Request"))) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask().done()
        assert asked.status == 502
        assert b"API_KEY" not in asked.body and b"balance" not in asked.body
        assert "gateway:provider:key_refused" in event_log.read_text()
        assert rig.reserved() == 0


async def test_a_400_about_the_request_is_the_callers(tmp_path: Path, ledger: Ledger, event_log: Path) -> None:
    said = {"error": {"message": "temperature is too high", "type": "invalid_request_error"}}
    async with serving(says(answer(said, b"400 Bad Request"))) as server, rigged(tmp_path, *ledger, server.url) as rig:
        asked = await rig.ask().done()
        assert asked.status == 400 and b"temperature" in asked.body
        assert not event_log.exists() or "key_refused" not in event_log.read_text()
