"""Many requests at once, each dearer than its bytes say: no balance goes below zero, and one that did is refused."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.services.valueapi import ValueAPI

AT_ONCE = 40
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GEMINI = "/v1beta/models/simulator/gemini:generateContent"
LIMITED = {"max_tokens": 10}


def _said(*parts: object) -> list[object]:
    return [{"role": "user", "content": list(parts)}]


DEARER: list[tuple[str, object]] = [
    (
        GEMINI,
        {"contents": [{"parts": [{"fileData": {"fileUri": "https://example.org/a.pdf?tokens=900000"}}]}]},
    ),
    (
        GEMINI,
        {"contents": [{"parts": [{"file_data": {"file_uri": "https://example.org/a.pdf?tokens=900000"}}]}]},
    ),
    (
        CHAT,
        {
            "model": "simulator/gpt",
            "messages": _said({"type": "image_url", "image_url": {"url": "https://example.org/a.png?tokens=120000"}}),
            **LIMITED,
        },
    ),
    (
        RESPONSES,
        {
            "model": "simulator/gpt",
            "input": _said({"type": "input_file", "file_url": "https://example.org/a.pdf?tokens=120000"}),
            "max_output_tokens": 10,
        },
    ),
    (
        MESSAGES,
        {
            "model": "simulator/claude",
            "messages": _said(
                {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf?tokens=190000"}}
            ),
            **LIMITED,
        },
    ),
]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ValueAPI]:
    tiers = tmp_path / "limits.yaml"
    rates = "{requests_per_minute: 100000, tokens_per_minute: 1000000000}"
    tiers.write_text(f"tiers: [{{name: free, lifetime_top_up_microcredits_min: 0, account: {rates}, key: {rates}}}]\n")
    made = ValueAPI(tmp_path / "home", {"VALUEAPI_DEMO_CREDITS": "1", "VALUEAPI_TIERS": str(tiers)}).start()
    yield made
    made.stop()


def test_what_comes_by_reference_never_takes_a_balance_below_zero(service: ValueAPI) -> None:
    headers = {"authorization": f"Bearer {service.key}"}

    def ask(number: int) -> int:
        path, body = DEARER[number % len(DEARER)]
        return httpx2.post(service.url + path, json=body, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(ask, range(AT_ONCE)))
    assert service.stop() == 0
    assert set(statuses) == {200, 402}
    listed = json.loads(service.cli("accounts", "list", "--json").stdout)
    balances = [int(row["balance_microcredits"]) for row in listed]
    assert min(balances) >= 0 and sum(balances) < 1_000_000
    assert json.loads(service.cli("ledger", "verify", "--json").stdout)["ok"] is True
