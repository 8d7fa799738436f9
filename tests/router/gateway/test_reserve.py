"""What admission sets aside: never less than the request can cost, as far as that can be known."""

import asyncio
import json
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from governance.vault.keys import KeyStore
from router.providers.catalog import Price, Rates
from router.providers.usage import Usage
from tests.router.billing.book import Flaky
from tests.router.gateway.rig import CHAT, CONTEXT, MODEL, PRICE, rigged
from tests.router.gateway.scripted import says, serving
from tests.router.gateway.test_api import answer

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
Ledger = tuple[Flaky, KeyStore]
ADDED, OUTPUT_MAX = 1024, 400  # tokens that a provider may add; the rig's model's own limit
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]


def cost(input_tokens: int, output_tokens: int) -> int:
    return ceil((input_tokens * PRICE["cache_write"] + output_tokens * PRICE["output"]) / 1_000_000)


def text(body: dict[str, Any]) -> int:
    return len(json.dumps(body)) + ADDED


async def reserved(folder: Path, ledger: Ledger, body: dict[str, Any], path: str = "/v1/chat/completions") -> int:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.close()

    async with serving(script) as server, rigged(folder, *ledger, server.url) as rig:
        asked = rig.ask(body, path)
        came = asyncio.ensure_future(server.came.wait())
        await asyncio.wait((came, asked.task), return_when=asyncio.FIRST_COMPLETED)
        found = rig.reserved()
        asked.leave()
        go_on.set()  # what can't be estimated is waited for
        await asked.done()
        assert came.done(), asked.body
        return found


@pytest.mark.parametrize(
    ("fields", "most", "output"),
    [
        ({}, None, 100),
        ({"messages": IMAGE}, CONTEXT, 100),
        ({"messages": [{"role": "user", "content": "image_url https://x/y.png"}]}, None, 100),
        ({"messages": [{"role": "user", "content": "x" * CONTEXT}]}, CONTEXT, 100),
        ({"max_tokens": None}, None, OUTPUT_MAX),
        ({"max_tokens": 0}, None, OUTPUT_MAX),
        ({"max_tokens": 900}, None, 900),  # a beta may allow more than the model's usual
        ({"max_tokens": 10**6}, None, CONTEXT),
        ({"max_tokens": 1, "max_completion_tokens": 50}, None, 50),
        ({"max_tokens": 7, "n": 3}, None, 21),
        ({"max_tokens": 1, "prediction": {"type": "content", "content": "x"}}, None, OUTPUT_MAX),
    ],
)
async def test_a_chat_sets_aside_its_bytes_or_the_window(
    tmp_path: Path, ledger: Ledger, fields: dict[str, Any], most: int | None, output: int
) -> None:
    body = CHAT | fields
    assert await reserved(tmp_path, ledger, body) == cost(text(body) if most is None else most, output)


@pytest.mark.parametrize(
    ("given", "windows"),
    [("x" * 20_000, 1), (["x" * 10_000, "y" * 10_000], 2), ([[1] * 9_000, [2] * 9_000], 2), ([1] * 9_000, 1)],
    ids=["text", "texts", "lists of tokens", "tokens"],
)
async def test_each_listed_prompt_is_read_by_itself(
    tmp_path: Path, ledger: Ledger, given: object, windows: int
) -> None:
    body = {"model": MODEL, "input": given}
    assert await reserved(tmp_path, ledger, body, "/v1/embeddings") == cost(CONTEXT * windows, 0)


async def test_an_account_in_debt_is_refused_at_once(tmp_path: Path, ledger: Ledger) -> None:
    """A provider may count what it likes: the next request pays for the error, committed or not."""
    usage = {"prompt_tokens": 99_000_000, "completion_tokens": 1_000_000, "total_tokens": 100_000_000}
    dear = answer({"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}], "usage": usage})
    async with serving(says(dear)) as server, rigged(tmp_path, *ledger, server.url, per_minute=10**12) as rig:
        assert (await rig.ask().done()).status == 200
        assert (await rig.ask().done()).status == 402
        assert (await rig.usage()).charge_microcredits > 100_000_000
        assert (await rig.ask().done()).status == 402
        assert server.connections == 1 and len(server.bodies) == 1


async def test_a_charge_can_be_computed_again_from_its_row(tmp_path: Path, ledger: Ledger) -> None:
    details = {"cached_tokens": 100, "cache_write_tokens": 300}
    usage = {"prompt_tokens": 1_000, "completion_tokens": 50, "prompt_tokens_details": details}
    told = answer({"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}], "usage": usage})
    async with serving(says(told)) as server, rigged(tmp_path, *ledger, server.url) as rig:
        assert (await rig.ask().done()).status == 200
        row = await rig.usage()
        price = Price(Rates(**PRICE))
        used = Usage(row.input_tokens, row.cached_input_tokens, row.output_tokens, False, row.cache_write_tokens)
        assert (row.cache_write_tokens, row.charge_microcredits) == (300, price.charge_microcredits(used))
        assert row.charge_microcredits == 600 + 10 + 375 + 200
