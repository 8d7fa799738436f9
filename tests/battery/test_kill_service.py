"""SIGKILL under concurrent paid traffic, again and again: the ledger adds up, nothing is charged twice or not at all."""

import asyncio
import json
import os
import random
import sqlite3
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from tests.services.valueapi import ValueAPI

ROUNDS = 100 if os.environ.get("BATTERY") else 8


async def _traffic(service: ValueAPI, seconds: float, completed: dict[str, bool]) -> None:
    """Whole and streamed requests from many clients; remembers each response that arrived to its last byte."""

    async def client(number: int) -> None:
        headers = {"authorization": f"Bearer {service.key}"}
        async with httpx2.AsyncClient(base_url=service.url, headers=headers, timeout=5) as http:
            while True:
                stream = bool(number % 2)
                body = {"model": "simulator/gpt", "stream": stream, "max_tokens": 50,
                        "messages": [{"role": "user", "content": "say kanarie"}]}  # fmt: skip
                try:
                    answer = await http.post("/v1/chat/completions", json=body)
                except httpx2.HTTPError:
                    return
                whole = answer.text.rstrip().endswith("[DONE]") if stream else answer.text.endswith("}")
                if answer.status_code == 200 and whole:
                    completed[answer.headers["x-request-id"]] = stream

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    await asyncio.sleep(seconds)
    await asyncio.to_thread(service.kill)
    await asyncio.gather(*clients)


def _enough(completed: dict[str, bool]) -> bool:
    return len(completed) > ROUNDS and set(completed.values()) == {False, True}


def _charged(home: Path) -> dict[str, int]:
    """Request id to the sum of charges: its usage row, and its entry in the ledger."""
    with sqlite3.connect(home / "data" / "valueapi.db") as connection:
        return {f"req_{key}": charge for key, charge in connection.execute("SELECT id, charge_microcredits FROM usage")}


@pytest.mark.timeout(900)
def test_sigkill_under_paid_traffic(tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    rates = "{requests_per_minute: 1000000, tokens_per_minute: 1000000000}"
    limits.write_text(f"tiers: [{{name: free, lifetime_top_up_microcredits_min: 0, account: {rates}, key: {rates}}}]\n")
    service = ValueAPI(tmp_path / "home", {"VALUEAPI_TIERS": str(limits), "VALUEAPI_DEMO_CREDITS": "1000"})
    completed: dict[str, bool] = {}
    rounds = 0
    # On a busy machine a kill may come before anything has arrived: then there are more of them.
    while rounds < ROUNDS or (not _enough(completed) and rounds < 4 * ROUNDS):
        rounds += 1
        service.start()
        asyncio.run(_traffic(service, random.uniform(0.05, 0.8), completed))
    service.start()
    assert service.stop() == 0
    check = json.loads(service.cli("ledger", "verify", "--json").stdout)
    assert check["ok"] is True
    charged = _charged(service.home)
    assert _enough(completed)
    uncharged = [name for name in completed if charged.get(name, 0) <= 0]
    assert uncharged == []
    # One entry a request: the ledger's charges are the usage rows' charges, to the micro-credit.
    with sqlite3.connect(service.home / "data" / "valueapi.db") as connection:
        entries, total = connection.execute(
            "SELECT count(*), sum(amount_microcredits) FROM posting JOIN ledger_account ON ledger_account.id = "
            "posting.ledger_account_id WHERE ledger_account.kind = 'revenue'"
        ).fetchone()
        open_leases = connection.execute("SELECT count(*) FROM lease WHERE state = 'open'").fetchone()[0]
    assert total == sum(charged.values())
    assert entries == sum(1 for charge in charged.values() if charge)
    assert open_leases == 0
    assert all(UUID(name.removeprefix("req_")) for name in charged)
    assert list((service.home / "data" / "journal").glob("*.journal")) == []
