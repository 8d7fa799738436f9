"""The JSON API on a real socket, on both databases: what an account can do, and that it can't do it to another."""

import asyncio
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from governance import clock
from governance.datamap import DataUse
from governance.ids import uuid7
from router.billing import ledger, usage_log
from router.billing.meter_event import MeterEvent
from router.surface import Account
from router.web import account_shapes
from tests.router.web.running import PASSWORD, Running, Stores, serve

EMAIL = "ada@example.org"
API = "/v1/account"


async def test_from_sign_up_to_a_revoked_key(web: Running) -> None:
    async with web.client() as client:
        answer = await client.post(f"{API}/sign-up", json={"email": EMAIL})
        assert answer.status_code == 202
        early = await client.post(f"{API}/sign-in", json={"email": EMAIL, "password": PASSWORD})
        assert (early.status_code, early.json()["code"]) == (401, "sign_in_failed")
        token = (await web.link("confirm")).rpartition("=")[2]
        short = await client.post(f"{API}/confirm", json={"token": token, "password": "short"})
        assert (short.status_code, short.json()["param"]) == (422, "password")
        chosen = {"token": token, "password": PASSWORD}
        assert (await client.post(f"{API}/confirm", json=chosen)).status_code == 200
        again = await client.post(f"{API}/confirm", json=chosen)
        assert (again.status_code, again.json()["param"]) == (422, "token")
        assert token not in again.text

        client.headers |= await web.bearer(EMAIL)
        me = (await client.get(f"{API}/me")).json()
        assert (me["email"], me["role"], me["first_password"]) == (EMAIL, "user", False)
        assert me["session_expires_at"].endswith("Z")

        made = await client.post(f"{API}/keys", json={"name": "laptop", "data_policy": {"zdr": True}})
        assert made.status_code == 201
        secret, key_id = made.json()["secret"], made.json()["id"]
        principal = await web.context.directory.find(secret)
        assert str(principal.account_id) == me["account_id"]
        assert principal.key_policy == {"zdr": True}  # nothing said of storing: the account decides

        renamed = await client.patch(f"{API}/keys/{key_id}", json={"name": "desktop"})
        assert renamed.json()["name"] == "desktop"
        assert renamed.json()["data_policy"] == principal.key_policy
        freed = await client.patch(f"{API}/keys/{key_id}", json={"data_policy": None})
        assert freed.json()["data_policy"] is None
        assert (await web.context.directory.find(secret)).key_policy is None

        assert (await client.delete(f"{API}/keys/{key_id}")).status_code == 204
        assert web.context.directory.cached(secret) is None
        assert (await client.delete(f"{API}/keys/{key_id}")).status_code == 404
        shown = (await client.get(f"{API}/keys")).json()["keys"]
        assert [(key["id"], key["revoked_at"] is None) for key in shown] == [(key_id, False)]
        assert secret not in str(shown)

        assert (await client.post(f"{API}/sign-out")).status_code == 204
        assert (await client.get(f"{API}/me")).status_code == 401


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_what_is_sent_and_answered_prints_as_stars(web: Running) -> None:
    sent = account_shapes.Credentials(email=EMAIL, password=PASSWORD)
    await web.person(EMAIL)
    async with web.client() as client:
        began = account_shapes.Session.model_validate_json(
            (await client.post(f"{API}/sign-in", json=sent.model_dump())).content
        )
    for shape in (sent, began):
        assert f"{shape}{shape!r}" == f"<{type(shape).__name__} ***>" * 2


