"""Nothing that names, finds or lets in a person rests readable: every byte is searched, and the search is proved."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from governance import events
from governance.datamap import METADATA, Store
from governance.db import Database
from governance.vault.blind_index import EmailIndex
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from router.accounts.api_key import ApiKeys
from router.accounts.desk import Desk, Links
from router.accounts.first_run import make_first_run
from router.accounts.password_change import request_reset, reset
from router.accounts.passwords import Passwords
from router.accounts.sign_in import SignInFailed, sign_in
from router.accounts.sign_up import sign_up
from tests.router.accounts.conftest import CHEAP, join, mailed_token
from tests.services.postgres import Postgres

EMAIL = "Zyxwvut.Canary@canary-domain.example"
PASSWORD = "canary password one"
NEW = "canary password two"
IP = "198.51.100.233"
USER_AGENT = "CanaryBrowser/77.1"
NAME = "canary key name"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """One of its own: every byte of it is searched, and the suite's holds hundreds of databases."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Desk, list[Path]]]:
    """A desk, and every folder where its stores and events rest."""
    folders = [tmp_path]
    urls = [f"sqlite+aiosqlite:///{tmp_path}/data/data.db", f"sqlite+aiosqlite:///{tmp_path}/keys/keys.db"]
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        urls = [server.create_database(), server.create_database()]
        folders.append(server.root)
    stores = Database(urls[0]), Database(urls[1])
    for database, store in zip(stores, (Store.DATA, Store.KEYS), strict=True):
        async with database.engine.begin() as connection:
            await connection.run_sync(METADATA[store].create_all)
    events.open_sink(tmp_path / "log")
    keys = KeyStore(stores[1], FileKeyring.create(tmp_path / "keys" / "root.key"))
    stores[0].context["keys"] = keys
    passwords = Passwords(CHEAP)
    yield Desk(stores[0], keys, EmailIndex(keys), passwords, Links("https://api.example"), answer_seconds=0), folders
    passwords.close()
    for database in stores:
        await database.aclose()


async def live(desk: Desk) -> dict[str, str]:
    """Do all that a person does; every secret that it took, by what it is."""
    secrets = {"email": EMAIL, "password": PASSWORD, "new password": NEW, "ip": IP, "user agent": USER_AGENT}
    account_id, subject_id = await join(desk, EMAIL, PASSWORD)
    await sign_up(desk, EMAIL)
    for password in (PASSWORD, "wrong canary password"):
        try:
            session = await sign_in(desk, EMAIL, password, ip=IP, user_agent=USER_AGENT)
        except SignInFailed:
            secrets["wrong password"] = password
        else:
            secrets["session"] = session.token
    api_keys = ApiKeys(desk.db, desk.keys, desk.links, bump=lambda: None)
    made = await api_keys.create(account_id, subject_id, NAME)
    secrets["key"], secrets["key name"] = made.secret[10:], NAME
    other = await api_keys.create(account_id, subject_id, "to be renamed canary")
    await api_keys.change(account_id, other.id, {"name": "renamed canary"})
    await api_keys.revoke(account_id, other.id)
    secrets |= {"renamed": "to be renamed canary", "name": "renamed canary"}
    await request_reset(desk, EMAIL)
    secrets["token"] = await mailed_token(desk)
    await reset(desk, secrets["token"], NEW)

    async def grant(_: UUID) -> None:
        return None

    first = await make_first_run(desk.db, desk.keys, desk.passwords, grant)
    secrets["first key"] = str(first["api_key"])[10:]
    user = first["user"]
    assert isinstance(user, dict)
    secrets |= {"first email": user["email"], "first password": user["password"]}
    secrets["mail"] = "somebody, hopefully you"
    return secrets


def readable(folders: list[Path], value: str) -> list[str]:
    """Files in which the value is readable, in any case of its letters, as UTF-8, UTF-16, JSON or hex."""
    plain = value.lower().encode()
    forms = {plain, value.lower().encode("utf-16-le"), json.dumps(value.lower())[1:-1].encode(), plain.hex().encode()}
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes().lower()
                found += [path.name for form in forms if form in content]
    return found


async def test_no_personal_value_or_secret_is_readable_in_any_byte(
    place: tuple[Desk, list[Path]], request: pytest.FixtureRequest
) -> None:
    desk, folders = place
    secrets = await live(desk)
    if len(folders) > 1:
        request.getfixturevalue("postgres").checkpoint(desk.db.engine.url.render_as_string(False))
    assert len(secrets) == 16
    assert {name: files for name, value in secrets.items() if (files := readable(folders, value))} == {}


async def test_the_search_finds_what_is_planted(place: tuple[Desk, list[Path]], request: pytest.FixtureRequest) -> None:
    desk, folders = place
    await live(desk)
    async with desk.db.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE planted (value VARCHAR(100))"))
        await connection.execute(text("INSERT INTO planted VALUES (:value)"), {"value": f"x{EMAIL}y"})
    if len(folders) > 1:
        request.getfixturevalue("postgres").checkpoint(desk.db.engine.url.render_as_string(False))
    assert readable(folders, EMAIL)
    assert not readable(folders, IP)
    (folders[0] / "log" / "stray").write_text(IP.encode().hex())
    assert readable(folders, IP) == ["stray"]
