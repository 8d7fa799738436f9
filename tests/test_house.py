"""House rules that a linter doesn't know: who may open a body, no raw SQL on declared tables, docs that are true."""

import ast
import re
import subprocess
import sys
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
