"""House rules that a linter doesn't know: who may open a body, no raw SQL on declared tables, docs that are true."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house_rules import (
    mentions,
    raw_sql,
    reaches_inside,
    round_the_handle,
    round_the_session,
    states_by_itself,
    takes_keys,
)

Rule = Callable[[str], list[int]]
ROOT = Path(__file__).parents[1]
PACKAGES = ("governance", "policies", "reports", "router")
MAY_EXPOSE = ("router/gateway/", "router/providers/", "governance/bodies/body.py", "governance/bodies/fragments.py")


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


CLIENTS = re.compile(r"AsyncClient\(|httpx2\.Client\(|\.client\(\"|urlopen\(|http\.client")
TO_ITSELF = ("router/probe/own.py", "router/app/self_probe.py")


def test_who_opens_a_client_says_where_it_sends() -> None:
    """What the control of recipients compares is what is told here."""
    clients = {str(path.relative_to(ROOT)): path.read_text() for path in sources() if CLIENTS.search(path.read_text())}
    assert len(clients) >= 7 and set(TO_ITSELF) <= set(clients)
    assert [name for name, text in clients.items() if "outbound.saw(" not in text] == sorted(TO_ITSELF)


def test_only_the_gateway_and_the_providers_expose_a_body() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if not str(path.relative_to(ROOT)).startswith(MAY_EXPOSE)
        for line in mentions(path.read_text(), "expose")
    ]
    assert found == []


def test_the_rule_would_find_one() -> None:
    assert mentions("def f(body):\n    log(body.expose())\n", "expose") == [2]


def test_what_may_serve_waits_for_no_disk_to_report_an_event() -> None:
    """`emit` waits; every caller in the router runs on the loop that serves requests."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if str(path.relative_to(ROOT)).startswith("router/")
        for line in mentions(path.read_text(), "emit")
    ]
    assert found == []