async def test_usage_is_the_own_accounts(web: Running) -> None:
    mine, other = await web.person(EMAIL), await web.person("eve@example.org")
    data, keys = web.context.data, web.context.keys
    ids = []
    for person, count in ((mine, 3), (other, 1)):
        async with data.transaction(DataUse.PAYMENT) as session:
            await ledger.grant(session, person.account_id, 2_000_000 * count, str(uuid4()), ledger.EntryKind.DEMO)
        rows = []
        for _ in range(count):
            event = MeterEvent(
                request_id=uuid7(),
                account_id=person.account_id,
                subject_id=person.subject_id,
                api_key_id=uuid4(),
                at_ms=clock.unix_ms(),
                endpoint="chat",
                model="simulator/gpt",
                provider="simulator",
                input_tokens=10,
                cached_input_tokens=4,
                cache_write_tokens=2,
                output_tokens=5,
                estimated=False,
                charge_microcredits=700,
                latency_ms=12,
                first_byte_ms=6,
                status=200,
                outcome="completed",
                ip="198.51.100.7",
                user_agent="canary-agent",
            )
            ids.append(str(event.request_id))
            rows.append(await usage_log.row_of(keys, event))
        async with data.transaction(DataUse.PAYMENT) as session:
            await usage_log.add(session, rows)
    headers = await web.bearer(EMAIL)
    async with web.client(headers=headers) as client:
        first = (await client.get(f"{API}/usage", params={"limit": 2})).json()
        assert first["balance_microcredits"] == 6_000_000
        assert [(row["requests"], row["charge_microcredits"]) for row in first["totals"]] == [(3, 2100)]
        rest = (await client.get(f"{API}/usage", params={"limit": 2, "before": first["next_before"]})).json()
        assert rest["next_before"] is None
        assert {row["cache_write_tokens"] for row in first["requests"]} == {2}
        assert [row["cache_write_tokens"] for row in first["totals"]] == [6]
        seen = [row["id"] for row in first["requests"] + rest["requests"]]
        assert sorted(seen) == sorted(ids[:3])
        # For security only: the log's own view doesn't open them.
        assert "198.51.100.7" not in str(first) + str(rest)
        assert "canary-agent" not in str(first) + str(rest)


async def test_data_policy_is_checked_and_heard(web: Running) -> None:
    await web.person(EMAIL)
    async with web.client(headers=await web.bearer(EMAIL)) as client:
        assert (await client.get(f"{API}/data-policy")).json() == {"allow_store": False}
        wish = {"data_collection": "deny", "ignore": ["openai"], "max_retention_days": 0, "allow_store": True}
        before = web.bumps
        put = await client.put(f"{API}/data-policy", json=wish)
        assert put.status_code == 200
        assert put.json() == wish
        assert web.bumps == before + 1
        assert (await client.get(f"{API}/data-policy")).json() == wish
        for bad, param in (
            ({"ignore": ["opnai"]}, "ignore"),
            ({"zdr": "canary-yes"}, "data_policy.zdr"),
            ({"canary-field": 1}, "data_policy"),
            ({"allow_store": 1}, "allow_store"),
        ):
            refused = await client.put(f"{API}/data-policy", json=bad)
            assert (refused.status_code, refused.json()["param"]) == (400, param)
            assert "canary" not in refused.text
            assert "opnai" not in refused.text
        assert (await client.get(f"{API}/data-policy")).json() == wish


async def test_another_accounts_key_is_not_there(web: Running) -> None:
    await web.person(EMAIL)
    await web.person("eve@example.org")
    async with (
        web.client(headers=await web.bearer(EMAIL)) as ada,
        web.client(headers=await web.bearer("eve@example.org")) as eve,
    ):
        made = (await ada.post(f"{API}/keys", json={"name": "mine"})).json()
        missing = await eve.patch(f"{API}/keys/{uuid4()}", json={"name": "theirs"})
        for answer in (
            await eve.patch(f"{API}/keys/{made['id']}", json={"name": "theirs"}),
            await eve.patch(f"{API}/keys/{made['id']}", json={"data_policy": {}}),
            await eve.delete(f"{API}/keys/{made['id']}"),
            await eve.delete(f"{API}/keys/not-an-id"),
        ):
            assert answer.status_code == 404
            assert answer.json() | {"request_id": ""} == missing.json() | {"request_id": ""}
        assert (await ada.get(f"{API}/keys")).json()["keys"][0]["name"] == "mine"
        assert (await web.context.directory.find(made["secret"])).key_policy is None


async def test_sign_up_and_reset_are_no_oracle(web: Running) -> None:
    await web.person(EMAIL)
    async with web.client() as client:
        for path in ("sign-up", "password-reset"):
            known = await client.post(f"{API}/{path}", json={"email": EMAIL})
            unknown = await client.post(f"{API}/{path}", json={"email": f"{uuid4().hex}@example.org"})
            assert known.status_code == unknown.status_code == 202
            assert known.content == unknown.content
            ignored = {"x-request-id", "date"}
            assert {k: v for k, v in known.headers.items() if k not in ignored} == {
                k: v for k, v in unknown.headers.items() if k not in ignored
            }
        wrong = await client.post(f"{API}/sign-in", json={"email": EMAIL, "password": "not the passphrase"})
        nobody = await client.post(f"{API}/sign-in", json={"email": "x@example.org", "password": "not the passphrase"})
        assert wrong.status_code == nobody.status_code == 401
        assert wrong.json() | {"request_id": ""} == nobody.json() | {"request_id": ""}
    # The owner is told, not whoever asked.
    assert len(await web.mails("existing-account")) == 1


