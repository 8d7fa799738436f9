"""House rules that a linter doesn't know: who may open a body, no raw SQL on declared tables, docs that are true."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("governance", "policies", "reports", "router")
MAY_EXPOSE = ("router/gateway/", "router/providers/", "governance/bodies/body.py")


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def calls(source: str, name: str) -> list[int]:
    """Lines that mention an attribute of this name."""
    return [
        node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute) and node.attr == name
    ]


def test_only_the_gateway_and_the_providers_expose_a_body() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if not str(path.relative_to(ROOT)).startswith(MAY_EXPOSE)
        for line in calls(path.read_text(), "expose")
    ]
    assert found == []


def test_the_rule_would_find_one() -> None:
    assert calls("def f(body):\n    log(body.expose())\n", "expose") == [2]


def test_what_may_serve_waits_for_no_disk_to_report_an_event() -> None:
    """`emit` waits; every caller in the router runs on the loop that serves requests."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if str(path.relative_to(ROOT)).startswith("router/")
        for line in calls(path.read_text(), "emit")
    ]
    assert found == []


def test_no_raw_sql_on_declared_tables() -> None:
    """Raw SQL goes round the declared uses; what is left is a lock and a pragma."""
    found = []
    for path in sources():
        source = path.read_text()
        if not re.search(r"^from sqlalchemy import .*\btext\b", source, re.MULTILINE):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "text" and node.args:
                statement = node.args[0]
                if not (isinstance(statement, ast.Constant) and re.search("pg_advisory|^PRAGMA", str(statement.value))):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
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


ROUND_THE_HANDLE = {
    "governance/backup/opener.py": "tells whether an old value opens, never what it says",
    "router/billing/journal.py": "the journal's own records, which hold no column's value",
}
"""Who else may open an envelope, and why. Everybody else opens a `Sealed` handle, for a use."""

ROUND_THE_SESSION = {
    "governance/db.py": "makes engines and sessions",
    "governance/backup/postgres.py": "asks the server for its version",
    "governance/backup/restore.py": "looks at the server's tables and connections, while nothing else runs",
    "router/billing/lease.py": "one UPDATE with many rows, which returns nothing",
    "router/migrations/run.py": "changes the schema",
}
"""Who else may use a connection that states no use, and why. The vault's own rotation and checkpoints are in the vault."""


def goes_round_the_handle(source: str) -> list[int]:
    """Lines that open an envelope, or take one out of its handle."""
    names = {"open_envelope", "open_sealed", "_envelope", "envelope"}
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Name) and node.id in {"open_envelope", "open_sealed"})
        or (isinstance(node, ast.Attribute) and node.attr in names)
    ]


def goes_round_the_session(source: str) -> list[int]:
    """Lines that take a connection from an engine, run a driver's SQL, or execute on a session's bare connection."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            of_engine = isinstance(node.value, ast.Attribute) and node.value.attr in {"engine", "sync_engine"}
            bare = node.attr == "execute" and any(
                isinstance(inner, ast.Attribute) and inner.attr == "connection" for inner in ast.walk(node.value)
            )
            if (of_engine and node.attr in {"connect", "begin"}) or node.attr == "exec_driver_sql" or bare:
                found.append(node.lineno)
    return found


def _breaking(rule: Callable[[str], list[int]], allowed: dict[str, str]) -> list[str]:
    return [
        f"{name}:{line}"
        for path in sources()
        if not (name := str(path.relative_to(ROOT))).startswith("governance/vault/") and name not in allowed
        for line in rule(path.read_text())
    ]


def test_nobody_goes_round_the_handle() -> None:
    assert _breaking(goes_round_the_handle, ROUND_THE_HANDLE) == []
    assert goes_round_the_handle("async def f(p, k):\n    return envelope.open_envelope(k, p.email.envelope, b'')\n")


def test_nobody_goes_round_the_session() -> None:
    assert _breaking(goes_round_the_session, ROUND_THE_SESSION) == []
    for example in (
        "with db.engine.connect() as c:\n    c.execute(q)\n",
        "(session.connection()).execute(q)\n",
        "connection.exec_driver_sql('SELECT email FROM person')\n",
    ):
        assert goes_round_the_session(example)


def test_those_who_may_go_round_still_do() -> None:
    """An exception that nothing needs any more would hide the next one."""
    for allowed, rule in ((ROUND_THE_HANDLE, goes_round_the_handle), (ROUND_THE_SESSION, goes_round_the_session)):
        assert [name for name in allowed if not rule((ROOT / name).read_text())] == []


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
