"""Rules of the house that look at source: each takes a module's text and gives the lines that break it."""

import ast
import re
from collections.abc import Iterable

_TEXT = frozenset(
    (
        *("text", "TextClause", "literal_column", "DDL", "TextualSelect", "from_statement", "quoted_name"),
        *("compiles", "UserDefinedType"),  # an element's or a type's own text
    )
)
_OF_A_TYPE = frozenset(("bind_expression", "column_expression", "get_col_spec"))
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
        "export_root",
        "open_root",
        "unwrap",
    )
)
_LOOKING_UP = frozenset(("getattr", "attrgetter", "setattr", "delattr"))
_DRIVERS = frozenset(("sqlite3", "aiosqlite", "asyncpg", "psycopg", "psycopg2"))
_ENGINES = frozenset(("create_engine", "create_async_engine", "engine_from_config", "async_engine_from_config"))
_SESSIONS = frozenset(
    (
        *("Session", "AsyncSession", "GovernedSession", "sessionmaker", "async_sessionmaker"),
        *("scoped_session", "async_scoped_session", "AsyncConnection", "AsyncEngine"),
    )
)
_CRITERIA = frozenset(
    ("with_loader_criteria", "with_expression")
)  # read by an option, which no check of a statement sees
_ENGINE_OF = frozenset(("engine", "sync_engine"))
_STATED = frozenset(("info", "context"))  # what a session reads for, and whose rows it leaves out


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
            case ast.FunctionDef():
                return node.name in _OF_A_TYPE
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
    """Lines that take a key out of the key store or its tree, or the secret out of a key."""
    found = []
    for node in ast.walk(ast.parse(source)):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "key"
        named = isinstance(node, ast.Attribute) and node.attr in (_KEYS - {"key"}) | {"secret", "KeyTree"}
        imported = isinstance(node, ast.ImportFrom) and _named(node, "KeyTree")
        if called or named or imported or _looked_up(node) in _KEYS | {"secret"}:
            found.append(node)
    return _lines(found)


def round_the_session(source: str) -> list[int]:
    """Lines that take an engine, a session's bare connection or a driver's, make a session of their own, or change what
    one states: nothing that is read so was asked what for."""
    tree = ast.parse(source)
    ours = _bound_from(tree, "sqlalchemy") | _bound_from(tree, "governance")
    made = _ENGINES | _SESSIONS | _CRITERIA
    passing = _types(tree) | _merely_read(tree, _STATED)
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}

    def breaks(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(attr="exec_driver_sql" | "raw_connection" | "import_module"):
                return True
            case ast.Attribute(attr="bind"):
                return node not in called
            case ast.Attribute(attr="connection" | "get_bind"):
                return node in called
            case ast.Attribute(attr="prepare", ctx=ast.Store()):
                return True
            case ast.Attribute():
                return node.attr in _ENGINE_OF | _STATED or (node.attr in made and _root(node) in ours)
            case ast.Name(id="import_module" | "__import__"):
                return True
            case ast.Name(ctx=ast.Load()):
                return ours.get(node.id) in made
            case ast.Call():
                return _looked_up(node) in _ENGINE_OF | _STATED | {"bind", "prepare"} | made
            case ast.Import():
                return any(each.name.partition(".")[0] in _DRIVERS for each in node.names)
            case ast.ImportFrom():
                return (node.module or "").partition(".")[0] in _DRIVERS or any(
                    each.name in _ENGINES for each in node.names
                )
        return False

    return _lines(node for node in ast.walk(tree) if node not in passing and breaks(node))


def reaches_inside(source: str) -> list[int]:
    """Lines that use a private name of another module's, of an object or by import: whatever holds it guards it there."""
    tree = ast.parse(source)
    own = _private_to_classes(tree)

    def breaks(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super"))):
                return False
            case ast.Attribute():
                return _is_private(node.attr) and node.attr not in own
            case ast.ImportFrom():
                return any(_is_private(each.name) for each in node.names)
            case ast.Call():
                return _is_private(_looked_up(node) or "")
        return False

    return _lines(filter(breaks, ast.walk(tree)))


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


def _types(tree: ast.Module) -> set[ast.AST]:
    """Everything that stands in an annotation."""
    annotations = [
        each
        for node in ast.walk(tree)
        for each in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if each is not None
    ]
    return {inner for each in annotations for inner in ast.walk(each)}


def _merely_read(tree: ast.Module, names: frozenset[str]) -> set[ast.AST]:
    """Attributes of these names where one value is looked up in them, or they are called: nothing else is harmless."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Attribute() as held, ctx=ast.Load()):
                found.add(held)
            case ast.Call(func=ast.Attribute(attr="get", value=ast.Attribute() as held)):
                found.add(held)
            case ast.Call(func=ast.Attribute() as held):
                found.add(held)
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Attribute() as held]):
                found.add(held)
    return {held for held in found if isinstance(held, ast.Attribute) and held.attr in names}


def _private_to_classes(tree: ast.Module) -> set[str]:
    """Private names that the module's own classes define or set on themselves."""
    found: set[str] = set()
    for each in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(each):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    found.add(node.name)
                case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                    found.add(node.attr)
        for node in each.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _is_pragma(call: ast.Call) -> bool:
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and _PRAGMA.fullmatch(str(first.value)) is not None


def _is_of(module: str | None, package: str) -> bool:
    return module is not None and module.partition(".")[0] == package


def _looked_up(node: ast.AST) -> str | None:
    """The name that `getattr` or one like it is called with, if it is written out."""
    if isinstance(node, ast.Call) and _last(node.func) in _LOOKING_UP and node.args:
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
