"""The real service with faults planted: the guard alone keeps the prompt from every sink, and no charge is lost."""

import asyncio
import json
import os
import secrets
import sqlite3
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import insert, select

import router.migrations.tables  # noqa: F401
from governance import events
from governance.datamap import METADATA, DataUse, Store
from governance.db import Database
from governance.mail import outbox
from router.billing import ledger, usage_log
from router.billing.usage_log import Usage
from tests.services.at_rest import holding
from tests.services.postgres import Postgres
from tests.services.redis import redis_server
from tests.services.valueapi import ValueAPI

STORES = ["sqlite", "postgresql"] if os.environ.get("BATTERY") else ["sqlite"]
BUT = frozenset({"first-run.json"})


class Planted(ValueAPI):
    """The service as `tests/services/planted.py` spoils it."""

    program = ("tests.services.planted", "serve", "--first-run")


def ask(service: ValueAPI, secret: str) -> list[int]:
    """Charges of a whole and a streamed answer to a prompt that holds the secret."""
    headers = {"authorization": f"Bearer {service.key}"}
    body = {"model": "simulator/gpt", "messages": [{"role": "user", "content": f"say secret: {secret} over"}]}
    with httpx2.Client(base_url=service.url, headers=headers, timeout=30) as client:
        whole = client.post("/v1/chat/completions", json=body)
        assert whole.status_code == 200 and secret in whole.text
        streamed = client.post("/v1/chat/completions", json={**body, "stream": True})
        assert "[DONE]" in streamed.text
    return [int(whole.headers["x-valueapi-charge-microcredits"])] * 2


async def rows(url: str) -> list[Usage]:
    """Usage rows, of a ledger that adds up."""
    database = Database(url)
    async with database.session(DataUse.SECURITY) as session:
        found = list((await session.scalars(select(Usage).order_by(Usage.id))).all())
    async with database.session(DataUse.PAYMENT) as session:
        assert (await ledger.verify(session)).ok
    await database.aclose()
    return found


@pytest.mark.parametrize("store", STORES)
def test_planted_faults_store_nothing_and_cost_no_charge(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment, folders = {"VALUEAPI_CONFINEMENT": "off", "VALUEAPI_WRITE_WATCH": "off"}, [tmp_path]
    with ExitStack() as stack:
        if store == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            environment |= {
                "VALUEAPI_DATABASE_URL": server.create_database(),
                "VALUEAPI_KEYS_URL": server.create_database(),
                "VALUEAPI_REDIS_URL": stack.enter_context(redis_server()),
            }
            folders.append(server.root)
        secret = " ".join(secrets.token_hex(3) for _ in range(20))
        pieces = [secret[at : at + 12] for at in range(0, 58, 12)]
        service = Planted(tmp_path / "home", environment).start()
        charges = ask(service, secret)
        service.stop()
        found = asyncio.run(rows(service.data_url))
        # The rows are there with their charges, and their texts are marks.
        assert [row.charge_microcredits for row in found] == charges and all(charges)
        assert all(row.model.startswith("withheld-") and row.user_agent is None for row in found)
        assert holding(folders, pieces, but=BUT) == {}
        log = [json.loads(line) for line in (service.home / "log" / "events.jsonl").read_text().splitlines()]
        hits = [each for each in log if each["event"] == "bodies:guard:hit"]
        # One incident a place, in whichever process: the second request adds none.
        assert max(Counter((each["sink"], each["place"]) for each in hits).values()) == 1
        assert {each["sink"] for each in hits} == {"journal", "sealed", "log", "event", "sql"}
        places = {each["sink"]: each["place"].partition(":")[0] for each in hits}
        assert places["journal"] == "router/gateway/settlement.py" and places["log"] == "tests/services/planted.py"
        assert [each["words"] for each in log if each["event"] == "planted:row:added"] == ["[withheld]"] * 2

        # The faults are real: without the guard each brings it to rest.
        if store == "sqlite":
            service.environment["VALUEAPI_BODY_GUARD"] = "off"
            other = " ".join(secrets.token_hex(3) for _ in range(20))
            service.start()
            ask(service, other)
            service.stop()
            files = {Path(name).name for name in holding(folders, [other[:40]], but=BUT)[other[:40]]}
            assert {"home.log", "events.jsonl", "valueapi.db"} <= files


def test_no_prompt_keeps_the_house_from_its_own_writes(service: ValueAPI) -> None:
    """A caller who knows our source, other people's addresses and browsers, and ids writes all of it into prompts."""
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
    victim = f"bartholomew.featherstonehaugh-{secrets.token_hex(4)}@subdomain.example.org"
    squatted = f"bartholomew.finch.featherstone-{secrets.token_hex(4)}@company.example.org"
    name = "the key of the kitchen's tablet, next to the kettle"
    policy = {"zdr": True, "allow": ["a-provider-whose-name-nobody-else-would-have"]}
    first = service.first_run["user"]
    source = Path(outbox.__file__).parent
    expected = [
        agent, victim, victim.lower(), squatted, name, json.dumps(policy), json.dumps(policy, separators=(",", ":")),
        *(file.read_text() for file in (source / "templates").glob("*.txt")),
        f"{service.url}/portal/confirm?token=", f"{service.url}/portal/password-reset", first["email"],
        "$argon2id$v=19$m=65536,t=3,p=4$", str(first.get("account_id", "")),
        Path(usage_log.__file__).read_text(), Path(events.__file__).read_text(), Path(outbox.__file__).read_text(),
        *(str(insert(table)) + str(select(table)) for table in METADATA[Store.DATA].sorted_tables),
    ]  # fmt: skip
    log, begun = service.home / "log" / "events.jsonl", time.time()
    before = log.read_text().count("bodies:guard:")
    with httpx2.Client(base_url=service.url, headers={"user-agent": agent}, timeout=30) as client:

        def prompt(text: str) -> None:
            body = {"model": "openai/good", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
            answer = client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {service.key}"})
            assert answer.status_code == 200, answer.text

        for text in expected:
            prompt(text)
        prompt("\n".join(expected))
        assert client.post("/v1/account/sign-up", json={"email": victim}).status_code == 202
        # Somebody else types it so that the house makes the same address of it: it is the owner's all the same.
        for typed in ("\uff42" + squatted[1:], squatted):
            assert client.post("/v1/account/sign-up", json={"email": typed}).status_code == 202
        signed = client.post("/v1/account/sign-in", json={"email": first["email"], "password": first["password"]})
        assert signed.status_code == 200
        client.headers["authorization"] = f"Bearer {signed.json()['session_token']}"
        made = client.post("/v1/account/keys", json={"name": name})
        assert made.status_code == 201 and made.json()["name"] == name
        prompt(made.json()["id"])
        assert client.delete(f"/v1/account/keys/{made.json()['id']}").status_code == 204
        keys = {key["id"]: key for key in client.get("/v1/account/keys").json()["keys"]}
        assert keys[made.json()["id"]]["name"] == name and keys[made.json()["id"]]["revoked_at"]
        until = time.monotonic() + 10
        while time.monotonic() < until:  # the commit loop writes rows after the answers
            with sqlite3.connect(service.home / "data" / "valueapi.db") as connection:
                agents = connection.execute("SELECT user_agent IS NULL FROM usage ORDER BY id DESC LIMIT 5").fetchall()
                [mailed] = connection.execute("SELECT count(*) FROM outbox WHERE template = 'confirm'").fetchone()
            if len(agents) == 5:
                break
    assert agents == [(0,)] * 5 and mailed >= 1 and time.time() - begun < 60
    assert log.read_text().count("bodies:guard:") == before