async def test_password_reset_ends_every_session(web: Running) -> None:
    await web.person(EMAIL)
    old = await web.bearer(EMAIL)
    async with web.client() as client:
        await client.post(f"{API}/password-reset", json={"email": EMAIL})
        token = (await web.link("password-reset")).rpartition("=")[2]
        short = await client.post(f"{API}/password-reset/confirm", json={"token": token, "password": "short"})
        assert (short.status_code, short.json()["param"]) == (422, "password")
        fresh = "another long passphrase"
        done = await client.post(f"{API}/password-reset/confirm", json={"token": token, "password": fresh})
        assert done.status_code == 200
        again = await client.post(f"{API}/password-reset/confirm", json={"token": token, "password": fresh})
        assert again.status_code == 422
        assert (await client.get(f"{API}/me", headers=old)).status_code == 401
        assert (await client.get(f"{API}/me", headers=await web.bearer(EMAIL, fresh))).status_code == 200


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_session_expires(web: Running) -> None:
    await web.person(EMAIL)
    headers = await web.bearer(EMAIL)
    async with web.client(headers=headers) as client:
        assert (await client.get(f"{API}/me")).status_code == 200
        later = datetime.now(UTC) + timedelta(hours=web.context.settings.session_hours, seconds=5)
        clock.install(lambda: later)
        try:
            assert (await client.get(f"{API}/me")).status_code == 401
        finally:
            clock.install(None)


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_only_a_bearer_session_token_is_taken(web: Running) -> None:
    await web.person(EMAIL)
    headers = await web.bearer(EMAIL)
    token = headers["authorization"].removeprefix("Bearer ")
    async with web.client(headers=headers) as client:
        secret = (await client.post(f"{API}/keys", json={"name": "k"})).json()["secret"]
    async with web.client() as client:
        for wrong in (
            {},
            {"cookie": f"session={token}"},
            {"authorization": f"Basic {token}"},
            {"authorization": f"Bearer {secret}"},
        ):
            answer = await client.get(f"{API}/me", headers=wrong)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert secret not in answer.text


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_welcome_credits_come_once(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home", sign_up_credits_microcredits=250_000) as web, web.client() as client:
        await client.post(f"{API}/sign-up", json={"email": EMAIL})
        token = (await web.link("confirm")).rpartition("=")[2]
        for _ in range(2):
            await client.post(f"{API}/confirm", json={"token": token, "password": PASSWORD})
        usage = await client.get(f"{API}/usage", headers=await web.bearer(EMAIL))
        assert usage.json()["balance_microcredits"] == 250_000


async def test_whoever_confirms_by_a_new_password_is_welcome_once_too(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home", sign_up_credits_microcredits=250_000) as web, web.client() as client:
        await client.post(f"{API}/sign-up", json={"email": EMAIL})
        for number in range(2):
            await client.post(f"{API}/password-reset", json={"email": EMAIL})
            token = (await web.link("password-reset")).rpartition("=")[2]
            chosen = {"token": token, "password": f"{PASSWORD} {number}"}
            refused = await client.post(f"{API}/password-reset/confirm", json=chosen | {"password": "short"})
            done = await client.post(f"{API}/password-reset/confirm", json=chosen)
            assert (refused.status_code, done.status_code) == (422, 200)
        # Nor does the first link bring anything any more.
        token = (await web.link("confirm")).rpartition("=")[2]
        assert (await client.post(f"{API}/confirm", json={"token": token, "password": PASSWORD})).status_code == 422
        usage = await client.get(f"{API}/usage", headers=await web.bearer(EMAIL, f"{PASSWORD} 1"))
        assert usage.json()["balance_microcredits"] == 250_000


async def test_a_new_password_of_a_confirmed_address_brings_no_welcome(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home") as web:
        await web.person(EMAIL)
    async with serve(stores, tmp_path / "home", sign_up_credits_microcredits=250_000) as web, web.client() as client:
        await client.post(f"{API}/password-reset", json={"email": EMAIL})
        chosen = {"token": (await web.link("password-reset")).rpartition("=")[2], "password": f"{PASSWORD} anew"}
        assert (await client.post(f"{API}/password-reset/confirm", json=chosen)).status_code == 200
        usage = await client.get(f"{API}/usage", headers=await web.bearer(EMAIL, f"{PASSWORD} anew"))
        assert usage.json()["balance_microcredits"] == 0


async def test_both_links_at_once_bring_one_welcome(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home", sign_up_credits_microcredits=250_000) as web, web.client() as client:
        await client.post(f"{API}/sign-up", json={"email": EMAIL})
        await client.post(f"{API}/password-reset", json={"email": EMAIL})
        tokens = [(await web.link(template)).rpartition("=")[2] for template in ("confirm", "password-reset")]
        answers = await asyncio.gather(
            *(
                client.post(f"{API}/{path}", json={"token": token, "password": PASSWORD})
                for path, token in zip(("confirm", "password-reset/confirm"), tokens, strict=True)
            )
        )
        assert sorted({answer.status_code for answer in answers}) in ([200], [200, 422])
        usage = await client.get(f"{API}/usage", headers=await web.bearer(EMAIL))
        assert usage.json()["balance_microcredits"] == 250_000


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from governance.db import Database
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from router.accounts import sign_up
from router.accounts.desk import Desk, Links
from router.accounts.passwords import Passwords
from governance.vault.blind_index import EmailIndex
from router.web import welcome

async def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main(data_url, keys_url, key_file, token):
    data = Database(data_url)
    keys = KeyStore(Database(keys_url), FileKeyring(Path(key_file)))
    data.context["keys"] = keys
    sign_up.confirm = die
    desk = Desk(data, keys, EmailIndex(keys), Passwords(), Links("http://localhost"))
    await welcome.confirm(desk, token, "a long enough passphrase", 250_000)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_kill_between_welcome_and_confirmation_loses_neither(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    urls = [database.engine.url.render_as_string(hide_password=False) for database in (data, keys.db)]
    async with serve(stores, tmp_path / "home", sign_up_credits_microcredits=300_000) as web, web.client() as client:
        await client.post(f"{API}/sign-up", json={"email": EMAIL})
        token = (await web.link("confirm")).rpartition("=")[2]
        for _ in range(2):
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", KILLED, *urls, str(tmp_path / "keys" / "root.key"), token
            )
            assert await child.wait() == -signal.SIGKILL
        # The same link goes on from there, though the operator has set another amount since.
        chosen = {"token": token, "password": PASSWORD}
        assert (await client.post(f"{API}/confirm", json=chosen)).status_code == 200
        usage = await client.get(f"{API}/usage", headers=await web.bearer(EMAIL))
        assert usage.json()["balance_microcredits"] == 250_000


async def test_the_watch_over_openings_tells_nobody_who_has_an_account(web: Running, event_log: Path) -> None:
    """Very many sign-ins within a minute are an incident; the answers stay the same, and who has a password gets in."""
    people = [f"p{number}@example.org" for number in range(7)]
    for email in people:
        await web.person(email)
    web.context.keys.openings.per_minute = 2
    web.context.keys.openings.keys_per_minute = 2
    async with web.client() as client:

        async def sign_in(email: str, password: str) -> httpx2.Response:
            return await client.post("/v1/account/sign-in", json={"email": email, "password": password})

        wrong = [await sign_in(email, "wrong wrong wrong") for email in (*people, "nobody@example.org")]
        assert {(answer.status_code, answer.json()["code"]) for answer in wrong} == {(401, "sign_in_failed")}
        assert (await sign_in(people[-1], PASSWORD)).status_code == 200
        web.context.keys.openings.per_minute = web.context.keys.openings.keys_per_minute = 0
        for path in (Account.PASSWORD_RESET, Account.SIGN_UP):
            sent = [await client.post(str(path), json={"email": email}) for email in (people[0], "nobody@example.org")]
            assert sent[0].status_code == sent[1].status_code == 202 and sent[0].content == sent[1].content
    assert "vault:opening:bulk" in event_log.read_text()