def test_every_module_says_what_it_is() -> None:
    assert [str(path) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_nothing_is_skipped_or_left_for_later() -> None:
    marks = re.compile(
        "pytest" + r"\.skip|mark\.skip|mark\.xfail|importor" + "skip|TO" + "DO|FIX" + "ME|NotImplemented" + "Error"
    )
    everything = sources() + sorted((ROOT / "tests").rglob("*.py"))
    assert [str(path.relative_to(ROOT)) for path in everything if marks.search(path.read_text())] == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_lock_files_are_hash_checked_and_hold_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.findall(r"^[A-Za-z0-9._-]+==", text, re.MULTILINE)
    assert len(pins) > 50 and text.count("--hash=sha256:") > len(pins)
    assert "://" not in text and "index-url" not in text


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "router.cli", "docs", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_policy_carries_the_users_words() -> None:
    text = (ROOT / "policies" / "privacy" / "2026-03" / "policy.md").read_text()
    assert text.startswith("---\nversion: 2026-03\n")
    for words in (
        "We do NOT store the content of your API requests (prompts) or the resulting completions.",
        "API usage logs are retained for a limited period",
        "privacy@valueapi.ai.",
    ):
        assert words in text


def test_every_module_that_declares_a_table_is_known_to_the_migrations() -> None:
    """A table that nobody imports is in no migration, no data map and no erasure."""
    declaring = {match[1] for path in sources() for match in re.finditer(r'__tablename__ = "(\w+)"', path.read_text())}
    code = (
        "import router.migrations.tables; from governance.datamap import METADATA; "
        "print(*(name for metadata in METADATA.values() for name in metadata.tables))"
    )
    known = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert declaring and declaring - set(known.split()) == set()


API_KEY = "the API key that was just made, shown once"
MAY: dict[Rule, dict[str, str]] = {
    raw_sql: {
        "governance/statement.py": "refuses it",
        "router/migrations/run.py": "a lock while the schema changes",
        "router/migrations/data/v1_first_tables.py": "the condition of a partial index, as Alembic writes it",
    },
    round_the_handle: {
        "governance/controls/pii_sealed.py": "looks whether what rests is an envelope, and opens none",
        "governance/backup/opener.py": "tells whether an old value opens, never what it says",
        "router/billing/journal.py": "the journal's own records, which hold no column's value",
    },
    takes_keys: {
        "governance/backup/create.py": "seals the root that a copy hangs on, and looks whether it opens the copy",
        "governance/bodies/attestation.py": "the service key that attestations are signed with",
        "governance/subjects.py": "makes a new person's key, and hands it to nobody",
        "router/accounts/probe_account.py": "makes the key of the probe's account, which is nobody's",
        "router/app/self_probe.py": "the API key that a probe sends",
        "governance/evidence/log.py": "signs checkpoints",
        "governance/evidence/pending.py": "authenticates entries of the data store",
        "governance/evidence/changed_settings.py": "the service key that settings are digested under",
        "router/app/controls.py": "the service key of names told to providers, for made-up requests",
        "router/app/service.py": "service keys: of rate-limit cells and of names told to providers",
        "router/accounts/directory.py": "the key that a caller's requests are sealed under",
        "router/billing/commit.py": "opens the journal's records",
        "router/gateway/settlement.py": "hands the caller's key to the journal",
        "router/billing/purse.py": "the service key of the journal's money",
        "router/accounts/api_key.py": API_KEY,
        "router/accounts/first_run.py": API_KEY,
        "router/cli/accounts.py": API_KEY,
        "router/web/account_api.py": API_KEY,
        "router/web/portal_account.py": API_KEY,
    },
    round_the_session: {
        "governance/db.py": "makes engines and sessions",
        "governance/session_use.py": "the class of every session, and the uses that one states",
        "governance/bodies/scanner/control_sinks.py": "plants needles in SQLite files of its own",
        "governance/bodies/scanner/postgres_sql.py": "looks through any database, ours or not, for what must not be there",
        "governance/evidence/pending.py": "tells sessions where their entries go",
        "governance/backup/copy.py": "copies a whole SQLite file",
        "governance/bodies/guard_sql.py": "looks at what goes to the cursor, and reads nothing",
        "governance/backup/postgres.py": "asks the server for its version",
        "governance/backup/read.py": "reads an old copy, which no session serves",
        "governance/backup/restore.py": "looks at files, tables and connections, while nothing else runs",
        "governance/jobs/leader.py": "a connection of its own, which holds a lock",
        "governance/vault/channel_postgres.py": "a connection of its own, which listens",
        "governance/vault/keys.py": "empties SQLite's log of what was destroyed",
        "governance/vault/keytree.py": "asks which database it is",
        "governance/vault/permitted.py": "is what leaves rows out",
        "router/app/stores.py": "tells sessions which keys open what they read",
        "router/billing/ledger.py": "INSERTs and an UPDATE with many rows, which return nothing",
        "router/billing/lease.py": "one UPDATE with many rows, which returns nothing",
        "router/billing/usage_log.py": "asks which database it is",
        "router/cli/main.py": "imports the verb that is asked for, from a list that stands there",
        "router/migrations/run.py": "changes the schema",
        "router/migrations/version.py": "reads which version a store is of",
        "router/probe/scratch_databases.py": "makes and drops databases for one run of the probe",
    },
    states_by_itself: {},
    reaches_inside: {"governance/statement.py": "SQLAlchemy tells in no other way what a statement is made of"},
}
"""The rules, and who else may, and why."""
THE_VAULTS = (round_the_handle, takes_keys, states_by_itself)
"""Its own business, which has tests of its own."""

EXAMPLES: dict[Rule, tuple[str, ...]] = {
    raw_sql: (
        "from sqlalchemy import text\nsession.execute(text('SELECT email FROM person'))\n",
        "from sqlalchemy import (\n    select,\n    text,\n)\nsession.execute(text('SELECT email FROM person'))\n",
        "from sqlalchemy import text as t\nsession.execute(t('SELECT email FROM person'))\n",
        "from sqlalchemy.sql.expression import text\nsession.execute(text(statement))\n",
        "import sqlalchemy as sa\nsession.execute(sa.text('SELECT email FROM person'))\n",
        "import sqlalchemy\nsession.execute(sqlalchemy.sql.expression.text(statement))\n",
        "from sqlalchemy import sql\nsession.execute(sql.text(statement))\n",
        "from sqlalchemy import text\nmake = text\n",
        "import sqlalchemy as sa\nmake = getattr(sa, 'text')\n",
        "from sqlalchemy import *\n",
        "from sqlalchemy import text\nc.execute(text('PRAGMA x; SELECT email FROM person'))\n",
        "import sqlalchemy as sa\nselect(sa.literal_column('email'))\n",
        "select(Person).from_statement(statement)\n",
        "from sqlalchemy.ext.compiler import compiles\n@compiles(Own)\ndef f(element, compiler):\n    return 'email'\n",
        "class Own(TypeDecorator):\n    def bind_expression(self, value):\n        return column\n",
        "from sqlalchemy import types\nclass Own(types.UserDefinedType):\n    pass\n",
    ),
    round_the_handle: (
        "async def f(p, k):\n    return envelope.open_envelope(k, p.sealed, b'')\n",
        "from governance.vault.envelope import open_envelope as look\n",
        "from governance.vault.sealed import open_sealed\n",
        "write(person.email.envelope)\n",
        "write(person.email._envelope)\n",
        "write(getattr(person.email, 'envelope'))\n",
        "map(operator.attrgetter('_envelope'), handles)\n",
    ),
    takes_keys: (
        "async def f(keys):\n    return await keys.key(key_id)\n",
        "async def f(self):\n    return await self._keys.key(key_id)\n",
        "store = stores.keys\nfound = store.key(key_id)\n",
        "take = stores.keys.subject_key\n",
        "await keys.preload(everybody)\n",
        "await keys.limit_key(rule, basis, subject, row, at)\n",
        "write(key.secret)\n",
        "write(getattr(key, 'secret'))\n",
        "take = getattr(keys, 'key')\n",
        "root = await keys.export_root()\n",
        "root = await keys.open_root(wrapped)\n",
        "root = await keys.keyring.unwrap(wrapped, ROOT)\n",
        "from governance.vault.keytree import ROOT, KeyTree\n",
        "from governance.vault import keytree\ntree = keytree.KeyTree(keys.keyring)\n",
    ),
    round_the_session: (
        "with db.engine.connect() as c:\n    c.execute(q)\n",
        "async with session.bind.begin() as c:\n    c.execute(q)\n",
        "(session.connection()).execute(q)\n",
        "connection = await session.connection()\nawait connection.execute(q)\n",
        "session.get_bind().connect()\n",
        "connection.exec_driver_sql('SELECT email FROM person')\n",
        "import sqlite3\n",
        "from asyncpg import connect\n",
        "from sqlalchemy.ext.asyncio import create_async_engine\n",
        "import sqlalchemy\nsqlalchemy.create_engine(url)\n",
        "from sqlalchemy.ext import asyncio as sa\nsa.create_async_engine(url)\n",
        "import importlib\nimportlib.import_module('sqlite3')\n",
        "from importlib import import_module\nimport_module(name)\n",
        "__import__('sqlite3')\n",
        "e = db.engine\n",
        "getattr(db, 'engine')\n",
        "e = session.bind\n",
        "session.connection({})\n",
        "from sqlalchemy.ext.asyncio import AsyncSession\nAsyncSession(e)\n",
        "from sqlalchemy.ext.asyncio import AsyncSession as S\nmake = S\n",
        "from sqlalchemy.ext.asyncio import async_sessionmaker\nasync_sessionmaker(e)()\n",
        "from sqlalchemy import orm\norm.Session(e)\n",
        "from sqlalchemy.orm import sessionmaker\nsessionmaker(e)\n",
        "from sqlalchemy.orm import Session\nclass Own(Session):\n    pass\n",
        "from governance.session_use import GovernedSession\nevent.remove(GovernedSession, name, check)\n",
        "from sqlalchemy.orm import with_loader_criteria\nselect(T.id).options(with_loader_criteria(T, T.score > 3))\n",
        "session.info.pop('permitted')\n",
        "session.info['use'] = DataUse.SECURITY\n",
        "del session.info['permitted']\n",
        "stated = session.info\n",
        "session.info = {}\n",
        "session.info.update(use=DataUse.SECURITY)\n",
        "db.context.pop('permitted')\n",
        "db.prepare = nothing\n",
        "setattr(db, 'prepare', nothing)\n",
    ),
    states_by_itself: (
        "given = Purpose(Actor.JOB, frozenset(DataUse), bulk=Bulk.EXPORT)\n",
        "given = purpose.Purpose(Actor.JOB, frozenset(DataUse))\n",
        "stating(Actor.JOB, granted=Grant(Bulk.EXPORT))\n",
        "purpose._current.set(None)\n",
        "from governance.vault.purpose import _current\n",
    ),
    reaches_inside: (
        "await keys._read(StoredKey.slot == slot)\n",
        "await keys._tree.read(session, bucket, key_id)\n",
        "class Own:\n    async def f(self):\n        return await self.keys._tree.read(session, bucket, key_id)\n",
        "db._writing.connect()\n",
        "getattr(keys, '_tree')\n",
        "from governance.vault.keytree import _bucket\n",
        "def _read():\n    return keys._read(slot)\n",
    ),
}
RULES = pytest.mark.parametrize("rule", MAY, ids=lambda rule: rule.__name__)


@RULES
def test_nobody_goes_round(rule: Rule) -> None:
    assert [
        f"{name}:{line}"
        for path in sources()
        if (name := str(path.relative_to(ROOT))) not in MAY[rule]
        and not (rule in THE_VAULTS and name.startswith("governance/vault/"))
        for line in rule(path.read_text())
    ] == []


@RULES
def test_who_may_go_round_still_does(rule: Rule) -> None:
    """An exception that nothing needs any more would hide the next one."""
    assert [name for name in MAY[rule] if not rule((ROOT / name).read_text())] == []


@pytest.mark.parametrize("rule, example", [(rule, each) for rule, several in EXAMPLES.items() for each in several])
def test_the_rule_finds_it(rule: Rule, example: str) -> None:
    assert rule(example)


def test_the_rules_let_pass_what_is_none_of_it() -> None:
    assert raw_sql("from sqlalchemy import text\nc.execute(text('PRAGMA wal_checkpoint(TRUNCATE)'))\n") == []
    assert raw_sql("message.text('SELECT')\ntext(value)\n") == []
    assert takes_keys("sorted(rows, key=str)\nhead.key\n") == []
    annotated = (
        "from sqlalchemy.ext.asyncio import AsyncSession\ndef f(session: AsyncSession) -> list[AsyncSession]: ...\n"
    )
    assert round_the_session(annotated) == []
    assert (
        round_the_session("column.info['declaration']\ntable.info.get('a')\n'store' in info.info\nlog.info(1)\n") == []
    )
    assert round_the_session("from router.accounts.session import Session\nSession(id=1)\nhandle.bind(row)\n") == []
    assert reaches_inside("class A:\n    _a: int\n    def f(self, other):\n        return self._b, other._a\n") == []


def test_make_check_runs_these_rules() -> None:
    assert "pytest -q tests/test_house.py" in (ROOT / "Makefile").read_text()


def test_every_route_job_and_command_states_its_uses() -> None:
    """Routes are mounted through `mount`, which states; commands through `verb`."""
    routes = [path for path in sources() if "router/web/" in str(path) and path.name != "mount.py"]
    assert [
        str(path)
        for path in routes
        if re.search(r"@(router|app)\.(get|post|put|patch|delete|api_route)", path.read_text())
    ] == []
    for path in sources():
        if "router/cli/" in str(path):
            source = path.read_text()
            commands = len(re.findall(r"^@app\.command", source, re.MULTILINE))
            assert len(re.findall(r"^@verb\(", source, re.MULTILINE)) >= commands, path
