"""Rules of the house that look at source: each takes a module's text and gives the lines that break it."""

import ast
import re
from collections.abc import Iterable

_TEXT = frozenset(("text", "TextClause", "literal_column", "DDL", "TextualSelect", "from_statement"))
_PRAGMA = re.compile(r"PRAGMA \w+(\(\w+\))?")
_OPENING = frozenset(("open_envelope", "open_sealed"))
_TAKEN_OUT = frozenset(("envelope", "_envelope"))
_KEYS = frozenset(
    (
        "key",
        "subject_key",
        "create_subject_key",
        "cached_subject_key",
        "limit_key",
        "service_key",
        "service_keys",
        "preload",
    )
)
_DRIVERS = frozenset(("sqlite3", "aiosqlite", "asyncpg", "psycopg", "psycopg2"))
_ENGINES = frozenset(("create_engine", "create_async_engine"))


def mentions(source: str, name: str) -> list[int]:
    """Lines that mention an attribute of this name."""
    return _lines(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute) and node.attr == name)


def raw_sql(source: str) -> list[int]:
    """Lines that make SQL out of text, under whatever name: it goes round the declared uses. Pragmas aside."""
    tree = ast.parse(source)
    ours = _bound_from(tree, "sqlalchemy")
    pragmas = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_pragma(node)}

    def breaks(node: ast.AST) -> bool:
        match node:
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                return _is_of(node.module, "sqlalchemy")
            case ast.Name(ctx=ast.Load()):
                return ours.get(node.id) in _TEXT
            case ast.Attribute(attr="from_statement"):
                return True
            case ast.Attribute():
                return node.attr in _TEXT and _root(node) in ours
            case ast.Call():
                return _looked_up(node) in _TEXT and _root(node.args[0]) in ours
        return False

    return _lines(node for node in ast.walk(tree) if node not in pragmas and breaks(node))


def round_the_handle(source: str) -> list[int]:
    """Lines that open an envelope, or take one out of its handle."""
    return _lines(
        node
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Name) and node.id in _OPENING)
        or (isinstance(node, ast.Attribute) and node.attr in _OPENING | _TAKEN_OUT)
        or (isinstance(node, ast.ImportFrom) and any(each.name in _OPENING for each in node.names))
        or _looked_up(node) in _OPENING | _TAKEN_OUT
    )


def takes_keys(source: str) -> list[int]:
    """Lines that take a key out of the key store, or the secret out of a key."""
    found = []
    for node in ast.walk(ast.parse(source)):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "key"
        named = isinstance(node, ast.Attribute) and node.attr in (_KEYS - {"key"}) | {"secret"}
        if called or named or _looked_up(node) in _KEYS | {"secret"}:
            found.append(node)
    return _lines(found)


def round_the_session(source: str) -> list[int]:
    """Lines that take a connection from an engine, a session's bare one, or a driver's: none of them states a use."""

    def breaks(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(attr="connect" | "begin"):
                return _last(node.value) in {"engine", "sync_engine", "bind"}
            case ast.Attribute(attr="exec_driver_sql" | "raw_connection"):
                return True
            case ast.Call(func=ast.Attribute(attr="connection" | "get_bind"), args=[]):
                return True
            case ast.Import():
                return any(each.name.partition(".")[0] in _DRIVERS for each in node.names)
            case ast.ImportFrom():
                return (node.module or "").partition(".")[0] in _DRIVERS or any(
                    each.name in _ENGINES for each in node.names
                )
        return False

    return _lines(filter(breaks, ast.walk(ast.parse(source))))


def states_by_itself(source: str) -> list[int]:
    """Lines that make a purpose, or set the current one, instead of stating it for a block."""
    return _lines(
        node
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Call) and _last(node.func) in {"Purpose", "Grant"})
        or (isinstance(node, ast.Attribute) and node.attr == "_current" and _root(node) in {"purpose", "purposes"})
        or (isinstance(node, ast.ImportFrom) and node.module == "governance.vault.purpose" and _named(node, "_current"))
    )


def _bound_from(tree: ast.Module, package: str) -> dict[str, str]:
    """Names that a module binds to something of a package: what it is called there, by what it is called here."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                if _is_of(each.name, package):
                    bound[each.asname or package] = each.name
        elif isinstance(node, ast.ImportFrom) and _is_of(node.module, package):
            bound |= {each.asname or each.name: each.name for each in node.names}
    return bound


def _is_pragma(call: ast.Call) -> bool:
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and _PRAGMA.fullmatch(str(first.value)) is not None


def _is_of(module: str | None, package: str) -> bool:
    return module is not None and module.partition(".")[0] == package


def _looked_up(node: ast.AST) -> str | None:
    """The name that `getattr` or `attrgetter` is called with, if it is written out."""
    if isinstance(node, ast.Call) and _last(node.func) in {"getattr", "attrgetter"} and node.args:
        last = node.args[min(len(node.args), 2) - 1]
        return last.value if isinstance(last, ast.Constant) and isinstance(last.value, str) else None
    return None


def _root(node: ast.AST) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _last(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _named(node: ast.ImportFrom, name: str) -> bool:
    return any(each.name == name for each in node.names)


def _lines(nodes: Iterable[ast.AST]) -> list[int]:
    return sorted({node.lineno for node in nodes if hasattr(node, "lineno")})
