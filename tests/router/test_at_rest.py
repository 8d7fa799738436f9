"""After real traffic nothing of a prompt, a completion, an address, a client or a secret is readable at rest."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
import redis
from sqlalchemy import func, select, text

import router.migrations.tables  # noqa: F401
from governance.datamap import METADATA, Store
from governance.db import Database
from tests.services.at_rest import forms, holding
from tests.services.postgres import Postgres
from tests.services.redis import redis_server
from tests.services.valueapi import ValueAPI

FILES = frozenset({"first-run.json"})


@pytest.fixture(params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ValueAPI, list[Path]]]:
    """A service on each database, and every folder in which its bytes come to rest."""
    environment, folders = {}, [tmp_path]
    with ExitStack() as stack:
        if request.param == "postgresql":
            server = Postgres()  # its own: every byte of it is searched
            stack.callback(server.stop)
            environment = {
                "VALUEAPI_DATABASE_URL": server.create_database(),
                "VALUEAPI_KEYS_URL": server.create_database(),
                "VALUEAPI_REDIS_URL": stack.enter_context(redis_server()),
            }
            folders.append(server.root)
        service = ValueAPI(tmp_path / "home", environment).start()
        yield service, folders
        service.stop()


def redis_words(service: ValueAPI) -> list[bytes]:
    """Every key and value that Redis holds; its rate limits alone are there."""
    client = redis.Redis.from_url(service.environment["VALUEAPI_REDIS_URL"])
    words = [part for key in client.scan_iter() for part in (key, client.dump(key) or b"")]
    client.close()
    assert words
    return words


# Consents and requests are the first entries about a person in the data store; what is sealed there is an entry's id.
NOBODY_WRITES_YET = {"data_evidence_subject"}


def empty_tables(service: ValueAPI) -> set[str]:
    """Tables with sealed columns of which no row was there: a search of them would prove nothing."""

    async def count() -> set[str]:
        empty = set()
        for store, url in ((Store.DATA, service.data_url), (Store.KEYS, service.keys_url)):
            database = Database(url)
            async with database.engine.connect() as connection:
                for table in METADATA[store].sorted_tables:
                    sealed = any(getattr(column.type, "seals", False) for column in table.columns)
                    if sealed and not table.name.startswith("test_"):
                        rows = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                        empty |= set() if rows else {table.name}
            await database.aclose()
        return empty

    return asyncio.run(count())


def traffic(service: ValueAPI, canary: str, agent: str) -> None:
    headers = {"authorization": f"Bearer {service.key}", "user-agent": agent, "x-forwarded-for": "203.0.113.77"}
    body = {"model": "simulator/gpt", "messages": [{"role": "user", "content": f"say {canary}"}], "user": canary}
    with httpx2.Client(base_url=service.url, headers=headers, timeout=30) as client:
        assert canary in client.post("/v1/chat/completions", json=body).text
        assert "[DONE]" in client.post("/v1/chat/completions", json={**body, "stream": True}).text
        for bad in (
            {**body, "model": canary},
            {**body, "n": canary},
            {**body, "provider": {canary: canary}},
            {**body, "stop": canary, "tools": canary, "previous_response_id": canary},
        ):
            answer = client.post("/v1/chat/completions", json=bad)
            assert answer.status_code in (400, 404), answer.text
            assert canary not in answer.text or answer.json()["error"].get("code") is None
        malformed = client.post("/v1/chat/completions", content=b'{"model": ' + canary.encode() + b"}")
        assert malformed.status_code == 400 and canary not in malformed.text
        client.post(f"/v1/{canary}?q={canary}", headers={"x-note": canary}, json=body)
        client.post("/v1/chat/completions", headers={"authorization": f"Bearer {canary}"}, json=body)
        client.post("/v1/account/sign-in", json={"email": f"{canary}@example.org", "password": canary})
        client.get(f"/portal/{canary}")
        person = {name: service.first_run["user"][name] for name in ("email", "password")}
        assert client.post("/v1/account/sign-in", json=person).status_code == 200
        # A stranger signs up: a mail in the outbox, and the first user's address once more.
        for address in (f"{canary}@example.org", person["email"]):
            assert client.post("/v1/account/sign-up", json={"email": address}).status_code == 202
        client.post("/v1/account/confirm", json={"token": canary, "password": f"long enough {canary}"})


async def _plant(url: str, words: str) -> None:
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE forgotten (words TEXT)"))
        await connection.execute(text("INSERT INTO forgotten VALUES (:words)"), {"words": words})
    await database.aclose()


def test_nothing_is_readable_and_the_search_would_find_it(running: tuple[ValueAPI, list[Path]]) -> None:
    service, folders = running
    canary, agent = f"kanarie{secrets.token_hex(12)}", f"agent-{secrets.token_hex(10)}/1.0"
    email = service.first_run["user"]["email"]
    traffic(service, canary, agent)
    needles = [canary, agent, email, service.first_run["user"]["password"]]
    shown = [mail["id"] for mail in json.loads(service.run("outbox", "list", "--json").stdout)]
    assert "@" in service.run("outbox", "show", shown[0], "--json").stdout  # an opening by staff: recorded, sealed
    if "VALUEAPI_REDIS_URL" in service.environment:
        spellings = [form for needle in needles for form in forms(needle)]
        assert not [word for word in redis_words(service) for spelling in spellings if spelling in word]
    service.stop()  # settles, commits and checkpoints: all that will ever rest, rests now
    assert empty_tables(service) == NOBODY_WRITES_YET
    assert holding(folders, needles, but=FILES) == {}
    # Nor does the key, which is printed on a terminal alone.
    assert holding(folders, [service.key], but=FILES) == {}
    # The positive control, first in a table of the data store, as a column that someone forgot to seal.
    unsealed = f"unsealed{secrets.token_hex(12)}"
    if len(folders) == 1:
        import sqlite3

        with sqlite3.connect(folders[0] / "home" / "data" / "valueapi.db") as connection:
            connection.execute("CREATE TABLE forgotten (words TEXT)")
            connection.execute("INSERT INTO forgotten VALUES (?)", (unsealed,))
    else:
        asyncio.run(_plant(service.environment["VALUEAPI_DATABASE_URL"], unsealed))
    assert holding(folders, [unsealed], but=FILES)
    # Then as files: what is planted in any form is found, so finding nothing means something.
    for number, form in enumerate(sorted(forms(canary))):
        (folders[0] / f"planted-{number}").write_bytes(b"xx" + form + b"yy")
    found = holding(folders, [canary], but=FILES)
    assert len(found[canary]) == len(forms(canary))


def test_a_killed_service_left_nothing_readable_either(tmp_path: Path) -> None:
    service = ValueAPI(tmp_path / "home").start()
    canary, agent = f"kanarie{secrets.token_hex(12)}", f"agent-{secrets.token_hex(10)}/1.0"
    traffic(service, canary, agent)
    service.kill()  # journal, WAL and shared memory stay as they are
    assert holding([tmp_path], [canary, agent, service.first_run["user"]["email"]], but=FILES) == {}


def test_the_usage_row_has_what_the_policy_lists_and_its_network_data_sealed(tmp_path: Path) -> None:
    import sqlite3

    service = ValueAPI(tmp_path / "home").start()
    traffic(service, "kanarie", "agent-of-this-test/1.0")
    service.stop()
    with sqlite3.connect(tmp_path / "home" / "data" / "valueapi.db") as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM usage WHERE status = 200 ORDER BY id LIMIT 1").fetchone())
    assert row["model"] == "simulator/gpt" and row["input_tokens"] > 0 and row["output_tokens"] > 0
    assert bytes(row["ip"])[:2] == bytes(row["user_agent"])[:2] == b"\x01\x02"  # under two keys
    assert json.dumps({name: str(value) for name, value in row.items()}).count("agent-of-this-test") == 0
